import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics.metric import PerSample, Sums


class Brightness(PerSample):
    id = "brightness"
    minimum = 2

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def params(self):
        return {"scale": self.scale}

    def update(self, pictures, keys=None):
        self.add(keys, value=pictures.float().flatten(1).mean(1) * self.scale)


class Histogram(Sums):
    id = "histogram"

    def update(self, labels, keys=None):
        self.add(keys, len(labels), counts=torch.bincount(labels.flatten(), minlength=4))

    def compute(self):
        counts = self.total("counts")
        return self._result(float(counts[0] / counts.sum()), n=self.n)


@settings(max_examples=25)
@given(st.permutations(range(12)), st.lists(st.integers(1, 5), min_size=12, max_size=12))
def test_order_batches_and_shards_give_the_same_bytes(order, sizes):
    pictures = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = Brightness()
    whole.update(pictures)
    shards, rest = [Brightness(), Brightness()], list(order)
    for turn, size in enumerate(sizes):
        now, rest = rest[:size], rest[size:]
        if now:
            shards[turn % 2].update(pictures[now], keys=now)
    shards[0].merge(shards[1])
    one, two = whole.compute(), shards[0].compute()
    assert one == two
    assert torch.equal(one.per_sample, two.per_sample)
    assert two.keys.tolist() == list(range(12))


@pytest.mark.parametrize("make", [Brightness, Histogram])
def test_a_state_survives_a_file(make):
    metric, again = make(), make()
    data = torch.arange(12).reshape(3, 1, 2, 2) % 4
    metric.update(data if make is Histogram else data / 4)
    again.load_state_dict(load(save(metric.state_dict())))
    assert again.compute() == metric.compute()
    again.load_state_dict(metric.state_dict())  # replaces, does not add
    assert again.n == 3
    with pytest.raises(UsageError):
        again.merge(metric)  # the same samples
    assert again.compute() == metric.compute()


@pytest.mark.parametrize("make", [Brightness, Histogram])
def test_a_damaged_state_leaves_what_was_seen(make):
    metric = make()
    metric.update(torch.zeros(4, 1, 2, 2, dtype=torch.int64))
    before = metric.compute()
    doubled = {**metric.state_dict(), "keys": torch.zeros(4, dtype=torch.int64)}
    with pytest.raises(UsageError, match="already holds"):
        metric.load_state_dict(doubled)
    assert metric.n == 4 and metric.compute() == before


@pytest.mark.parametrize("make", [Brightness, Histogram])
def test_alone_synced_is_a_copy(make):
    metric = make()
    metric.update(torch.zeros(3, 1, 2, 2, dtype=torch.int64))
    copy = metric.synced()
    copy.update(torch.ones(2, 1, 2, 2, dtype=torch.int64))
    assert (metric.n, copy.n) == (3, 5)


def test_states_of_other_metrics_are_refused():
    one, scaled, other = Brightness(), Brightness(scale=2.0), Histogram()
    with pytest.raises(UsageError, match="not one of brightness"):
        one.merge(scaled)
    with pytest.raises(UsageError, match="not one of brightness"):
        one.load_state_dict(other.state_dict())
    with pytest.raises(UsageError, match="without fingerprint"):
        one.load_state_dict({})


def test_too_few_samples_say_the_minimum():
    metric = Brightness()
    metric.update(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ComposeError, match="at least 2"):
        metric.compute()
    metric.reset()
    with pytest.raises(ComposeError, match="got: 0"):
        metric.compute()


def test_the_interval_is_around_the_mean():
    metric = Brightness()
    metric.update(torch.rand(50, 3, 2, 2, generator=torch.Generator().manual_seed(0)))
    result = metric.compute()
    assert result.value in result.interval
    assert result.interval == metric.compute().interval


def test_sums_take_samples_once_and_keep_their_shape():
    metric = Histogram()
    metric.update(torch.zeros(2, 4, dtype=torch.int64), keys=[5, 6])
    with pytest.raises(UsageError):
        metric.update(torch.zeros(1, 4, dtype=torch.int64), keys=[6])
    with pytest.raises(ShapeError):
        metric.update(torch.full((1, 4), 9), keys=[7])
    assert metric.total("counts").tolist() == [8, 0, 0, 0]
    assert metric.n == 2
