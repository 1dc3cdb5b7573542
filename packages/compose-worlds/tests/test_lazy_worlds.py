"""Names of the worlds do not hide behind modules of the same name."""

import pkgutil
from importlib import import_module

import pytest


@pytest.mark.parametrize("world", ["stems", "terrain", "positions"])
def test_no_name_is_that_of_a_module(world):
    package = import_module(f"compose_worlds.{world}")
    modules = {info.name for info in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None
