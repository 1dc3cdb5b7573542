"""`Switched`: the first, then the other, and never both."""

import pytest
import torch

from compose_core.denoiser import Gaussian, Step, Switched
from compose_core.errors import UsageError
from compose_core.schedule import DiscreteVP
from compose_core.testing import laws

SCHEDULE = DiscreteVP.from_config({"beta_schedule": "squaredcos_cap_v2"})


def step(index, total=10):
    levels = SCHEDULE.levels(total)
    return Step(levels[index], levels[index + 1], index, total)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.7, 1.0])
def test_each_has_its_share_of_the_steps(share):
    dark, light = Gaussian(mean=-1.0, var=0.1), Gaussian(mean=1.0, var=0.1)
    both, x = Switched(dark, light, share), torch.randn(2, 1, 4, 4)
    state = both.init(x)
    for index in range(10):
        now = step(index)
        state = both.adapt(state, x, now)
        wanted = dark if index < 10 * share else light
        found = both(x, now.now, state).x0
        assert torch.equal(found, wanted(x, now.now, wanted.init(x)).x0)
        names = [name for name, _, _ in both.inner(state)]
        assert names == ["first" if wanted is dark else "then"]


def test_before_the_first_step_the_first_is_asked_unless_it_has_no_share():
    dark, light = Gaussian(mean=-1.0, var=0.1), Gaussian(mean=1.0, var=0.1)
    x, level = torch.randn(1, 1, 4, 4), SCHEDULE.level(500.0)
    for share, wanted in ((0.0, light), (0.1, dark)):
        both = Switched(dark, light, share)
        found = both(x, level, both.init(x)).x0
        assert torch.equal(found, wanted(x, level, wanted.init(x)).x0)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_a_share(share):
    with pytest.raises(UsageError, match="share"):
        Switched(Gaussian(mean=0.0, var=1.0), Gaussian(mean=0.0, var=1.0), share)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_laws_of_denoisers(share):
    dark, light = Gaussian(mean=-1.0, var=0.1), Gaussian(mean=1.0, var=0.1)
    x, level = torch.randn(3, 1, 4, 4), SCHEDULE.level(300.0)
    laws.check_denoiser(Switched(dark, light, share), x, level)
