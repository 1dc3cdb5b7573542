"""The numbers of a run: the learning rate's shape, and what is refused."""

import pytest

from compose_core.errors import UsageError
from compose_core.train import TrainConfig


def config(**changes) -> TrainConfig:
    return TrainConfig(**({"steps": 1000, "batch_size": 4, "lr": 2.0} | changes))


def test_the_rate_rises_holds_and_falls_to_zero():
    rates = [config(warmup=100, hold=0.5).lr_at(step) for step in range(1001)]
    assert rates[:100] == pytest.approx([2 * (n + 1) / 101 for n in range(100)])
    assert set(rates[100:501]) == {2.0}
    assert rates[500:] == sorted(rates[500:], reverse=True)
    assert rates[750] == pytest.approx(1.0) and rates[1000] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("decay", "late"), [("none", 2.0), ("linear", 0.4), ("cosine", 0.19098)])
def test_decays(decay, late):
    assert config(warmup=0, decay=decay).lr_at(900) == pytest.approx(late, rel=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"ema": 1.0},
        {"hold": 1.5},
        {"keep": 0},
        {"precision": "int4"},
        {"decay": "steps"},
        {"clip": -1.0},
    ],
)
def test_numbers_that_cannot_train_are_refused_by_name(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        config(**change)
