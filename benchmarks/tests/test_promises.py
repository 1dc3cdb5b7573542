"""Promises are counted as proportions, from pictures as their files hold them."""

import pytest
import torch

from compose_benchmarks.judges import Look
from compose_benchmarks.promises import (
    ExactlyThese,
    ObjectsPlaced,
    ObjectsThere,
    Placed,
    RelationHolds,
    overlap,
)
from compose_metrics.intervals import wilson
from compose_metrics.pictures import as_bytes, as_saved
from compose_metrics.result import Source
from compose_worlds.judge import Found
from compose_worlds.primitives.captions import Claim, phrase

N = 12


class Blind:
    """A judge that sees nothing, and keeps what it was shown."""

    source = Source("blind", "b" * 64, False)

    def __init__(self):
        self.shown = []

    def look(self, pictures):
        self.shown.append(pictures)
        return [Look((), torch.zeros(8, 8)) for _ in pictures]


@pytest.fixture
def pictures():
    return torch.rand(N, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def captions():
    dice = torch.Generator().manual_seed(0)
    return [phrase([Claim("cube", "red", 1)], None, "", dice)] * N


@pytest.mark.parametrize("kind", [ExactlyThese, ObjectsThere, RelationHolds])
def test_nothing_and_everything_are_not_certain(kind, pictures, captions):
    metric = kind(Blind())
    metric.update(pictures, captions)
    result = metric.compute()
    hits = int(result.per_sample.sum())
    assert hits in (0, N)
    assert result.interval == wilson(hits, N)
    assert result.interval.high - result.interval.low > 0.2


@pytest.mark.parametrize("kind", [ExactlyThese, ObjectsThere, RelationHolds])
def test_the_judge_sees_what_a_png_holds(kind, pictures, captions):
    judge = Blind()
    for shown in (pictures, as_bytes(pictures)):
        kind(judge).update(shown, captions)
    assert torch.equal(judge.shown[0], judge.shown[1])
    assert torch.equal(judge.shown[0], as_saved(pictures))


def test_overlap_is_intersection_over_union():
    one = (0.0, 0.0, 0.5, 0.5)
    assert overlap(one, one) == 1
    assert overlap(one, (0.5, 0.5, 1.0, 1.0)) == 0
    assert overlap(one, (0.25, 0.0, 0.75, 0.5)) == pytest.approx(1 / 3)


def test_an_object_counts_where_it_was_asked_for(pictures):
    """Half of the overlap of a box is needed, and the right shape in the right colour."""

    def seen(shape, color, box):
        mask = torch.zeros(8, 8, dtype=torch.bool)
        return Found(shape, color, box, (0.25, 0.25), 1.0, 16, mask)

    class Eye(Blind):
        def look(self, pictures):
            found = (seen("cube", "red", (0.0, 0.0, 0.5, 0.5)),)
            return [Look(found, torch.zeros(8, 8)) for _ in pictures]

    here, near, far = (0.0, 0.0, 0.5, 0.5), (0.1, 0.0, 0.6, 0.5), (0.3, 0.0, 0.8, 0.5)
    wanted = [
        [Placed("cube", "red", here)],
        [Placed("cube", "red", near)],
        [Placed("cube", "red", far)],
        [Placed("cube", "blue", here)],
        [Placed("cube", "red", here), Placed("cone", "red", here)],
    ]
    metric = ObjectsPlaced(Eye())
    metric.update(pictures[:5], wanted)
    assert metric.compute().per_sample.tolist() == [1, 1, 0, 0, 0.5]
