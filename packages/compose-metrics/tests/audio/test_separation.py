import math

import pytest
import torch

from compose_core.errors import ComposeError, ShapeError
from compose_metrics.audio.separation import SISDRi, si_sdr


def noise(n, length, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, length, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("zero_mean", [True, False])
def test_it_equals_torchmetrics(zero_mean):
    audio = pytest.importorskip("torchmetrics.functional.audio")
    target = noise(3, 500, 1) + 0.3
    estimate = target + 0.2 * noise(3, 500, 2) + 0.1
    theirs = audio.scale_invariant_signal_distortion_ratio(estimate, target, zero_mean=zero_mean)
    torch.testing.assert_close(si_sdr(estimate, target, zero_mean=zero_mean), theirs)


def test_orthogonal_noise_gives_the_ratio_of_energies_at_any_scale():
    t = torch.arange(1000, dtype=torch.float64) / 1000
    target, other = (torch.sin(2 * math.pi * k * t)[None] for k in (3, 5))
    estimate = target + 0.1 * other
    assert float(si_sdr(estimate, target)[0]) == pytest.approx(20, abs=1e-9)
    assert float(si_sdr(-7 * estimate + 3, target)[0]) == pytest.approx(20, abs=1e-9)
    assert float(si_sdr(target, target)[0]) == pytest.approx(156.5, abs=0.1)
    assert float(si_sdr(torch.zeros_like(target), target)[0]) == pytest.approx(0)


def test_the_improvement_is_over_the_mixture_and_silence_is_left_out():
    target, other = noise(3, 4000, 1), noise(3, 4000, 2)
    target[1] = 0
    metric = SISDRi()
    metric.update(target + 0.1 * other, target, target + other)
    result = metric.compute()
    assert result.value == pytest.approx(20, abs=0.5) and result.unit == "dB"
    assert result.n == 2 and result.keys.tolist() == [0, 2] and result.parts == {"silent": 1}
    nothing = SISDRi()
    nothing.update(target[1:2], target[1:2], other[1:2])
    with pytest.raises(ComposeError, match="silent"):
        nothing.compute()


def test_bad_sounds_are_refused():
    x = noise(2, 10, 1)
    with pytest.raises(ShapeError, match="cannot be compared"):
        si_sdr(x, x[:1])
    with pytest.raises(ShapeError, match="not numbers"):
        si_sdr(x, x * float("nan"))
