"""The report on this machine."""

from importlib.metadata import EntryPoint

import pytest

from compose_core import method
from compose_core.cli import doctor, main


def test_the_report_has_every_part(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for word in ("versions", "devices", "zoo", "traps", "torch", "cpu"):
        assert word in text


@pytest.fixture(autouse=True)
def bounds(monkeypatch):
    """What compose-core declares; a source tree has no metadata."""
    declared = ["diffusers>=0.42", "torch>=2.11.0", 'tensorboard>=9; extra == "tensorboard"']
    monkeypatch.setattr(doctor, "requires", lambda name: declared)


@pytest.mark.parametrize(
    ("name", "found", "old"),
    [
        ("diffusers", "0.41.9", True),
        ("diffusers", "0.42.0.dev0", False),
        ("diffusers", "0.100", False),
        ("torch", "2.9.1+cu128", True),
        ("torch", "2.11", False),
        ("tensorboard", "2.0", False),  # an extra is no bound
    ],
)
def test_a_library_below_the_declared_bound_is_a_trap(monkeypatch, name, found, old):
    monkeypatch.setattr(doctor, "_version", lambda asked: found if asked == name else None)
    assert any(line.startswith(f"{name} {found} is older") for line in doctor.traps()) == old


def test_a_source_tree_without_metadata_has_no_bounds(monkeypatch):
    def missing(name):
        raise doctor.PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "requires", missing)
    assert not any("is older than" in line for line in doctor.traps())


def test_a_checkpoint_that_is_here_and_not_whole_is_a_trap(shelf, monkeypatch):
    weights = shelf.add()
    shelf.add("absent", packaged=False)
    assert not any("toy-model" in line or "absent" in line for line in doctor.traps())
    (weights / "merges.txt").write_text("b a\n")
    assert any(line.startswith("toy-model") and "merges.txt" in line for line in doctor.traps())
    monkeypatch.setenv("COMPOSE_ZOO_ABSENT", "/nowhere/at/all")
    assert any(line.startswith("absent") and "/nowhere" in line for line in doctor.traps())


def test_a_broken_method_is_a_trap(monkeypatch):
    broken = [EntryPoint("broken", "no.such.module:X", method.GROUP)]
    monkeypatch.setattr(method, "entry_points", lambda group: broken)
    assert any(line.startswith("broken") and "imported" in line for line in doctor.traps())


def test_mixed_releases_are_a_trap(monkeypatch):
    monkeypatch.setattr(doctor, "_own", lambda: {"compose-core": "1", "compose-zoo": "2"})
    assert any("different releases" in line for line in doctor.traps())


def test_strict_fails_on_a_trap(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "traps", lambda: iter(["something"]))
    assert main(["doctor", "--strict"]) == 1
