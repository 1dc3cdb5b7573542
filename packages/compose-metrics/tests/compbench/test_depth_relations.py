import pytest
import torch

from compose_core.errors import ShapeError
from compose_metrics.compbench import Fault, Spatial3D
from compose_metrics.compbench.depth_relations import crop, in_front, judge_one, read

CAT, DOG = (4, 30, 14, 60), (40, 4, 60, 14)  # lower left, upper right


def depth_of(cat, dog, height=64, width=64):
    depth = torch.zeros(height, width)
    depth[CAT[1] : CAT[3], CAT[0] : CAT[2]] = cat
    depth[DOG[1] : DOG[3], DOG[0] : DOG[2]] = dog
    return depth


@pytest.fixture
def found(models):
    return models["seen"](("cat", 1, CAT), ("dog", 1, DOG))


def test_nearer_is_larger(found):
    for text, near, far in (
        ("a cat in front of a dog", 1, 0.5),
        ("a cat behind a dog", 0.5, 1),
        ("a cat hidden by a dog", 0.5, 1),
    ):
        assert judge_one(found, read(text), depth_of(2, 1)).score == near
        assert judge_one(found, read(text), depth_of(1, 2)).score == far
        assert judge_one(found, read(text), depth_of(1, 1)).score == 0.5  # no order at all


def test_upstream_in_depth_says_that_it_is_no_parity_of_digits(models, found):
    eye, flat = models["Eye"]([found]), models["Flat"](depth_of(2, 1))
    assert Spatial3D(eye, flat, compat="upstream").params()["parity"] == "rule in words"
    assert "parity" not in Spatial3D(eye, flat).params()


def test_upstream_exchanges_rows_and_columns(found):
    depth = depth_of(2, 1)
    assert bool((crop(depth, CAT) == 2).all())
    assert torch.equal(crop(depth, CAT, "upstream"), crop(depth.t(), CAT).t())
    assert in_front(depth, CAT, DOG) is True
    # The boxes mirror each other, so upstream looks at each for the other.
    assert in_front(depth, CAT, DOG, "upstream") is False
    asked = "a cat in front of a dog"
    assert judge_one(found, read(asked), depth).score == 1
    wrong = judge_one(found, read(asked, "upstream"), depth, "upstream")
    assert (wrong.score, wrong.fault) == (0.5, Fault.RELATION)


def test_upstream_falls_off_pictures_that_are_not_square(models):
    low = (70, 4, 90, 14)  # in a picture of 32 x 128: x is beyond the number of rows
    depth = torch.zeros(32, 128)
    depth[4:14, 70:90] = 2
    assert crop(depth, low, "upstream").numel() == 0
    found = models["seen"](("cat", 1, low), ("dog", 1, (4, 4, 14, 14)))
    for text in ("a cat in front of a dog", "a cat behind a dog"):
        assert judge_one(found, read(text, "upstream"), depth, "upstream").score == 0.5
    assert judge_one(found, read("a cat in front of a dog"), depth).score == 1


def test_boxes_at_the_rim_have_a_pixel():
    depth = torch.arange(16.0).view(4, 4)
    assert crop(depth, (3.5, 3.5, 3.9, 3.9)).tolist() == [[15]]
    assert crop(depth, (-5, -5, 0, 0)).tolist() == [[0]]
    assert crop(depth, (9, 1, 12, 2)).tolist() == [[7]]


def test_twice_the_same_thing(models):
    text = "a cat hidden by a cat"
    both = models["seen"](("cat", 1, CAT), ("cat", 1, DOG))
    depth = depth_of(2, 1)
    assert judge_one(both, read(text), depth).score == 1
    assert judge_one(both, read(text, "upstream"), depth, "upstream").score == 0.5


def test_metric_names_both_judges(found, models, pictures):
    eye, flat = models["Eye"]([found] * 2), models["Flat"](depth_of(2, 1)[None])
    metric = Spatial3D(eye, flat)
    metric.update(pictures(2, 64, 64), ["a cat in front of a dog", "a cat behind a dog"])
    result = metric.compute()
    assert result.metric == "compbench-spatial-3d@eye+flat"
    assert result.per_sample.tolist() == [1, 0.5]
    assert len(result.extractor.sha256) == 64
    with pytest.raises(ShapeError, match="depth"):
        metric.update(pictures(2, 32, 32), ["a cat behind a dog"] * 2)
