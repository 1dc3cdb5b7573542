"""``compose zoo``: what it prints, and its exit codes."""

import sys

import pytest

from compose_core.cli import main
from compose_core.testing.shelf import Shelf


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Shelf:
    made = Shelf(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "home"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "shelf"]:
        monkeypatch.delitem(sys.modules, name)  # of another test
    return made


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_list_and_show(shelf, capsys):
    shelf.add()
    shelf.add("loose", packaged=False, pinned=False)
    assert main(["zoo", "list"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "packaged" in rows["toy-model"] and " pinned" in rows["toy-model"]
    assert "absent" in rows["loose"] and "unpinned" in rows["loose"]
    assert main(["zoo", "show", "toy-model"]) == 0
    shown = capsys.readouterr().out
    for text in ("Apache-2.0", "COMPOSE_ZOO_TOY_MODEL", "3 steps", "right 1 ± 0.25", "merges.txt"):
        assert text in shown


def test_verify_tells_good_from_bad(shelf, capsys):
    weights = shelf.add()
    assert main(["zoo", "verify", "toy-model"]) == 0
    (weights / "merges.txt").write_text("b a\n")
    assert main(["zoo", "verify", "toy-model"]) == 1
    out = capsys.readouterr().out
    assert "wrong     merges.txt" in out and "expected: sha256" in out


def test_pull_says_what_it_recorded(shelf, capsys):
    shelf.add(pinned=False)
    assert main(["zoo", "pull", "toy-model"]) == 0
    assert capsys.readouterr().out.count("recorded sha256") == 3


def test_train_calls_the_recipe(shelf, tmp_path):
    arguments = ["--device", "cpu", "--resume", "--steps", "5"]
    assert main(["zoo", "train", "toy-model", *arguments]) == 0
    assert (tmp_path / "runs" / "toy-model" / "called").read_text() == "cpu True 5"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["show", "toy-modle"], "did you mean toy-model"),
        (["train", "absent"], "no recipe 'absent'"),
        (["train", "toy-model", "--device", "abacus"], "There is no such device"),
        (["train", "toy-model", "--device", "cuda:99"], "There is no such device"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_code_2(shelf, capsys, arguments, text):
    shelf.add()
    assert main(["zoo", *arguments]) == 2
    error = capsys.readouterr().err
    assert text in error and "Traceback" not in error
