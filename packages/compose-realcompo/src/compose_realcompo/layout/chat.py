"""Asking a language model over the protocol that most servers of them speak."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from typing import Any, cast

from compose_core.errors import ComposeError
from compose_realcompo.layout.endpoint import API_KEY, Endpoint

Chat = list[dict[str, str]]
"""Messages with a role and a content each."""

MAX_REPLY = 4 * 2**20
"""Largest reply that is read, in bytes."""

_LONGEST_WAIT = 60.0  # seconds; servers that ask for more are not waited for
_BUSY = frozenset({408, 409, 425, 429})
_REFUSED = frozenset({401, 403})


class UnusableReply(ComposeError):
    """The endpoint answered, but not with what was asked for; asking again may help."""


def ask(
    endpoint: Endpoint,
    messages: Chat,
    *,
    schema: Mapping[str, Any] | None,
    seed: int,
    tries: int = 3,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, bool]:
    """One answer of the model, as greedy as servers allow.

    Args:
        endpoint: whom to ask.
        messages: the conversation so far.
        schema: of the JSON that is wanted; servers that refuse it are asked without.
        seed: sent along; many servers ignore it.
        tries: how often busy, failing or silent servers are asked.
        sleep: waits some seconds.

    Returns:
        The text, and whether the schema was accepted.

    Raises:
        UnusableReply: the server answered with something else.
        ComposeError: there is no answer.
    """
    body = {"model": endpoint.model, "messages": messages, "temperature": 0, "seed": seed}
    wanted = schema
    attempt = 0
    while True:
        attempt += 1
        if wanted is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "layout", "strict": True, "schema": wanted},
            }
        try:
            return _text(_post(endpoint, body)), wanted is not None
        except urllib.error.HTTPError as error:
            status, detail = error.code, _detail(error, endpoint)
            wait = _asked_wait(error.headers)
            if status in (400, 422) and wanted is not None:
                wanted = None
                del body["response_format"]
                attempt -= 1  # another question, not the same one again
                continue
            passing = status in _BUSY or status >= 500
            if attempt >= tries or not passing or (wait or 0) > _LONGEST_WAIT:
                raise _refusal(endpoint, status, detail, attempt) from None
        except (OSError, http.client.HTTPException) as error:
            wait = None
            if attempt >= tries:
                raise _silence(endpoint, error, attempt) from None
        sleep(wait if wait is not None else min(_LONGEST_WAIT, 2.0 ** (attempt - 1)))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are errors: following one would show the key to somebody else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _post(endpoint: Endpoint, body: Mapping[str, Any]) -> bytes:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if endpoint.api_key:
        headers["Authorization"] = f"Bearer {endpoint.api_key}"
    data = json.dumps(body).encode()
    request = urllib.request.Request(endpoint.url, data, headers, method="POST")  # noqa: S310
    until = time.monotonic() + endpoint.timeout
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(request, timeout=endpoint.timeout) as response:
        parts, size = list[bytes](), 0
        while part := response.read1(65536):
            parts.append(part)
            size += len(part)
            if size > MAX_REPLY:
                raise UnusableReply(
                    "the language model says too much",
                    got=f"more than {MAX_REPLY // 2**20} MiB",
                )
            if time.monotonic() > until:  # each byte may be in time, and all of them too late
                raise TimeoutError("timed out")
    said = b"".join(parts)
    return said.replace(endpoint.api_key.encode(), b"***") if endpoint.api_key else said


def _text(data: bytes) -> str:
    """The text in an answer of the protocol."""
    try:
        answer: Any = json.loads(data)
        choice = answer["choices"][0]
        message = choice["message"]
        content = message["content"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UnusableReply(
            "the endpoint does not answer as its protocol has it",
            got=f"{data[:200]!r}",
            expected='JSON with choices[0].message.content, a text ({"choices": [...]})',
            remedy="check that the base URL ends where /chat/completions begins, often in /v1",
        ) from error
    if isinstance(content, list):  # some servers send parts
        parts = [p.get("text") for p in cast("list[Any]", content) if isinstance(p, dict)]
        content = "".join(p for p in parts if isinstance(p, str))
    if not isinstance(content, str) or not content.strip():
        said = message.get("refusal") or choice.get("finish_reason")
        raise UnusableReply(
            "the language model says nothing", got=str(said)[:200], expected="a layout as JSON"
        )
    return content


def _detail(error: urllib.error.HTTPError, endpoint: Endpoint) -> str:
    """What a server says of its refusal, on one line and without the key."""
    try:
        said = error.read(2000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        said = ""
    finally:
        error.close()
    if endpoint.api_key:
        said = said.replace(endpoint.api_key, "***")
    return " ".join("".join(c if c.isprintable() else " " for c in said).split())[:300]


def _asked_wait(headers: Message) -> float | None:
    """Seconds that a server asks to wait; dates are not understood."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _refusal(endpoint: Endpoint, status: int, detail: str, attempts: int) -> ComposeError:
    if status in _REFUSED:
        what, remedy = "the endpoint does not accept the key", f"set {API_KEY} to a valid key"
    elif status == 404:
        what = "the endpoint does not know the address or the model"
        remedy = "check the base URL, which often ends in /v1, and the name of the model"
    elif 300 <= status < 400:
        what, remedy = "the endpoint is elsewhere", "name the address that it redirects to"
    elif status in _BUSY or status >= 500:
        what, remedy = "the endpoint is busy or failing", "try again later"
    else:
        what, remedy = "the endpoint refuses the question", None
    tried = f" after {attempts} attempts" if attempts > 1 else ""
    return ComposeError(
        what,
        got=f"HTTP {status}{tried} from {endpoint.url}, model {endpoint.model!r}"
        + (f": {detail}" if detail else ""),
        remedy=remedy,
    )


def _silence(endpoint: Endpoint, error: Exception, attempts: int) -> ComposeError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    late = isinstance(reason, TimeoutError)
    got = f"nothing within {endpoint.timeout:g} seconds" if late else str(reason) or repr(reason)
    return ComposeError(
        "the endpoint does not answer",
        got=f"{got}, {attempts} attempts at {endpoint.url}",
        expected="an OpenAI-compatible server",
        remedy="allow more time with --timeout" if late else "check the address and the server",
    )


def conversation(system: str, turns: Sequence[str]) -> Chat:
    """Messages of a system and then, by turns, of a user and the model."""
    roles = ("user", "assistant")
    chat = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return [{"role": "system", "content": system}, *chat]
