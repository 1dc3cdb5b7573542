"""The order of the data is a function of seed and position, nothing else."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from compose_core.train.order import Order, derive


@given(size=st.integers(1, 50), start=st.integers(0, 200), count=st.integers(1, 60))
def test_any_window_of_the_stream_is_the_same_however_it_is_read(size, start, count):
    whole = Order(size, 7).at(0, start + count)
    assert torch.equal(Order(size, 7).at(start, count), whole[start:])


@given(size=st.integers(1, 50), epoch=st.integers(0, 5), seed=st.integers(0, 2**40))
def test_every_epoch_is_a_permutation(size, epoch, seed):
    indices = Order(size, seed).at(epoch * size, size)
    assert sorted(indices.tolist()) == list(range(size))


def test_epochs_and_seeds_differ():
    order = Order(1000, 1)
    assert not torch.equal(order.at(0, 1000), order.at(1000, 1000))
    assert not torch.equal(order.at(0, 1000), Order(1000, 2).at(0, 1000))


def test_derived_seeds_are_fixed_for_ever_and_distinct():
    assert derive(0, "loss", 1) == 0x239BA9163E617E84
    assert len({derive(s, "a", n) for s in range(30) for n in range(30)}) == 900
    assert derive(1, 23) != derive(12, 3)
