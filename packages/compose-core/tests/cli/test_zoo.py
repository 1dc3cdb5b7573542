"""``compose zoo``: what it prints, and its exit codes."""

import shutil

import pytest

from compose_core.cli import main


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


def test_one_bad_row_does_not_end_the_list(shelf, capsys, monkeypatch):
    for name in ("bad", "toy-model"):
        shelf.add(name)
    shelf.add("absent", packaged=False)
    monkeypatch.setenv("COMPOSE_ZOO_BAD", "/nowhere/at/all")
    for action in ("list", "verify"):
        assert main(["zoo", action]) == 1
        out = capsys.readouterr().out
        rows = [line for line in out.splitlines() if line.startswith("bad")]
        assert len(rows) == 1 and "unusable" in rows[0] and "COMPOSE_ZOO_BAD" in rows[0]
        assert "absent" in out and "toy-model" in out
    assert main(["zoo", "verify", "bad"]) == 1
    assert "does not name a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import no_such_package", 'no_such_package\n  try: pip install "shelf[train]"'),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_recipe_that_cannot_be_imported_is_one_message(shelf, capsys, code, text):
    shelf.add()
    (shelf.folder / "recipes" / "toy_model.py").write_text(code)
    assert main(["zoo", "train", "toy-model"]) == 1
    error = capsys.readouterr().err
    assert text in error and "fault of the program" not in error


def test_a_collection_is_found_without_running_its_code(shelf, capsys):
    shelf.add()
    (shelf.folder / "__init__.py").write_text("1 / 0")
    assert main(["zoo", "verify", "toy-model"]) == 0


def test_a_collection_that_is_gone_is_one_message(shelf, capsys):
    shelf.add()
    shutil.rmtree(shelf.folder)
    assert main(["zoo", "list"]) == 1
    assert "checkpoints of shelf cannot be found" in capsys.readouterr().err
    assert main(["doctor", "--strict"]) == 1
    assert "checkpoints of shelf cannot be found" in capsys.readouterr().out.partition("traps")[2]


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
