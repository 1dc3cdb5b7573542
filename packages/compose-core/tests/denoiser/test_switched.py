"""`Switched`: one after the other, and never two."""

import pytest
import torch

from compose_core.denoiser import Gaussian, Step, Switched
from compose_core.errors import UsageError
from compose_core.schedule import DiscreteVP
from compose_core.testing import laws

SCHEDULE = DiscreteVP.from_config({"beta_schedule": "squaredcos_cap_v2"})
PARTS = [Gaussian(float(mean), 0.1) for mean in range(3)]


def turns(starts, total):
    """The number of the part that answers at each step."""
    both, levels = Switched(PARTS[: len(starts)], starts), SCHEDULE.levels(total)
    x_t = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    state, found = both.init(x_t), []
    for i in range(total):
        state = both.adapt(state, x_t, Step(levels[i], levels[i + 1], i, total))
        answer = both(x_t, levels[i], state).x0
        found.append([torch.equal(answer, x(x_t, levels[i]).x0) for x in PARTS].index(True))
        assert [int(name) for name, _, _ in both.inner(state)] == found[-1:]
    return found


def test_each_is_asked_from_its_start_on():
    assert turns([0.0], 3) == [0, 0, 0]
    assert turns([0.0, 0.5], 4) == [0, 0, 1, 1]
    assert turns([0.0, 0.25], 10) == [0] * 3 + [1] * 7
    assert turns([0.0, 0.3, 0.7], 10) == [0] * 3 + [1] * 4 + [2] * 3
    assert turns([0.0, 0.1, 0.2], 2) == [0, 2]
    assert turns([0.0, 1.0], 10) == [0] * 10


def test_before_the_first_step_the_first_is_asked():
    x, level = torch.randn(1, 1, 4, 4), SCHEDULE.level(500.0)
    both = Switched(PARTS, [0.0, 0.1, 0.2])
    assert torch.equal(both(x, level, both.init(x)).x0, PARTS[0](x, level).x0)


@pytest.mark.parametrize(
    "starts",
    [[], [0.0], [0.1, 0.2, 0.3], [0.0, 0.5, 0.5], [0.0, 0.5, 1.1], [0.0, float("nan"), 0.5]],
)
def test_starts_that_do_not_rise_are_refused(starts):
    with pytest.raises(UsageError, match="parts of a walk"):
        Switched(PARTS, starts)


@pytest.mark.parametrize("starts", [[0.0, 0.2, 0.5], [0.0, 0.5, 1.0]])
def test_the_laws_of_denoisers(starts):
    x, level = torch.randn(3, 1, 4, 4), SCHEDULE.level(300.0)
    laws.check_denoiser(Switched(PARTS, starts), x, level)
