import pytest
import torch

from compose_core.errors import ShapeError
from compose_metrics.dense import PositionAccuracy, placed
from compose_metrics.intervals import wilson


def test_joint_and_per_condition():
    metric = PositionAccuracy(judge_accuracy=0.99, chance=0.1)
    there = torch.tensor([[True, True], [True, False], [False, False], [True, True]])
    metric.update(there)
    result = metric.compute()
    assert result.value == 0.5
    assert result.per_sample.tolist() == [1, 0, 0, 1]
    assert result.parts["per condition"] == 5 / 8
    assert (result.interval.low, result.interval.high) == (wilson(2, 4).low, wilson(2, 4).high)
    each = wilson(5, 8)
    ends = result.parts["per condition, low"], result.parts["per condition, high"]
    assert ends == (each.low, each.high)
    assert result.params["chance"] == 0.1


def test_numbers_of_positions_may_differ():
    metric = PositionAccuracy()
    metric.update(torch.ones(3, 1, dtype=torch.bool))
    metric.update(torch.tensor([[True, False, True]]))
    result = metric.compute()
    assert result.value == 0.75
    assert result.parts["joint of 1"] == 1
    assert result.parts["joint of 3"] == 0


def test_joint_falls_like_a_power():
    generator = torch.Generator().manual_seed(0)
    joint = []
    for count in (1, 3):
        metric = PositionAccuracy()
        metric.update(torch.rand(20_000, count, generator=generator) < 0.8)
        result = metric.compute()
        assert result.parts["per condition"] == pytest.approx(0.8, abs=0.01)
        joint.append(result.value)
    assert joint[1] == pytest.approx(joint[0] ** 3, abs=0.02)


def test_one_object_serves_one_position():
    wanted = torch.tensor([[0.5, 0.5], [0.52, 0.5]])
    assert placed(torch.tensor([[0.51, 0.5]]), wanted, 0.05).tolist() == [True, False]
    both = torch.tensor([[0.51, 0.5], [0.5, 0.5]])
    assert placed(both, wanted, 0.05).all()


def test_earlier_positions_make_room():
    # The first position could take either object, the second only the object between them.
    wanted = torch.tensor([[0.0, 0.0], [0.2, 0.0]])
    found = torch.tensor([[0.1, 0.0], [-0.1, 0.0]])
    assert placed(found, wanted, 0.11).all()


def test_nothing_found_and_bad_input():
    wanted = torch.rand(3, 2)
    assert placed(torch.zeros(0, 2), wanted, 0.5).tolist() == [False] * 3
    with pytest.raises(ShapeError):
        placed(torch.zeros(4), wanted, 0.5)
    with pytest.raises(ShapeError):
        PositionAccuracy().update(torch.zeros(3, 2))
