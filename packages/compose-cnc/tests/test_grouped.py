"""Samples of a batch, each asked as if it were alone."""

import pytest
import torch

from compose_cnc.grouped import Grouped
from compose_core.denoiser import Bound, Gaussian, Guided, Step, Switched
from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, UsageError
from compose_core.evaluate import Local, leaves
from compose_core.schedule import Level

LEVEL = Level.of(0.8, 0.6, 500.0)


def one(mean):
    return Gaussian(mean, 1.0)


def noise(count):
    return torch.randn(count, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def test_every_sample_is_answered_by_its_own_part():
    parts, rows = [one(0.0), one(5.0)], [[2, 0], [1]]
    x_t = noise(3)
    found = Grouped(parts, rows)(x_t, LEVEL).x0
    for part, own in zip(parts, rows, strict=True):
        assert torch.equal(found[own], part(x_t[own], LEVEL).x0)


def test_one_group_is_its_part():
    x_t = noise(2)
    assert torch.equal(Grouped([one(1.0)], [[0, 1]])(x_t, LEVEL).x0, one(1.0)(x_t, LEVEL).x0)


def test_levels_of_each_sample_go_with_it():
    levels = Level(torch.tensor([0.8, 0.6]), torch.tensor([0.6, 0.8]), torch.tensor([500.0, 700]))
    x_t = noise(2)
    found = Grouped([one(0.0), one(3.0)], [[1], [0]])(x_t, levels).x0
    for row, part in ((1, one(0.0)), (0, one(3.0))):
        level = Level.of(*(float(x[row]) for x in (levels.alpha, levels.sigma, levels.t)))
        torch.testing.assert_close(found[[row]], part(x_t[[row]], level).x0)


def test_the_groups_adapt():
    turns = Switched([one(0.0), one(5.0)], [0.0, 0.5])
    grouped, x_t = Grouped([turns, one(1.0)], [[0], [1]]), noise(2)
    state = grouped.init(x_t, [torch.Generator(), torch.Generator()])
    state = grouped.adapt(state, x_t, Step(LEVEL, LEVEL, 3, 4))
    found = grouped(x_t, LEVEL, state).x0
    assert torch.equal(found[:1], one(5.0)(x_t[:1], LEVEL).x0)
    assert [name for name, _, _ in grouped.inner(state)] == ["0", "1"]


def test_groups_of_like_questions_share_a_call():
    calls = []

    class Asked(torch.nn.Module):
        def forward(self, x_t, level, encoded):
            calls.append(len(x_t))
            return one(0.0)(x_t, level)

    network = Asked()
    bound = [Bound(network, Encoded(text=torch.zeros(1, 2, 3))) for _ in range(3)]
    grouped = Grouped([Guided(bound[0], bound[1], 2.0), bound[2]], [[0], [1]])
    x_t = noise(2)
    asked = grouped.queries(x_t, LEVEL, grouped.init(x_t))
    assert len(list(leaves(asked))) == 3
    Local()(asked)
    assert calls == [3]


@pytest.mark.parametrize("rows", [[[0], [0]], [[0], [2]], [[0, 1]], []])
def test_groups_that_are_no_batch_are_refused(rows):
    with pytest.raises(UsageError, match="do not make up a batch"):
        Grouped([one(0.0), one(1.0)], rows)


def test_a_batch_of_another_size_is_refused():
    with pytest.raises(ShapeError, match="another size than its groups"):
        Grouped([one(0.0), one(1.0)], [[0], [1]])(noise(3), LEVEL)
