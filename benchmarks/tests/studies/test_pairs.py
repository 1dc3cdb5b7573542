"""Which pairs studies draw."""

import pytest
import torch

from compose_benchmarks.studies.pairs import START, digest, drawn, pairs
from compose_core.errors import UsageError

SOME = pairs(6)


def test_fewer_pairs_are_the_beginning_of_more():
    assert pairs(3) == SOME[:3]
    assert digest(SOME[:3]) != digest(SOME)


def test_no_scene_is_used_twice():
    numbers = [n for one in SOME for n in (one.layout, one.first, one.second)]
    assert len(set(numbers)) == len(numbers) and min(numbers) >= START


def test_exemplars_contradict_each_other():
    for one in SOME:
        first, second = (one.to_json()[name]["shows"].split() for name in ("first", "second"))
        assert len({*first[:2], *second[:2]}) == 4  # colour, shape
        assert first[-1] != second[-1]  # place


def test_every_foreground_is_there_and_leaves_a_background():
    found = drawn(SOME)
    shares = found.mask.flatten(1).mean(1)
    assert set(found.mask.unique().tolist()) == {0.0, 1.0}
    assert bool(((shares > 0.05) & (shares < 0.5)).all())
    assert bool((found.depth.amin((1, 2)) == 0).all() and (found.depth.amax((1, 2)) == 1).all())


def test_pairs_are_rendered_alike_in_any_batch():
    whole, one = drawn(SOME[:3]), drawn(SOME[1:2])
    for name in ("first", "second", "depth", "mask"):
        torch.testing.assert_close(getattr(whole, name)[1:2], getattr(one, name))


def test_no_pairs_are_refused():
    with pytest.raises(UsageError, match="needs pairs"):
        pairs(0)
