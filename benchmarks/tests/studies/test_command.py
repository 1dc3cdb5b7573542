"""``compose bench study`` from end to end."""

import pytest

from compose_benchmarks.studies.record import load
from compose_core.cli import main


@pytest.fixture
def study(base, adapter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*more):
        given = ["--model", str(base), "--adapter", str(adapter), "--steps", "1", "--quiet"]
        return main(["bench", "study", "cnc-leakage", *given, "--device", "cpu", *more])

    return run


@pytest.mark.weights
def test_a_study_is_made_measured_and_published(study, tmp_path, capsys):
    assert study("--num", "2", "--publish", "--replace", "--results", "results") == 0
    shown = capsys.readouterr()
    assert "| mask | " in shown.out
    (path,) = (tmp_path / "results" / "studies").glob("cnc-leakage@*@*.json")  # other models
    made = load(path)
    assert made.task.n == 2 and not made.task.quick
    assert made.command.startswith("compose bench study cnc-leakage --num 2 --model")
    assert "--steps 1" in made.command and made.command.endswith("--device cpu")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--quick", "--publish"], "too little to be published"),
        (["--num", "2", "--publish", "--results", "results"], "so few pairs"),
        (["--num", "0"], "makes no sense"),
    ],
)
def test_refusals(study, given, said, capsys):
    assert study(*given) == 2
    assert said in capsys.readouterr().err


def test_studies_are_listed(capsys):
    assert main(["bench", "list"]) == 0
    assert "cnc-lambda" in capsys.readouterr().out
