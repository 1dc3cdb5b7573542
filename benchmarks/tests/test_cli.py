"""The command: what it lists, runs, shows and refuses."""

import json

import pytest

from compose_benchmarks import measure, record
from compose_core.cli import main
from compose_core.errors import ComposeError

PRIMARY = "compbench-color@tiny-v1"


@pytest.fixture
def one(result, measured):
    """A record with the metric that ranks its suite."""
    return lambda name, values: result(name, values, [measured(values, id=PRIMARY)])


@pytest.fixture
def results(one, tmp_path):
    folder = tmp_path / "results"
    for name, values in (("plain", (1.0, 0.0)), ("regional", (1.0, 1.0))):
        record.save(one(name, values), folder / "regional-attributes" / f"{name}.json")
    return folder


def test_list_names_suites_and_methods(capsys):
    assert main(["bench", "list"]) == 0
    out = capsys.readouterr().out
    assert "regional-attributes" in out
    after = out.split("regional-attributes")[1].splitlines()[1]
    methods = after.strip().removeprefix("methods: ").split(", ")
    assert {"plain", "regional", "realcompo"} <= set(methods)
    assert "cnc" not in methods  # it needs depth or exemplars, of which this suite has none


@pytest.mark.parametrize("format", ["md", "csv", "json"])
def test_tables(results, capsys, format):
    given = ["bench", "table", "regional-attributes", "--results", str(results)]
    assert main([*given, "--format", format]) == 0
    out = capsys.readouterr().out
    assert "regional" in out
    if format == "json":
        assert json.loads(out)[0]["rows"][0]["method"] == "regional"


def test_unequal_n_never_shares_a_table(results, one, capsys):
    record.save(one("third", (1.0, 1.0, 0.0)), results / "regional-attributes" / "third.json")
    assert main(["bench", "table", "--results", str(results)]) == 0
    shown = capsys.readouterr()
    first, second = shown.out.split("###")[1:]
    assert "n = 3" in first and "third" in first and "plain" not in first
    assert "n = 2" in second and "third" not in second and "plain" in second
    assert "cannot be ranked together" in shown.err


def test_unreadable_results(results, capsys):
    (results / "regional-attributes" / "bad.json").write_text("?")
    assert main(["bench", "table", "--results", str(results)]) == 1
    assert "bad.json" in capsys.readouterr().err
    assert main(["bench", "table", "--results", str(results), "--skip-unreadable"]) == 0
    assert "1 files were skipped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said", "code"),
    [
        (["run", "regional-attribute"], "no suite", 2),
        (["run", "quality", "--method", "magic"], "no method", 2),
        (["run", "quality", "--num", "1"], "too few pictures", 2),
        (["run", "quality", "--quick", "--publish"], "too little to be published", 2),
        (["run", "quality", "--processes", "0"], "processes", 2),
        (["run", "quality", "--num", "255", "--publish"], "too little to be published", 2),
        (["run", "quality", "--skip-unreadable"], "goes with --measure-only", 2),
        (
            ["run", "quality", "--quick", "--measure-only", "--method", "plain"],
            "cannot be read",
            1,
        ),
        (["run", "quality", "--quick", "--device", "abacus"], "no such device", 1),
        (["run", "quality", "--quick", "--sampler", "magic"], "unknown sampler", 2),
        (["table", "magic"], "no suite", 2),
        (["table", "quality", "--format", "pdf"], "unknown format", 2),
        (["table", "quality", "--results", "nowhere"], "no results", 1),
    ],
)
def test_wrong_usage_is_one_clear_message(given, said, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *given]) == code
    shown = capsys.readouterr()
    assert said in shown.err and "Traceback" not in shown.err and not shown.out
    assert not list(tmp_path.rglob("*.png"))


