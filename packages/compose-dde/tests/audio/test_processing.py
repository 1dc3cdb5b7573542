"""Rates, mel bands and checks; with torchaudio and without."""

import subprocess
import sys

import pytest
import torch

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_dde.audio import (
    as_stems,
    backend,
    backends,
    check_sound,
    log_mel,
    mel_bands,
    resample,
    to_mono,
)


def sine(hertz, rate, seconds=1.0):
    return torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * rate)) / rate)


@pytest.fixture
def without_torchaudio(monkeypatch):
    monkeypatch.setattr(backends, "_torchaudio", lambda: (None, "RuntimeError: CUDA 12 and 13"))


@pytest.mark.parametrize(("old", "new"), [(22_050, 16_000), (4000, 16_000), (16_000, 4000)])
def test_a_tone_stays_the_tone(old, new):
    found = resample(sine(440, old), old, new, using="torch")
    wanted = sine(440, new)
    assert found.shape == wanted.shape
    inner = slice(new // 10, -new // 10)
    assert (found - wanted)[inner].abs().max() < 2e-3


def test_what_the_new_rate_cannot_hold_is_gone():
    found = resample(sine(3000, 16_000), 16_000, 4000, using="torch")
    assert found[400:-400].abs().max() < 2e-3


def test_the_two_backends_agree():
    pytest.importorskip("torchaudio.functional")
    x = torch.randn(3, 2, 5000, generator=torch.Generator().manual_seed(0))
    for old, new in ((22_050, 16_000), (4000, 16_000), (48_000, 22_050), (8000, 8000)):
        ours = resample(x, old, new, using="torch")
        theirs = resample(x, old, new, using="torchaudio")
        assert ours.shape == theirs.shape == (3, 2, -(-5000 * new // old))
        assert (ours - theirs).abs().max() < 1e-4
    for bands, rate in ((40, 4000), (64, 22_050)):
        options = (129, bands, rate, 60.0, rate / 2)
        theirs = mel_bands(*options, using="torchaudio")
        assert (mel_bands(*options, using="torch") - theirs).abs().max() < 1e-5
    assert backend() == backend("torchaudio") == "torchaudio"


def test_without_torchaudio_everything_works_but_asking_for_it(without_torchaudio):
    assert backend() == backend("torch") == "torch"
    x = sine(440, 8000)
    assert torch.equal(resample(x, 8000, 4000), resample(x, 8000, 4000, using="torch"))
    assert log_mel(x, 8000, bands=20).shape == (20, 32)
    with pytest.raises(ComposeError, match="torchaudio cannot be used") as caught:
        backend("torchaudio")
    assert "CUDA 12 and 13" in str(caught.value) and "auto" in str(caught.value)


def test_a_broken_torchaudio_breaks_no_import():
    code = (
        "import sys; sys.modules['torchaudio'] = None\n"
        "import compose_dde, compose_dde.audio as a, torch\n"
        "print(a.backend(), a.resample(torch.zeros(100), 8000, 4000).shape[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch", "50"]


def test_unknown_backends_and_rates_are_refused():
    with pytest.raises(UsageError, match="backend"):
        backend("sox")
    with pytest.raises(UsageError, match="rate"):
        resample(torch.zeros(5), 0, 8000)
    with pytest.raises(UsageError, match="mel bands"):
        mel_bands(129, 40, 4000, 60.0, 3000.0)


def test_mel_peaks_where_the_tone_is():
    bands = mel_bands(513, 40, 16_000, 60.0, 8000.0, using="torch")
    for hertz in (300.0, 1000.0, 4000.0):
        heard = log_mel(sine(hertz, 16_000), 16_000, bands=40, low=60.0)
        expected = bands[round(hertz / 16_000 * 1024)].argmax()
        assert (heard[:, 20].argmax() - expected).abs() <= 1
    assert log_mel(torch.zeros(2, 3, 4000), 16_000).shape == (2, 3, 64, 16)
    with pytest.raises(ShapeError, match="too short"):
        log_mel(torch.zeros(512), 16_000)


def test_an_ordinary_sound_gives_no_warning():
    x = torch.stack([0.5 * sine(440, 8000), 0.4 * sine(330, 8000)])
    report = check_sound(x, 8000, channels=2, least=0.5, expected_rate=8000)
    assert report.warnings == () and report.peak == pytest.approx(0.5, abs=1e-3)
    assert report.rms == pytest.approx(((0.125 + 0.08) / 2) ** 0.5, rel=1e-2)


@pytest.mark.parametrize(
    ("sound", "word"),
    [
        (torch.zeros(1, 8000), "is silent"),
        (torch.stack([sine(440, 8000), torch.zeros(8000)]), r"channels \[1\] are silent"),
        ((3 * sine(440, 8000)[None]).clamp(-1, 1), "clipped"),
        (1.5 * sine(440, 8000)[None], "beyond full scale"),
        (0.3 + 0.1 * sine(440, 8000)[None], "constant offset"),
        (torch.stack([0.1 * sine(440, 8000)] * 2), "one channel twice"),
    ],
)
def test_unusual_sounds_are_named(sound, word):
    import re

    said = check_sound(sound, 8000).warnings
    assert any(re.search(word, line) for line in said)


@pytest.mark.parametrize(
    ("sound", "options", "word"),
    [
        (torch.zeros(8000), {}, "no sound"),
        (torch.zeros(1, 0), {}, "no sound"),
        (torch.zeros(1, 9, dtype=torch.int16), {}, "no sound"),
        (torch.full((1, 9), float("nan")), {}, "no numbers"),
        (torch.zeros(2, 9), {"channels": 4}, "wrong channels"),
        (torch.zeros(1, 9), {"least": 1.0}, "too short"),
        (torch.zeros(1, 9), {"expected_rate": 4000}, "another sample rate"),
    ],
)
def test_unfit_sounds_are_refused(sound, options, word):
    with pytest.raises(ShapeError, match=word):
        check_sound(sound, 8000, **options)


def test_one_channel_twice_is_as_loud_as_once():
    x = sine(440, 8000)
    assert torch.equal(to_mono(torch.stack([x, x])), x)


def test_stems_are_put_in_order_and_filled_up():
    stems = as_stems(
        {"piano": torch.ones(3), "bass": torch.full((2, 5), 2.0)},
        ("bass", "drums", "guitar", "piano"),
    )
    assert stems.tolist() == [[2.0] * 5, [0.0] * 5, [0.0] * 5, [1.0] * 3 + [0.0] * 2]
    for wrong in ({}, {"flute": torch.ones(3)}):
        with pytest.raises(UsageError, match="other stems"):
            as_stems(wrong, ("bass", "drums"))
