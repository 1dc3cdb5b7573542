"""Sound files: exact parts, tags, and files that are whole at any moment."""

import shutil

import pytest
import torch

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_dde.audio import Recorder, probe, read_sound

RATE = 8000


def noise(channels, frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(channels, frames, generator=generator).clamp(-3, 3)


def recorded(path, samples, **options):
    with Recorder(path, RATE, samples.shape[0], **options) as file:
        file.write(samples)
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("depth", [16, 24])
def test_what_is_written_is_read(tmp_path, suffix, depth):
    x = noise(4, 5000)
    path = recorded(tmp_path / f"a.{suffix}", x, depth=depth, tags={"comment": "seed 7"})
    found = read_sound(path)
    assert found.rate == RATE and found.notes == ()
    assert (found.samples - x).abs().max() <= 1.01 * 2.0 ** (1 - depth)
    info = probe(path)
    assert (info.channels, info.frames, info.rate) == (4, 5000, RATE)
    assert info.tags["comment"] == "seed 7" and info.format[0] == suffix.upper()
    part = read_sound(path, start=1234, frames=77)
    assert torch.equal(part.samples, found.samples[:, 1234:1311])


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_an_interrupted_file_is_whole(tmp_path, suffix):
    x = noise(2, 30_000)
    file = Recorder(tmp_path / f"live.{suffix}", RATE, 2)
    done = 0
    for frames in (100, 4000, 5000, 1, 12_000, 8899):
        file.write(x[:, done : done + frames])
        done += frames
        # What another program sees if this one is killed now.
        copy = shutil.copy(file.path, tmp_path / f"copy.{suffix}")
        if suffix == "flac" and done <= 4096:
            continue  # not a block yet
        found = read_sound(copy).samples
        missing = 0 if suffix == "wav" else 4097
        assert done - missing <= found.shape[1] <= done == file.frames
        assert (found - x[:, : found.shape[1]]).abs().max() < 1e-6
        assert probe(copy).frames == found.shape[1]
    file.close()
    file.close()
    assert read_sound(file.path).samples.shape == (2, 30_000)
    with pytest.raises(ComposeError, match="closed"):
        file.write(x)


def test_an_error_while_recording_keeps_what_was_written(tmp_path):
    x = noise(1, 10_000)
    with pytest.raises(RuntimeError, match="stop"), Recorder(tmp_path / "a.flac", RATE, 1) as file:
        file.write(x)
        raise RuntimeError("stop")
    assert read_sound(tmp_path / "a.flac").samples.shape == (1, 10_000)


def test_loud_values_are_cut_and_wrong_pieces_refused(tmp_path):
    with Recorder(tmp_path / "a.wav", RATE, 1) as file:
        file.write(torch.tensor([0.5, 2.0, -3.0]))
        for wrong in (torch.zeros(2, 5), torch.zeros(1, 5).long()):
            with pytest.raises(ShapeError, match="does not belong"):
                file.write(wrong)
        with pytest.raises(ShapeError, match="no numbers"):
            file.write(torch.tensor([float("nan")]))
    assert read_sound(tmp_path / "a.wav").samples[0].tolist() == pytest.approx([0.5, 1, -1])


def test_other_rates_are_resampled_and_said(tmp_path):
    path = recorded(tmp_path / "a.wav", noise(1, 8000))
    found = read_sound(path, rate=4000)
    assert found.rate == 4000 and found.samples.shape == (1, 4000)
    assert found.notes == ("a.wav: resampled from 8000 to 4000 Hz",)
    assert read_sound(path, rate=RATE).notes == ()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"start": 100}, "not in"),
        ({"start": -1}, "not in"),
        ({"frames": 101}, "not in"),
        ({"start": 50, "frames": 0}, "not in"),
    ],
)
def test_parts_outside_are_refused(tmp_path, options, word):
    path = recorded(tmp_path / "a.wav", noise(1, 100))
    with pytest.raises(UsageError, match=word):
        read_sound(path, **options)


def test_what_is_no_sound_is_refused(tmp_path):
    with pytest.raises(ComposeError, match="does not exist"):
        read_sound(tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(ComposeError, match="no sound"):
        probe(tmp_path / "text.wav")
    Recorder(tmp_path / "empty.wav", RATE, 1).close()
    with pytest.raises(ComposeError, match="empty"):
        read_sound(tmp_path / "empty.wav")
    whole = recorded(tmp_path / "cut.flac", noise(1, 50_000)).read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ComposeError, match="ends before|damaged"):
        read_sound(tmp_path / "cut.flac")


def test_a_file_that_never_told_its_length_is_refused(tmp_path):
    import soundfile

    file = soundfile.SoundFile(str(tmp_path / "a.flac"), "w", RATE, 1, "PCM_24", format="FLAC")
    file.write(noise(1, 20_000).T.numpy())
    file.flush()
    copy = shutil.copy(tmp_path / "a.flac", tmp_path / "b.flac")
    file.close()
    assert probe(copy).frames is None
    with pytest.raises(ComposeError, match="does not know its length"):
        read_sound(copy)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp3", {}),
        ("a.wav", {"depth": 8}),
        ("a.flac", {"channels": 9}),
        ("a.wav", {"tags": {"scene": "x"}}),
        ("a.wav", {"rate": 0}),
    ],
)
def test_impossible_recordings_are_refused(tmp_path, name, options):
    with pytest.raises(UsageError, match="recorded"):
        Recorder(tmp_path / name, **({"rate": RATE, "channels": 1} | options))


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(ComposeError, match="cannot be written"):
        Recorder(tmp_path / "no" / "a.wav", RATE, 1)
