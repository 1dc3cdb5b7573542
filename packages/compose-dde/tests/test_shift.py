"""Windows that move between steps."""

from typing import final

import pytest
import torch

from compose_core.compose import Product
from compose_core.denoiser import Asked, Bound, Denoiser, Gaussian, Guided, Switched
from compose_core.encoded import Encoded
from compose_core.evaluate import Query
from compose_core.prediction import Prediction
from compose_core.sampler import Heun
from compose_core.schedule import KarrasVE
from compose_core.testing import laws
from compose_core.trace import collect
from compose_dde.baselines import Shifted
from compose_dde.composer import DDE
from compose_dde.coordinator import CoordinatorConfig
from compose_dde.domain import Domain
from compose_dde.testing import Counted, spoken

LINE = CoordinatorConfig(channels=2, axes=1, patch=4, width=16, depth=1, heads=2)
PLACES = [((40,), (16,), (False,)), ((40,), (16,), (True,)), ((20, 12), (8, 8), (False, True))]


def level(sigma=0.7):
    return KarrasVE().level(sigma)


@pytest.mark.parametrize("closed", [False, True])
def test_windows_that_move_cover_everything_with_few_questions(closed, draw):
    network = Counted()
    composed = Shifted(Bound(network), (50,), (16,), (closed,))
    x_t = draw(2, 2, 50)
    exact = Shifted(Gaussian(0.3, 0.5), (50,), (16,), (closed,))
    expected = Gaussian(0.3, 0.5)(x_t, level()).x0
    places = set()
    sampler = Heun(KarrasVE(0.01, 5.0).levels(6))
    for moment in sampler.steps(composed, 5 * x_t):
        places.add(moment.state.offset)
        torch.testing.assert_close(exact(x_t, level(), moment.state).x0, expected)
    assert len(places) > 1
    # Two samples, at most one window more than would fill the axis.
    assert max(network.rows) <= 2 * 5
    laws.check_denoiser(composed, x_t, level())


@pytest.mark.parametrize(("size", "window", "wrap"), PLACES)
def test_what_mixes_parts_linearly_may_be_done_inside_windows_or_around_them(
    size, window, wrap, draw
):
    def shifted(part):
        return Shifted(part, size, window, wrap)

    one = Bound(Counted(), Encoded({"text": torch.tensor([[0.3]])}))
    other = Bound(Counted(), Encoded({"text": torch.tensor([[1.4]])}))
    pairs = [
        (shifted(Guided(one, other, 3.0)), Guided(shifted(one), shifted(other), 3.0)),
        (
            shifted(Product([one, other], [0.6])),
            Product([shifted(one), shifted(other)], [0.6]),
        ),
        (
            shifted(Switched([one, other], [0.0, 0.5])),
            Switched([shifted(one), shifted(other)], [0.0, 0.5]),
        ),
        (shifted(DDE(one, Domain.grid(window, window, window))), shifted(one)),
    ]
    x = 5 * draw(2, 2, *size, dtype=torch.float64)
    sampler = Heun(KarrasVE(0.01, 5.0).levels(4))
    for inside, around in pairs:
        torch.testing.assert_close(sampler.sample(inside, x), sampler.sample(around, x))
        laws.check_denoiser(inside, x, level())


@pytest.mark.parametrize("closed", [False, True])
def test_a_coordinated_object_may_be_seen_through_windows(closed, draw):
    part = DDE(Bound(Counted()), Domain.chain(32, 16, 8), spoken(LINE))
    x_t = draw(2, 2, 80)
    composed = Shifted(part, (80,), (32,), (closed,))
    laws.check_denoiser(composed, x_t, level())
    found = composed(x_t, level()).x0
    # Cells that no other window shows, at the offset before the first step.
    torch.testing.assert_close(found[..., 16:32], part(x_t[..., :32], level()).x0[..., 16:])


@final
class Remembering(Denoiser):
    """It predicts how often it was adapted, and asks while it adapts."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def init(self, x_t, generator=None):
        return (0, x_t.new_zeros(()))

    def adapting(self, state, x_t, step):
        answer = yield Asked(Query(self.network, x_t, step.now, Encoded()), step.evaluator)
        return (state[0] + 1, answer.x0.mean())

    def traced(self, state):
        return {"mean": state[1]}

    def queries(self, x_t, level, state):
        return ()

    def combine(self, answers, x_t, level, state):
        return Prediction(x_t, level, torch.full_like(x_t, state[0]))


def test_each_window_takes_along_what_its_part_remembers(draw):
    network, x_t = Counted(), draw(2, 2, 48)
    composed = Shifted(Remembering(network), (48,), (16,), (True,))
    sampler = Heun(KarrasVE(0.01, 5.0).levels(4))
    for count, moment in enumerate(sampler.steps(composed, x_t), start=1):
        found = composed(x_t, level(), moment.state).x0
        torch.testing.assert_close(found, torch.full_like(found, count))
        assert set(collect(composed, moment.state)) == {"0.mean", "1.mean", "2.mean"}
    assert network.rows == [2] * 3 * count
