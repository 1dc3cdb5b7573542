"""Conversations with a server on this machine that does everything wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from compose_core.errors import ComposeError, UsageError
from compose_realcompo.layout import Endpoint, plan_llm

PROMPT = "a red ball to the left of a blue cube"
KEY = "sk-very-secret"
OBJECTS = [
    {"phrase": "a red ball", "box": [0.05, 0.3, 0.45, 0.8], "z": 0},
    {"phrase": "a blue cube", "box": [0.55, 0.3, 0.95, 0.8], "z": 0},
]
GOOD = json.dumps({"objects": OBJECTS})


def says(content: Any, **choice: Any) -> tuple[int, Any]:
    return 200, {"choices": [{"message": {"role": "assistant", "content": content}, **choice}]}


class Server(ThreadingHTTPServer):
    """Answers with what it is given, in order; the last again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.over = threading.Event()

    def endpoint(self, **more: Any) -> Endpoint:
        url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        return Endpoint(
            **({"base_url": url, "model": "tiny", "api_key": KEY, "timeout": 20} | more)
        )


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(json.loads(body))
        self.server.keys.append(self.headers["Authorization"])
        self.server.paths.append(self.path)
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer(self)
            return
        status, said, *headers = answer
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.over.set()
    made.shutdown()
    made.server_close()
    thread.join()


class Clock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def plan(server: Server, clock: Clock, *answers: Any, prompt: str = PROMPT, **more: Any):
    server.answers = list(answers)
    endpoint = more.pop("endpoint", None) or server.endpoint()
    return plan_llm(prompt, endpoint, sleep=clock, **({"cached": False} | more))


def test_a_good_answer(server, clock):
    layout = plan(server, clock, says(GOOD), seed=7, canvas=(640, 480))
    assert [p.name for p in layout.objects] == ["red ball", "blue cube"]
    (asked,) = server.asked
    assert (asked["model"], asked["temperature"], asked["seed"]) == ("tiny", 0, 7)
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert [m["role"] for m in asked["messages"]] == ["system", *["user", "assistant"] * 3, "user"]
    assert PROMPT in asked["messages"][-1]["content"]
    assert "640" in asked["messages"][-1]["content"]
    assert server.paths == ["/v1/chat/completions"] and server.keys == [f"Bearer {KEY}"]
    assert clock.slept == []


def one(**changes: Any) -> str:
    return json.dumps({"objects": [OBJECTS[0] | changes, OBJECTS[1]]})


BAD = {
    "none": ("None", "no complete JSON"),
    "no objects": ("No objects", "no complete JSON"),
    "prose": ("I would put the ball on the left.", "no complete JSON"),
    "truncated": (GOOD[:-20], "no complete JSON"),
    "empty list": ('{"objects": []}', "names no object"),
    "wrong type": ('{"objects": "two"}', "no list"),
    "wrong phrase": (one(phrase="a green cone"), "does not occur"),
    "phrase of another type": (one(phrase=["a red ball"]), "no phrase"),
    "outside": (one(box=[0.1, 0.1, 1.6, 0.5]), "leaves the canvas"),
    "inverted": (one(box=[0.5, 0.1, 0.1, 0.5]), "is empty"),
    "nan": (GOOD.replace("0.45", "NaN"), "no complete JSON"),
    "text for numbers": (one(box=["0.1", "0.1", "0.5", "0.5"]), "four numbers"),
    "overlap": (one(box=OBJECTS[1]["box"]), "overlap"),
    "too many": (json.dumps({"objects": OBJECTS * 16}), "too many"),
    "z": (one(z="in front"), "no sensible number"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_answer_is_sent_back_with_what_is_wrong(kind, server, clock):
    bad, complaint = BAD[kind]
    layout = plan(server, clock, says(bad), says(GOOD))
    assert len(layout.objects) == 2
    first, second = (asked["messages"] for asked in server.asked)
    assert second[: len(first)] == first
    assert second[-2] == {"role": "assistant", "content": bad}
    assert second[-1]["role"] == "user" and complaint in second[-1]["content"]


@pytest.mark.parametrize("kind", BAD)
def test_bad_answers_end_in_one_clear_error(kind, server, clock):
    bad, complaint = BAD[kind]
    with pytest.raises(ComposeError, match=complaint) as caught:
        plan(server, clock, says(bad), retries=2)
    assert len(server.asked) == 2
    assert "2 answers of 'tiny'" in str(caught.value)
    assert "/v1/chat/completions" in str(caught.value) and KEY not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        f"{GOOD}   \n\n",
        f"Sure!\n```json\n{GOOD}\n```\nAnything else?",
        json.dumps({"objects": OBJECTS}, indent=2),
        [{"type": "text", "text": GOOD}],
    ],
    ids=["trailing space", "prose around", "several lines", "parts"],
)
def test_good_answers_in_other_clothes(content, server, clock):
    assert len(plan(server, clock, says(content)).objects) == 2
    assert len(server.asked) == 1


