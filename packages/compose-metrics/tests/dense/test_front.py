"""Who is seen in front, from labels of pixels."""

import pytest
import torch

from compose_core.errors import ComposeError, ShapeError
from compose_metrics.dense.front import FrontSeen, Undecided, in_front
from compose_metrics.result import Source

FIRST, SECOND = torch.zeros(2, 1, 6, 9, dtype=torch.bool)
FIRST[:, 1:5, 1:6] = True
SECOND[:, 1:5, 4:8] = True


def shown(one=3, other=5, both=3, nothing=-1):
    seen = torch.full((1, 6, 9), nothing)
    seen[FIRST], seen[SECOND] = one, other
    seen[FIRST & SECOND] = both
    return seen


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({}, 1),
        ({"both": 5}, 2),
        ({"both": 7}, 0),  # neither
        ({"both": -1}, 0),  # nothing
        ({"other": 3}, 0),  # the same thing twice
        ({"one": -1, "both": -1}, 0),  # a thing that is not there is not in front
        ({"one": -1, "both": 5}, 0),
        ({"one": 0, "both": 0}, 1),  # any label but -1 is one
    ],
)
def test_the_overlap_tells(labels, wanted):
    assert in_front(shown(**labels), FIRST, SECOND).tolist() == [wanted]
    swapped = {1: 2, 2: 1, 0: 0}[wanted]
    assert in_front(shown(**labels), SECOND, FIRST).tolist() == [swapped]


def test_the_majority_decides():
    seen = shown(both=5)
    seen[FIRST & SECOND & (torch.arange(6)[None, :, None] == 1)] = 3  # one row of four
    assert in_front(seen, FIRST, SECOND).tolist() == [2]


def test_what_is_outside_does_not_matter():
    assert torch.equal(in_front(shown(nothing=5), FIRST, SECOND), in_front(shown(), FIRST, SECOND))


def test_shares_are_counted_by_pair():
    order, lost = FrontSeen(), Undecided()
    for number, both in enumerate((3, 3, 5, 7)):
        for metric in (order, lost):
            metric.update(shown(both=both), FIRST, SECOND, keys=[number])
    result = order.compute()
    assert result.value == 0.5 and result.per_sample.tolist() == [1, 1, 0, 0]
    assert result.interval.how == "Wilson score"
    assert lost.compute().value == 0.25 and not lost.higher_is_better


def test_names_say_which_pairs_and_which_judge():
    judge = Source(id="eye", sha256="0" * 64, reference=False)
    assert FrontSeen().id == "order" and FrontSeen("near").id == "order-near"
    assert FrontSeen("near", judge=judge).id == "order-near@eye"
    assert Undecided(judge=judge).id == "order-undecided@eye"
    assert FrontSeen("near")._blank().id == "order-near"


def test_pairs_that_cannot_be_judged_are_refused():
    with pytest.raises(ComposeError, match="overlap"):
        in_front(shown(), FIRST, SECOND & ~FIRST)
    with pytest.raises(ComposeError, match="of its own"):
        in_front(shown(), FIRST, FIRST & SECOND)
    with pytest.raises(ShapeError):
        in_front(shown()[:, :3], FIRST, SECOND)
