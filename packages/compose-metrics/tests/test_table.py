import pytest
import torch

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics.table import Table


def test_rows_come_back_in_the_order_of_their_keys():
    table = Table("the test")
    table.add([4, 1], x=torch.tensor([40.0, 10.0]))
    table.add([3], x=torch.tensor([30.0]))
    assert table.sorted()["keys"].tolist() == [1, 3, 4]
    assert table.sorted()["x"].tolist() == [10.0, 30.0, 40.0]
    table.add(None, x=torch.tensor([50.0]))  # counts on from the largest
    assert table.sorted()["keys"].tolist() == [1, 3, 4, 5]


def test_a_sample_counts_once():
    table = Table("the test")
    table.add([1, 2], x=torch.zeros(2))
    with pytest.raises(UsageError, match="sample numbers 2"):
        table.add([2, 3], x=torch.zeros(2))
    with pytest.raises(UsageError, match="sample numbers 7"):
        table.add([7, 7], x=torch.zeros(2))
    assert len(table) == 2  # nothing of a refused batch is kept


def test_broken_values_are_named_and_not_kept():
    table = Table("the test")
    x = torch.tensor([[0.0, 1.0], [float("nan"), 0.0], [0.0, float("inf")]])
    with pytest.raises(ComposeError, match="samples 12, 13"):
        table.add([11, 12, 13], x=x)
    assert table.sorted() == {}
    loose = Table("the test", infinite=True)
    with pytest.raises(ComposeError, match="samples 12$|samples 12\n"):
        loose.add([11, 12, 13], x=x)


def test_what_is_kept_cannot_be_changed_from_outside():
    table, x = Table("the test"), torch.zeros(2)
    table.add(None, x=x)
    x.fill_(9)
    table.sorted().pop("x")
    assert table.sorted()["x"].tolist() == [0, 0]


def test_half_precision_is_widened():
    table = Table("the test")
    table.add(None, x=torch.ones(2, dtype=torch.bfloat16))
    assert table.sorted()["x"].dtype == torch.float32


@pytest.mark.parametrize(
    ("keys", "columns"),
    [
        ([0], {"x": torch.zeros(2)}),
        ([0.5, 1.5], {"x": torch.zeros(2)}),
        (None, {"x": torch.zeros(2), "y": torch.zeros(3)}),
        (None, {"y": torch.zeros(2)}),
        (None, {"x": torch.zeros(2, 3)}),
    ],
)
def test_rows_of_another_shape_are_refused(keys, columns):
    table = Table("the test")
    table.add([9], x=torch.zeros(1))
    with pytest.raises(ShapeError):
        table.add(keys, **columns)