def test_a_single_object(server, clock):
    answer = json.dumps({"objects": OBJECTS[:1]})
    (ball,) = plan(server, clock, says(answer), prompt="a red ball").objects
    assert ball.phrase == "a red ball"


def test_numbers_are_counted(server, clock):
    fox = {"phrase": "foxes", "box": [0.1, 0.1, 0.4, 0.9], "z": 0}
    two = json.dumps({"objects": [fox, fox | {"box": [0.5, 0.1, 0.9, 0.9]}]})
    layout = plan(
        server, clock, says(json.dumps({"objects": [fox]})), says(two), prompt="two foxes"
    )
    assert [p.name for p in layout.objects] == ["foxes 1", "foxes 2"]
    assert "1 of 'fox'" in server.asked[1]["messages"][-1]["content"]


ENVELOPES = {
    "empty choices": {"choices": []},
    "no choices": {"object": "error"},
    "null": None,
    "a list": [1, 2],
    "no message": {"choices": [{}]},
    "no JSON": b"<html>welcome</html>",
    "not UTF-8": b"\xff\xfe\xfa",
    "deep": b"[" * 100_000,
    "nothing said": says(None, finish_reason="content_filter")[1],
    "blank": says("  ")[1],
    "another type": says(7)[1],
}


@pytest.mark.parametrize("kind", ENVELOPES)
def test_answers_outside_the_protocol(kind, server, clock):
    assert plan(server, clock, (200, ENVELOPES[kind]), says(GOOD)).objects
    assert server.asked[0]["messages"] == server.asked[1]["messages"]
    with pytest.raises(ComposeError, match="no usable layout"):
        plan(server, clock, (200, ENVELOPES[kind]))


@pytest.mark.parametrize("status", [400, 422])
def test_without_schema_where_it_is_refused(status, server, clock):
    refused = (status, {"error": "response_format is not supported"})
    plan(server, clock, refused, says("None"), says(GOOD))
    assert ["response_format" in asked for asked in server.asked] == [True, False, False]
    assert clock.slept == []


def test_a_question_that_is_refused_twice(server, clock):
    with pytest.raises(ComposeError, match="refuses the question") as caught:
        plan(server, clock, (400, {"error": f"bad request of {KEY}"}))
    assert len(server.asked) == 2
    assert "bad request" in str(caught.value) and KEY not in str(caught.value)


@pytest.mark.parametrize("status", [401, 403, 404, 307])
def test_refusals_are_final(status, server, clock):
    with pytest.raises(ComposeError) as caught:
        plan(server, clock, (status, {}, ("Location", "http://127.0.0.1:1/")))
    assert len(server.asked) == 1 and clock.slept == []
    assert f"HTTP {status}" in str(caught.value) and caught.value.remedy
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_servers_are_asked_again(status, server, clock):
    plan(server, clock, (status, {}), (status, {}), says(GOOD))
    assert len(server.asked) == 3 and clock.slept == [1.0, 2.0]


def test_busy_servers_say_when(server, clock):
    plan(server, clock, (429, {}, ("Retry-After", "5")), says(GOOD))
    assert clock.slept == [5.0]
    with pytest.raises(ComposeError, match="busy"):
        plan(server, clock, (429, {}, ("Retry-After", "86400")))
    assert clock.slept == [5.0]


def test_servers_that_stay_busy(server, clock):
    with pytest.raises(ComposeError, match="busy or failing") as caught:
        plan(server, clock, (503, b"\x00overload"))
    assert len(server.asked) == 3 and "after 3 attempts" in str(caught.value)
    assert "overload" in str(caught.value)


def test_a_hang(server, clock):
    def hang(handler: Handler) -> None:
        handler.server.over.wait(20)

    with pytest.raises(ComposeError, match="does not answer") as caught:
        plan(server, clock, hang, endpoint=server.endpoint(timeout=0.2), retries=2)
    assert len(server.asked) == 2 and clock.slept == [1.0]
    assert "within 0.2 seconds" in str(caught.value) and "--timeout" in str(caught.value)


