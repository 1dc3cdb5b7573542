"""A collection of checkpoints like an installed one, and an empty user's folder."""

import sys

import pytest

from compose_core.testing.shelf import Shelf


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Shelf:
    made = Shelf(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "home"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "shelf"]:
        monkeypatch.delitem(sys.modules, name)  # of another test
    return made
