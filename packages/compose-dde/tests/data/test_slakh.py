"""Songs in the layout of Slakh2100 as multi-source diffusion models use it."""

import warnings

import pytest
import soundfile
import torch

from compose_core.errors import ComposeError, UsageError
from compose_dde.audio import Recorder
from compose_dde.data import STEMS, Slakh

RATE = 1000


def write(folder, name, seconds, value=None, channels=1):
    folder.mkdir(parents=True, exist_ok=True)
    frames = round(seconds * RATE)
    ramp = torch.arange(frames) / 2.0**15 if value is None else torch.full((frames,), value)
    with Recorder(folder / f"{name}.wav", RATE, channels, depth=16) as file:
        file.write(ramp.expand(channels, -1))


@pytest.fixture
def train(tmp_path):
    """Two tracks of which one lacks a stem; each sample tells its place."""
    for number, seconds in ((1, 16.0), (2, 13.0)):
        for stem in STEMS:
            if (number, stem) != (2, "guitar"):
                write(tmp_path / f"Track{number:05d}", stem, seconds)
    (tmp_path / "readme.txt").write_text("no track")
    return tmp_path


def test_pieces_are_parts_of_one_track(train):
    songs = Slakh(train, 4000, rate=RATE, places=5)
    assert [t.frames for t in songs.tracks] == [16_000, 13_000] and len(songs) == 29 // 4 * 5
    for index in range(len(songs)):
        track, start = songs.place(index)
        assert 0 <= start <= track.frames - 4000
        x = songs.piece(index)
        assert x.shape == (4, 4000)
        assert torch.equal(x[0], (start + torch.arange(4000)) / 2.0**15)
        missing = track.folder.name == "Track00002"
        assert torch.equal(x[2], torch.zeros(4000) if missing else x[0])


def test_places_differ_and_cover_everything(train):
    songs = Slakh(train, 2000, rate=RATE, places=40)
    starts = {songs.place(i) for i in range(0)}
    seen = torch.zeros(16_000)
    for index in range(len(songs)):
        track, start = songs.place(index)
        if track is songs.tracks[0]:
            seen[start : start + 2000] = 1
        starts.add(start)
    assert seen.mean() > 0.98 and len(starts) > 200


def test_numbers_decide_and_the_gain_is_applied(train):
    songs = Slakh(train, 4000, rate=RATE)
    softer = Slakh(train, 4000, rate=RATE, gain=0.5)
    batch = songs.batch(torch.tensor([3, 17]))["x"]
    assert torch.equal(batch[1], songs.piece(17)) and batch.shape == (2, 4, 4000)
    assert torch.equal(softer.batch(torch.tensor([3, 17]))["x"], 0.5 * batch)
    before = {p for p in train.rglob("*")}
    assert before == {p for p in train.rglob("*")}
    with pytest.raises(IndexError):
        songs.piece(len(songs))


def test_tracks_of_other_lengths_are_left_out_and_said(train):
    write(train / "Track00003", "bass", 5.0)
    write(train / "Track00004", "bass", 20.0)
    (train / "Track00005").mkdir()
    for stem, seconds in (("bass", 14.0), ("drums", 15.0)):
        write(train / "Track00006", stem, seconds)
    with pytest.warns(UserWarning) as said:
        songs = Slakh(train, 4000, rate=RATE, most=18.0)
    text = str(said[0].message)
    assert [t.folder.name for t in songs.tracks] == ["Track00001", "Track00002"]
    for why in ("too short", "too long", "without stems", "unequal length"):
        assert f"1 {why}" in text or f"1 with stems of {why}" in text


def test_unequal_stems_can_be_cut_or_filled_up(tmp_path):
    write(tmp_path / "T", "bass", 13.0, 0.25)
    write(tmp_path / "T", "drums", 15.0, 0.5, channels=2)
    cut = Slakh(tmp_path, 4000, rate=RATE, unequal="shortest")
    full = Slakh(tmp_path, 4000, rate=RATE, unequal="pad", places=64)
    assert cut.tracks[0].frames == 13_000 and full.tracks[0].frames == 15_000
    x = torch.stack([full.piece(i) for i in range(len(full))])
    assert set(x[:, 1].flatten().tolist()) == {0.5} and set(x[:, 2].flatten().tolist()) == {0.0}
    assert set(x[:, 0].flatten().tolist()) == {0.0, 0.25}


def test_folders_without_songs_and_other_rates_are_refused(train, tmp_path):
    with pytest.raises(ComposeError, match="does not exist"):
        Slakh(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ComposeError, match="holds no song"):
        Slakh(tmp_path / "empty")
    with pytest.raises(ComposeError, match="another sample rate"):
        Slakh(train, 4000)
    with pytest.raises(UsageError, match="impossible"):
        Slakh(train, 4000, rate=RATE, unequal="stretch")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_stems_that_are_no_numbers_are_named(value, train):
    path = train / "Track00001" / "drums.wav"
    samples = torch.zeros(16_000, 2)
    samples[9000, 1] = value
    soundfile.write(path, samples.numpy(), RATE, "FLOAT")
    songs = Slakh(train, 4000, rate=RATE)
    refused = 0
    for index in range(len(songs)):
        track, start = songs.place(index)
        if track.folder.name == "Track00001" and start <= 9000 < start + 4000:
            refused += 1
            with pytest.raises(ComposeError, match="no numbers") as caught:
                songs.batch(torch.tensor([index]))
            assert str(path) in caught.value.got
        else:
            assert bool(songs.piece(index).isfinite().all())
    assert refused


def test_silence_is_normal(train):
    write(train / "Track00001", "bass", 16.0, 0.0)
    songs = Slakh(train, 4000, rate=RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not songs.piece(0)[0].any()
