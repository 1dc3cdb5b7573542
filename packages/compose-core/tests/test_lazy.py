"""Names of a package are imported when they are first used, once, and not before."""

import importlib
import sys

import pytest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two modules; its name."""
    name = "late_riser"
    folder = tmp_path / name
    (folder / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "from compose_core import lazy\n"
        "_HOME = {'first': ('one', 'uno'), 'deep.second': ('two',)}\n"
        "here = 0\n"
        "__getattr__, __dir__ = lazy.attach(__name__, _HOME)\n"
    )
    (folder / "first.py").write_text("one = object()\nuno = one\n")
    (folder / "deep" / "second.py").write_text("two = object()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for loaded in [m for m in sys.modules if m.partition(".")[0] == name]:
        del sys.modules[loaded]


def test_a_module_is_imported_by_the_first_use_of_its_names(package):
    made = importlib.import_module(package)
    assert f"{package}.first" not in sys.modules
    one = made.one
    assert one is made.uno is sys.modules[f"{package}.first"].one
    assert f"{package}.deep.second" not in sys.modules
    assert made.two is sys.modules[f"{package}.deep.second"].two


def test_what_was_found_is_kept(package):
    made = importlib.import_module(package)
    assert "one" not in vars(made)
    one = made.one
    sys.modules[f"{package}.first"].one = None
    assert vars(made)["one"] is made.one is one


def test_all_names_are_listed_before_they_are_used(package):
    made = importlib.import_module(package)
    assert {"here", "one", "uno", "two"} <= set(dir(made))
    assert f"{package}.first" not in sys.modules


def test_an_unknown_name_is_an_attribute_error_of_the_package(package):
    made = importlib.import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'three'"):
        _ = made.three
    assert not hasattr(made, "deep.second")
