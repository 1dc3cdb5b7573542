import math
import wave

import pytest
import torch

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics.audio import waves
from compose_metrics.audio.waves import checked_wave, read_wave, resample


def sine(hertz, rate, seconds=0.25):
    t = torch.arange(round(rate * seconds), dtype=torch.float64) / rate
    return torch.sin(2 * math.pi * hertz * t)


def written(path, values, width, channels=1, rate=16_000):
    data = b"".join(
        (v + 128 if width == 1 else v).to_bytes(width, "little", signed=width > 1) for v in values
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_pcm_is_divided_by_its_full_scale(tmp_path, width):
    full = 2 ** (8 * width - 1)
    path = written(tmp_path / "a.wav", [0, full // 2, -full, full - 1], width)
    found = read_wave(path)
    assert found.rate == 16_000 and found.samples.dtype == torch.float32
    torch.testing.assert_close(found.samples[0], torch.tensor([0, 0.5, -1, (full - 1) / full]))


def test_soundfile_reads_the_same(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    for width in (1, 2, 3, 4):
        path = written(tmp_path / f"{width}.wav", [0, 1, -3, 100, -128, 127], width, channels=2)
        theirs = torch.from_numpy(soundfile.read(str(path), dtype="float32")[0].T.copy())
        assert torch.equal(read_wave(path).samples, theirs)
        part = read_wave(path, start=1, frames=1)
        assert torch.equal(part.samples, theirs[:, 1:2])


def test_other_formats_go_through_soundfile(tmp_path, monkeypatch):
    soundfile = pytest.importorskip("soundfile")
    x = sine(440, 8000).float()
    path = tmp_path / "a.wav"
    soundfile.write(str(path), x.numpy(), 8000, subtype="FLOAT")
    assert torch.equal(read_wave(path).samples[0], x)
    assert torch.equal(read_wave(path, start=10, frames=5).samples[0], x[10:15])
    (tmp_path / "b.flac").write_bytes(b"no sound")
    with pytest.raises(ComposeError, match=r"cannot be read"):
        read_wave(tmp_path / "b.flac")

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(waves, "import_module", missing)
    with pytest.raises(ComposeError, match="no PCM WAV") as caught:
        read_wave(path)
    assert "compose-metrics[audio]" in str(caught.value)


def test_parts_outside_and_missing_files_are_named(tmp_path):
    path = written(tmp_path / "a.wav", [0, 1, 2], 2)
    for start, frames in ((0, 4), (3, None), (-1, 2), (1, 0)):
        with pytest.raises(UsageError, match="not in the sound"):
            read_wave(path, start=start, frames=frames)
    with pytest.raises(ComposeError, match="does not exist"):
        read_wave(tmp_path / "none.wav")
    with pytest.raises(ComposeError, match="empty"):
        read_wave(written(tmp_path / "empty.wav", [], 2))


@pytest.mark.parametrize(("rate", "new"), [(22_050, 16_000), (8_000, 16_000), (48_000, 16_000)])
def test_resampling_equals_torchaudio_kaiser_best(rate, new):
    functional = pytest.importorskip("torchaudio.functional")
    x = torch.randn(2, 1001, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = functional.resample(
        x,
        rate,
        new,
        lowpass_filter_width=waves.ZEROS,
        rolloff=waves.ROLLOFF,
        resampling_method="sinc_interp_kaiser",
        beta=waves.BETA,
    )
    # It keeps the shape of the window in float32.
    torch.testing.assert_close(resample(x, rate, new), expected, rtol=0, atol=5e-7)


def test_a_tone_below_nyquist_stays_and_one_above_goes():
    low, high = sine(1000, 22_050), sine(10_000, 22_050)
    inner = slice(400, -400)
    expected = sine(1000, 16_000)
    torch.testing.assert_close(
        resample(low, 22_050, 16_000)[: len(expected)][inner], expected[inner], atol=1e-4, rtol=0
    )
    assert float(resample(high, 22_050, 16_000)[inner].abs().max()) < 1e-3
    assert torch.equal(resample(low, 5, 5), low)
    assert resample(low, 3, 1).shape == (-(-len(low) // 3),)
    with pytest.raises(UsageError, match="rate"):
        resample(low, 0, 5)


def test_waves_are_checked_and_mixed():
    assert checked_wave(torch.tensor([[1.0, 2], [3, 4]])).tolist() == [2, 3]
    for bad in (torch.ones(3, dtype=torch.int16), torch.ones(1, 1, 3), torch.ones(0)):
        with pytest.raises(ShapeError, match="no wave"):
            checked_wave(bad)
    with pytest.raises(ShapeError, match="not numbers"):
        checked_wave(torch.tensor([float("nan")]))