def test_a_launcher_and_processes_are_one_too_many(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    assert main(["bench", "run", "quality", "--quick", "--processes", "2"]) == 2
    assert "launcher" in capsys.readouterr().err


def test_the_command_of_a_record_can_be_pasted_and_means_the_same(job):
    import argparse
    import shlex
    from dataclasses import replace

    from compose_benchmarks.cli import _command, configure

    parser = argparse.ArgumentParser()
    configure(parser)
    args = parser.parse_args(["run", "quality", "--num", "9", "--model", "my model"])
    made = replace(job(suite="quality", method="plain", n=9), model="my model", device="cpu")
    words = shlex.split(_command(args, made))
    assert words[:4] == ["compose", "bench", "run", "quality"]
    again = parser.parse_args(words[2:])
    assert (again.model, again.num, again.method, again.device) == (
        "my model",
        9,
        ["plain"],
        "cpu",
    )
    assert "--device cuda" in _command(args, replace(made, device="cuda:1"))


@pytest.fixture
def published(result, measured, tmp_path):
    """A folder with a record as long as the suite asks for, and a run to put beside or over it."""
    from compose_benchmarks.items import digest
    from compose_benchmarks.registry import find
    from compose_benchmarks.runner import Job, prepare

    suite = find("regional-attributes")
    sha = digest(suite.items(suite.n))
    whole = result("plain", (1.0,) * suite.n, items_sha256=sha)
    path = tmp_path / "regional-attributes" / "plain.json"
    record.save(whole, path)

    def run(method="plain", **changes):
        usual = {"suite": suite.name, "n": suite.n, "out": tmp_path / "runs"}
        return prepare(Job(method=method, **(usual | changes)))

    return tmp_path, run


@pytest.mark.weights
def test_what_is_published_is_not_spoilt(published):
    folder, run = published
    check = measure.check_place
    check(folder, run(), replace=False)
    check(folder, run("regional"), replace=False)
    with pytest.raises(ComposeError, match="too little"):
        check(folder, run(n=3), replace=False)
    for change in ({"steps": 2}, {"sampler": "heun"}, {"guidance": 1.0}):
        with pytest.raises(ComposeError, match="measured otherwise"):
            check(folder, run(**change), replace=False)
        check(folder, run(**change), replace=True)
    # Beside a record of other items nothing is published, whatever is asked for.
    for replace in (False, True):
        with pytest.raises(ComposeError, match=r"other items|too little"):
            check(folder, run("regional", n=3), replace=replace)


@pytest.mark.weights
def test_a_shorter_run_replaces_a_longer_one_only_when_told(published, result):
    folder, run = published
    longer = result("plain", (1.0,) * 300)
    record.save(longer, folder / "regional-attributes" / "plain.json")
    with pytest.raises(ComposeError, match="n: 300, and now 256"):
        measure.check_place(folder, run(), replace=False)
    measure.check_place(folder, run(), replace=True)


@pytest.mark.weights
def test_end_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = ["bench", "run", "regional-attributes", "--num", "2", "--steps", "4", "--quiet"]
    given += ["--device", "cpu"]
    publish = ["--publish", "--replace", "--results", "results"]
    assert main([*given, *publish, "--method", "regional"]) == 0
    assert "| 1 | regional | sd-tiny |" in capsys.readouterr().out
    folder = tmp_path / "results" / "regional-attributes"
    assert sorted(p.name for p in folder.iterdir()) == [
        "items.json",
        "regional.json",
        "regional.png",
    ]
    made = record.load(folder / "regional.json")
    assert made.task.n == 2 and made.sampler.steps == 4 and not made.task.quick
    assert made.command == (
        "compose bench run regional-attributes --method regional --num 2 --steps 4 --device cpu"
    )
    assert made.cost.evaluations_per_item > 2 * 4 and made.cost.seconds > 0
    assert made.model.files and len(made.sampler.seeds) == 2
    items = json.loads((folder / "items.json").read_text())
    assert items["sha256"] == made.task.items_sha256
    assert items["items"][0]["scene"]["layers"][1]["box"]
    # A damaged picture is an error, is left out, or is made again; then the numbers stay.
    (one,) = tmp_path.glob("runs/bench/*/items/00001.png")
    one.write_bytes(one.read_bytes()[:-40])
    only = [*given, "--method", "regional", "--measure-only"]
    assert main(only) == 1
    assert "00001.png" in capsys.readouterr().err
    assert main([*only, "--skip-unreadable"]) == 0
    part = record.load(next(tmp_path.glob("runs/bench/*/record-2.json")))
    assert (part.task.n, part.task.skipped) == (1, 1)
    assert main([*given, "--method", "regional"]) == 0
    again = record.load(next(tmp_path.glob("runs/bench/*/record-2.json")))
    assert again.metrics == made.metrics and again.run_id == made.run_id
    # Plain beside it, from its own record.
    both = ["--method", "regional", "--method", "plain"]
    assert main([*given, *both, *publish]) == 0
    assert main(["bench", "table", "regional-attributes", "--results", "results"]) == 0
    assert "| plain | sd-tiny |" in capsys.readouterr().out
