"""The table of capabilities."""

import json
from importlib.metadata import EntryPoint

from compose_core import method
from compose_core.cli import main
from compose_core.cli.methods import table


def test_the_table_has_a_row_for_each_key_and_a_column_for_each_method():
    lines = table({"one": {"box": "needs"}, "another": {"box": "uses", "depth": "uses"}})
    assert lines[0].split() == ["key", "one", "another"]
    assert lines[1].split() == ["box", "needs", "yes"]
    assert lines[2].split() == ["depth", "·", "yes"]


def test_the_baseline_is_there(capsys):
    assert main(["methods"]) == 0
    assert "regional" in capsys.readouterr().out
    assert main(["methods", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["regional"]["prompt"] in ("uses", "needs")


def test_a_broken_method_does_not_hide_the_others(capsys, monkeypatch):
    broken = [EntryPoint("broken", "no.such.module:X", method.GROUP)]
    monkeypatch.setattr(method, "entry_points", lambda group: broken)
    assert main(["methods"]) == 1
    out, error = capsys.readouterr()
    assert "\nregional: " in out and "broken: the method 'broken' cannot be imported" in error
    assert main(["methods", "--json"]) == 1
    assert list(json.loads(capsys.readouterr().out)) == ["regional"]
