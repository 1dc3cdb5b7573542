"""The report on this machine."""

from compose_core.cli import doctor, main


def test_the_report_has_every_part(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for word in ("versions", "devices", "zoo", "traps", "torch", "cpu"):
        assert word in text


def test_an_old_library_is_a_trap(monkeypatch):
    monkeypatch.setattr(doctor, "_number", lambda name: (0, 1) if name == "diffusers" else None)
    assert any("diffusers" in line and "0.42" in line for line in doctor.traps())


def test_mixed_releases_are_a_trap(monkeypatch):
    monkeypatch.setattr(doctor, "_own", lambda: {"compose-core": "1", "compose-zoo": "2"})
    assert any("different releases" in line for line in doctor.traps())


def test_strict_fails_on_a_trap(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "traps", lambda: iter(["something"]))
    assert main(["doctor", "--strict"]) == 1
