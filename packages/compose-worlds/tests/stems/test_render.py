"""Songs as samples."""

from dataclasses import replace

import pytest
import torch

from compose_core.errors import UsageError
from compose_worlds.stems import draw, mixed, stems
from compose_worlds.stems.render import Player
from compose_worlds.stems.voices import KITS, PATCHES, hit, tone

RATE = 4000


def spectrum(x):
    return torch.fft.rfft(x * torch.hann_window(x.shape[-1])).abs() / x.shape[-1]


def test_a_stretch_is_cut_out_of_the_whole():
    player = Player(draw(4, 30), RATE)
    whole = player.play()
    assert whole.shape == (4, player.frames)
    for start, frames in ((0, 1000), (50_001, 7000), (player.frames - 5, 5)):
        assert torch.equal(player.play(start, frames), whole[:, start : start + frames])
    assert torch.equal(stems(draw(4, 30), RATE), whole)


def test_the_mix_stays_within_full_scale_and_is_not_quiet():
    for seed in range(24):
        played = stems(draw(seed, 30), RATE, 0, 30 * RATE)
        mix = mixed(played)
        assert mix.shape == (30 * RATE,) and mix.abs().max() < 1
        assert mix.square().mean().sqrt() > 0.05
        assert (played.square().mean(1).sqrt() > 0.004).all()


def test_another_rate_is_the_same_song_band_limited():
    song = replace(draw(9, 12), tempo=120.0)  # sixteenths are whole samples at both rates
    low, high = stems(song, 4000, 0, 40_000), stems(song, 8000, 0, 80_000)
    slow = torch.fft.rfft(high)[:, :20_001]
    slow[:, int(0.42 * 40_000) :] = 0
    known = torch.fft.rfft(low)
    known[:, int(0.42 * 40_000) :] = 0
    back = torch.fft.irfft(slow, 40_000) / 2
    error = (back - torch.fft.irfft(known, 40_000)).square().sum(1) / low.square().sum(1)
    assert (error < 0.01).all()


def test_tones_have_their_pitch_and_decay():
    for stem, patches in PATCHES.items():
        for patch in range(len(patches)):
            sound = tone(stem, patch, 57, 1.0, RATE)  # 220 Hz
            loud = spectrum(sound[:RATE])
            assert (loud[200:240].argmax() + 200 - 220).abs() <= 1
            assert sound[-8:].abs().max() < 0.02 * sound.abs().max()
            assert sound[0].abs() < 0.01


def test_nothing_lies_above_what_the_rate_can_hold():
    assert tone("piano", 0, 105, 0.2, 2000).abs().max() == 0  # 3520 Hz
    for patch in range(len(KITS)):
        for number in range(4):
            assert hit(patch, number, RATE).isfinite().all()
            assert hit(patch, number, RATE).abs().max() > 0.01
    assert torch.equal(hit(0, 1, RATE), hit(0, 1, RATE))


def test_impossible_parts_are_refused():
    song = draw(1, 10)
    for start, frames in ((-1, 10), (0, 0), (0, 10**9)):
        with pytest.raises(UsageError, match="not in the song"):
            stems(song, RATE, start, frames)
    with pytest.raises(UsageError, match="too few samples"):
        stems(song, 500)