def test_an_answer_that_trickles(server, clock):
    def trickle(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while not handler.server.over.wait(0.05):
                handler.wfile.write(b" ")
        except OSError:
            pass

    with pytest.raises(ComposeError, match="does not answer"):
        plan(server, clock, trickle, endpoint=server.endpoint(timeout=0.3), retries=1)


def test_an_answer_that_breaks_off(server, clock):
    def broken(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"choices"')

    plan(server, clock, broken, says(GOOD))
    assert len(server.asked) == 2


def test_nobody_there(clock):
    endpoint = Endpoint(base_url="http://127.0.0.1:1/v1", model="tiny", api_key=KEY)
    with pytest.raises(ComposeError, match="does not answer") as caught:
        plan_llm(PROMPT, endpoint, cached=False, sleep=clock)
    assert "127.0.0.1:1" in str(caught.value) and KEY not in str(caught.value)
    assert len(clock.slept) == 2


def test_the_cache(server, clock, tmp_path):
    def again(**more: Any):
        return plan(server, clock, says(GOOD), **({"cached": True, "folder": tmp_path} | more))

    first = again()
    assert again() == first and len(server.asked) == 1
    (file,) = tmp_path.iterdir()
    assert KEY not in file.read_text() and file.suffix == ".json"
    for number, more in enumerate(
        [
            {"seed": 1},
            {"canvas": (64, 64)},
            {"absent": "append"},
            {"prompt": f"{PROMPT}!"},
            {"endpoint": server.endpoint(model="other")},
            {"cached": False},
        ],
        2,
    ):
        again(**more)
        assert len(server.asked) == number, more
    assert again() == first and len(server.asked) == 7


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"answer": "None"}', b"\xff"])
def test_a_damaged_cache_is_no_cache(damage, server, clock, tmp_path):
    options = {"cached": True, "folder": tmp_path}
    first = plan(server, clock, says(GOOD), **options)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert plan(server, clock, says(GOOD), **options) == first
    assert len(server.asked) == 2
    assert json.loads(file.read_text())["answer"] == GOOD


def test_bad_answers_are_not_kept(server, clock, tmp_path):
    with pytest.raises(ComposeError):
        plan(server, clock, says("None"), cached=True, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_in_the_folder_of_the_user(server, clock, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path))
    plan(server, clock, says(GOOD), cached=True)
    assert len(list((tmp_path / "layouts").iterdir())) == 1


def test_a_folder_that_cannot_be_written_keeps_nothing(server, clock, tmp_path):
    (tmp_path / "file").write_text("")
    assert plan(server, clock, says(GOOD), cached=True, folder=tmp_path / "file").objects


@pytest.mark.parametrize(
    "base_url",
    ["", "localhost:8000", "ftp://host/v1", "http://", "http://user:pw@host/v1", "http://:pw@host",
     "http://host/v1?key=1", "http://host/v 1", "http://host:99999/v1", "http://[::1/v1",
     "file:///etc/passwd", "http://höst/v1"],
)  # fmt: skip
def test_bad_addresses(base_url):
    with pytest.raises(UsageError) as caught:
        Endpoint(base_url=base_url, model="tiny")
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("more", [{"model": " "}, {"timeout": 0}, {"timeout": float("nan")},
                                  {"api_key": "a\nb"}])  # fmt: skip
def test_bad_endpoints(more):
    with pytest.raises(UsageError) as caught:
        Endpoint(**({"base_url": "http://host/v1", "model": "tiny"} | more))
    assert "a\nb" not in str(caught.value)


def test_the_environment_names_the_endpoint():
    environ = {
        "COMPOSE_LLM_BASE_URL": "http://host/v1/",
        "COMPOSE_LLM_MODEL": "tiny",
        "COMPOSE_LLM_API_KEY": KEY,
    }
    found = Endpoint.from_environment(environ=environ)
    assert found.url == "http://host/v1/chat/completions"
    assert (found.model, found.api_key) == ("tiny", KEY) and KEY not in repr(found)
    assert Endpoint.from_environment("http://b/v1", "big", environ=environ).model == "big"
    for name in ("COMPOSE_LLM_BASE_URL", "COMPOSE_LLM_MODEL"):
        with pytest.raises(UsageError, match="no language model") as caught:
            Endpoint.from_environment(environ={k: v for k, v in environ.items() if k != name})
        assert name in str(caught.value)


@pytest.mark.parametrize("more", [{"retries": 0}, {"canvas": (0, 5)}, {"prompt": " "}])
def test_bad_options(more, server, clock):
    with pytest.raises(UsageError):
        plan(server, clock, says(GOOD), **more)
    assert server.asked == []
