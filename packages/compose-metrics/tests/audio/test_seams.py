"""Borders that can be heard, and borders that cannot."""

import pytest
import torch

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics.audio.seams import SeamAudibility, border_peaks, flux

RATE = 4000


def noise(n, length, seed=0):
    return 0.1 * torch.randn(n, length, generator=torch.Generator().manual_seed(seed))


def tone(hertz, length, phase=0.0):
    return 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(length) / RATE + phase)


def test_borders_in_an_unbroken_sound_are_nothing_special():
    metric = SeamAudibility()
    metric.update(noise(20, 8 * RATE), [[i * RATE for i in range(1, 8)]] * 20, rate=RATE)
    found = metric.compute()
    assert found.value == pytest.approx(1, abs=0.03) and 1 in found.interval
    assert found.parts["rank"] == pytest.approx(0.5, abs=0.07)
    assert not found.higher_is_better and found.n == 20


def test_a_cut_in_a_tone_is_heard_and_a_smooth_one_is_not():
    whole = tone(220, 4 * RATE)
    cut = torch.cat([whole[: 2 * RATE], tone(220, 2 * RATE, phase=2.5)])
    heard, smooth = SeamAudibility(), SeamAudibility()
    heard.update([cut], [[2 * RATE]], rate=RATE)
    smooth.update([whole], [[2 * RATE]], rate=RATE)
    assert heard.compute().value > 5 and heard.compute().parts["rank"] == 1
    assert smooth.compute().value < 1.5
    elsewhere = SeamAudibility()
    elsewhere.update([cut], [[RATE]], rate=RATE)
    assert elsewhere.compute().value < 1.5


def test_drums_elsewhere_make_a_border_less_special():
    cut = torch.cat([tone(220, RATE), tone(220, RATE, phase=2.5)])
    drums = cut.clone()
    drums[RATE // 16 :: RATE // 8] += 0.9
    values = []
    for sound in (cut, drums):
        metric = SeamAudibility()
        metric.update([sound], [[RATE]], rate=RATE)
        values.append(metric.compute().value)
    assert values[1] < 0.7 * values[0]


def test_channels_are_averaged_and_shards_merge():
    x = noise(4, 2 * RATE, 3)
    places = [[RATE]] * 4
    whole, left, right, stereo = (SeamAudibility() for _ in range(4))
    whole.update(x, places, rate=RATE)
    left.update(x[2:], places[2:], rate=RATE, keys=[2, 3])
    right.update(x[:2], places[:2], rate=RATE, keys=[0, 1])
    right.merge(left)
    assert right.compute().to_json() == whole.compute().to_json()
    stereo.update(torch.stack([x, x], 1), places, rate=RATE)
    assert stereo.compute().value == pytest.approx(whole.compute().value, rel=1e-9)


def test_flux_is_the_change_of_log_magnitudes():
    """Of a sound that becomes e times as loud in one sample: one, far above the floor."""
    x = noise(1, RATE, 4)[0] * 100
    step = torch.where(torch.arange(RATE) < RATE // 2, 1.0, torch.e)
    whole, plain = flux(x * step, RATE), flux(x, RATE)
    assert torch.allclose(whole[5:100], plain[5:100], atol=1e-3)
    assert whole[120:130].sum() > plain[120:130].sum()
    assert flux(torch.zeros(RATE), RATE).abs().max() == 0


@pytest.mark.parametrize("borders", [[], [0], [RATE], [-5]])
def test_borders_outside_are_refused(borders):
    with pytest.raises(UsageError, match="borders lie inside"):
        border_peaks(torch.zeros(RATE), borders, RATE)


def test_sounds_without_anything_to_compare_are_refused():
    with pytest.raises(ShapeError, match="too short"):
        border_peaks(torch.zeros(100), [50], RATE)
    with pytest.raises(ShapeError, match="far from all"):
        border_peaks(torch.zeros(RATE // 10), [RATE // 20], RATE)
    metric = SeamAudibility()
    with pytest.raises(ComposeError, match="silent"):
        metric.update([torch.zeros(2 * RATE)], [[RATE]], rate=RATE)
    with pytest.raises(ShapeError, match="its borders"):
        metric.update(noise(2, RATE), [[5]], rate=RATE)
