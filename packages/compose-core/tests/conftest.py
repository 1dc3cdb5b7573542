"""Fixtures of every test of this package."""

import sys

import pytest

from compose_core.testing.devices import device  # noqa: F401
from compose_core.testing.shelf import Shelf


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Shelf:
    """A collection of checkpoints like an installed one, and an empty user's folder."""
    made = Shelf(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "home"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "shelf"]:
        monkeypatch.delitem(sys.modules, name)  # of another test
    return made
