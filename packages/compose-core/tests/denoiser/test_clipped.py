"""`Clipped`: within the range, and otherwise what the other says."""

import pytest
import torch

from compose_core.denoiser import Clipped, Gaussian, Guided
from compose_core.errors import UsageError
from compose_core.schedule import DiscreteVP
from compose_core.testing import laws

SCHEDULE = DiscreteVP.from_config({"beta_schedule": "squaredcos_cap_v2"})
LEVEL = SCHEDULE.level(300.0)
FREE = Guided(Gaussian(0.5, 0.6), Gaussian(-0.5, 0.6), 3.0)


def test_values_within_the_bound_are_as_they_were_and_others_are_at_it():
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    free, clipped = FREE(x, LEVEL, FREE.init(x)).x0, Clipped(FREE)(x, LEVEL, FREE.init(x)).x0
    inside = free.abs() <= 1
    assert inside.any() and not inside.all()
    assert torch.equal(clipped[inside], free[inside])
    assert torch.equal(clipped[~inside], free[~inside].sign())


def test_noise_is_what_remains():
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    said = Clipped(FREE, 0.25)(x, LEVEL, FREE.init(x))
    torch.testing.assert_close(LEVEL.alpha * said.x0 + LEVEL.sigma * said.eps, x)
    assert said.x0.abs().max() == 0.25


def test_a_wide_bound_changes_nothing():
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    state = FREE.init(x)
    assert torch.equal(Clipped(FREE, 1e6)(x, LEVEL, state).x0, FREE(x, LEVEL, state).x0)


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_impossible_bounds_are_refused(bound):
    with pytest.raises(UsageError, match="bound above zero"):
        Clipped(FREE, bound)


def test_the_laws_of_denoisers():
    laws.check_denoiser(Clipped(FREE), torch.randn(3, 1, 4, 4), LEVEL)
