"""The command: what it lists, runs, shows and refuses."""

import json

import pytest

from compose_benchmarks import record
from compose_core.cli import main


@pytest.fixture
def results(result, tmp_path):
    folder = tmp_path / "results"
    for name, values in (("plain", (1.0, 0.0)), ("regional", (1.0, 1.0))):
        record.save(result(name, values), folder / "regional-attributes" / f"{name}.json")
    return folder


def test_list_names_suites_and_methods(capsys):
    assert main(["bench", "list"]) == 0
    out = capsys.readouterr().out
    assert "regional-attributes" in out and "methods: plain, regional" in out


@pytest.mark.parametrize("format", ["md", "csv", "json"])
def test_tables(results, capsys, format):
    given = ["bench", "table", "regional-attributes", "--results", str(results)]
    assert main([*given, "--format", format]) == 0
    out = capsys.readouterr().out
    assert "regional" in out
    if format == "json":
        assert json.loads(out)[0]["rows"][0]["method"] == "regional"


def test_unequal_n_is_refused(results, result, capsys):
    other = result("third", (1.0, 1.0, 0.0))
    record.save(other, results / "regional-attributes" / "third.json")
    assert main(["bench", "table", "--results", str(results)]) == 1
    assert "cannot be ranked together" in capsys.readouterr().err


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


@pytest.mark.weights
def test_end_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = ["bench", "run", "regional-attributes", "--num", "2", "--steps", "4", "--quiet"]
    assert main([*given, "--publish", "--results", "results", "--method", "regional"]) == 0
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
        "compose bench run regional-attributes --method regional --num 2 --steps 4"
    )
    assert made.cost.evaluations_per_item > 2 * 4 and made.cost.seconds > 0
    assert made.model.files and len(made.sampler.seeds) == 2
    items = json.loads((folder / "items.json").read_text())
    assert items["sha256"] == made.task.items_sha256
    assert items["items"][0]["scene"]["layers"][1]["box"]
    # A damaged picture is made again; the numbers stay.
    (one,) = tmp_path.glob("runs/bench/*/items/00001.png")
    one.write_bytes(one.read_bytes()[:-40])
    assert main([*given, "--method", "regional"]) == 0
    again = record.load(next(tmp_path.glob("runs/bench/*/record-2.json")))
    assert again.metrics == made.metrics and again.run_id == made.run_id
    # Plain beside it, from its own record.
    both = ["--method", "regional", "--method", "plain"]
    assert main([*given, *both, "--publish", "--results", "results"]) == 0
    assert main(["bench", "table", "regional-attributes", "--results", "results"]) == 0
    assert "| plain | sd-tiny |" in capsys.readouterr().out
