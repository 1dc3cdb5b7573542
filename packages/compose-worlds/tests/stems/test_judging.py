"""What is heard in rendered songs, and how material that does not belong together is found."""

import pytest
import torch

from compose_core.errors import ShapeError, UsageError
from compose_worlds.stems import agreement, draw, hear, labels, mixed, stems
from compose_worlds.stems.hearing import beat, key
from compose_worlds.stems.spectra import FRAMES, chromagram, framed, onsets
from compose_worlds.stems.theory import scale, signature

RATE = 4000


def part(seed, seconds, start=20.0):
    song = draw(seed, start + seconds + 1)
    return song, stems(song, RATE, int(start * RATE), int(seconds * RATE))


def test_tempo_scale_and_chords_of_songs_are_heard():
    right = {"tempo": 0, "key": 0, "chords": 0.0}
    n = 16
    for seed in range(700, 700 + n):
        song, played = part(seed, 16)
        found = hear(played, RATE)
        right["tempo"] += abs(found.tempo / song.tempo - 1) < 0.03
        right["key"] += found.signature == signature(song.tonic, song.mode)
        known = labels(song)
        wanted = [known.chord_at(20.0 + (i + 0.5) / 2) for i in range(len(found.chords))]
        numbers = torch.tensor([c.root + 12 * (c.quality == "minor") for c in wanted])
        right["chords"] += float((found.chords.argmax(1) == numbers).double().mean())
    assert right["tempo"] >= n - 1 and right["key"] >= n - 2 and right["chords"] > 0.88 * n


def test_a_mix_is_heard_too():
    song, played = part(31, 16)
    found = hear(mixed(played), RATE)
    assert found.tempo == pytest.approx(song.tempo, rel=0.03)
    assert found.signature == signature(song.tonic, song.mode)


def test_other_rates_are_heard_alike():
    song = draw(12, 20)
    for rate in (8000, 22_050):
        found = hear(stems(song, rate, 0, 16 * rate), rate)
        assert found.tempo == pytest.approx(song.tempo, rel=0.03)
        assert found.signature == signature(song.tonic, song.mode)


def test_real_songs_agree_and_strangers_do_not():
    n = 4
    real, strange, half = [], [], []
    for seed in range(n):
        _, played = part(800 + seed, 40)
        real.append(agreement(played, RATE))
        pieces = [part(5000 + 10 * seed + i, 4)[1] for i in range(10)]
        strange.append(agreement(torch.cat(pieces, 1), RATE))
        other = part(900 + seed, 20)[1]
        half.append(agreement(torch.cat([played[:, : 20 * RATE], other], 1), RATE))

    def mean(values, name):
        return sum(getattr(v, name) for v in values) / n

    for name, good, bad in (("key", 0.75, 0.3), ("tempo", 0.9, 0.4), ("recall", 0.8, 0.55)):
        assert mean(real, name) > good and mean(strange, name) < bad
        assert mean(real, name) > mean(half, name)
    assert mean(real, "harmony") > 0.6 > 0.3 > mean(strange, "harmony")
    assert real[0].pairs == 6 and len(real[0].parts) == 5


def test_noise_and_silence_agree_in_nothing():
    generator = torch.Generator().manual_seed(0)
    noise = agreement(0.1 * torch.randn(4, 40 * RATE, generator=generator), RATE)
    silence = agreement(torch.zeros(4, 40 * RATE), RATE)
    for found in (noise, silence):
        assert found.key == found.tempo == found.harmony == 0 and found.recall < 0.3
    assert silence.parts[0].tempo == 0 and silence.parts[0].clarity == 0


def test_parts_are_as_far_apart_as_asked():
    played = part(3, 48, start=0.0)[1]
    assert agreement(played, RATE, apart=4.0).pairs == 10  # of 6 parts, without neighbours
    assert agreement(played, RATE, apart=0.0).pairs == 15
    assert agreement(played, RATE, apart=16.0).pairs == 6
    with pytest.raises(ShapeError, match="too short"):
        agreement(played, RATE, apart=60.0)
    with pytest.raises(UsageError):
        agreement(played, RATE, apart=-1.0)


@pytest.mark.parametrize("bpm", [90.0, 120.0, 137.0])
def test_the_tempo_of_clicks(bpm):
    clicks = torch.zeros(20 * FRAMES)
    clicks[(torch.arange(0, 20, 60 / bpm) * FRAMES).round().long()] = 1
    tempo, pulse = beat(clicks)
    assert tempo == pytest.approx(bpm, rel=0.01) and pulse > 0.3


def test_the_key_of_a_scale():
    for tonic in range(12):
        chroma = torch.zeros(12)
        chroma[list(scale(tonic, "minor"))] = 1
        found = key(chroma)
        assert signature(*found[:2]) == signature(tonic, "minor") and found[2] > 0.3


def test_chroma_of_a_sine_is_its_pitch_class():
    t = torch.arange(2 * RATE) / RATE
    for pitch_class, hertz in ((9, 220.0), (0, 261.63), (4, 659.26)):
        found = chromagram(torch.sin(2 * torch.pi * hertz * t), RATE)
        assert found.shape == (20, 12)
        assert (found[3:-3].argmax(1) == pitch_class).all()
    assert onsets(torch.zeros(RATE), RATE).abs().max() == 0


@pytest.mark.parametrize(
    ("sound", "word"),
    [
        (torch.zeros(2, 4 * RATE), "nothing to listen to"),
        (torch.zeros(RATE), "too short"),
        (torch.full((4 * RATE,), float("nan")), "no numbers"),
        (torch.zeros(4 * RATE, dtype=torch.int64), "not a sound"),
    ],
)
def test_what_is_no_music_is_refused(sound, word):
    with pytest.raises(ShapeError, match=word):
        hear(sound, RATE)


def test_magnitudes_are_amplitudes():
    t = torch.arange(4000) / RATE
    seen = framed(0.5 * torch.cos(2 * torch.pi * 500 * t), 256, 40.0)
    assert seen[50].max() == pytest.approx(0.25, rel=0.01)
