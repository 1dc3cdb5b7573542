"""Scenes as dense labels: what the files say is what the world says, up to rounding."""

import pytest
import torch

from compose_benchmarks.suites import painted
from compose_benchmarks.suites.painted import DENSE, SPARSE, WITHOUT, labels_of
from compose_core.scene.capability import check
from compose_tlam.labels import PRIMITIVES
from compose_tlam.method import TLAMMethod
from compose_tlam.scene import from_scene


@pytest.fixture(scope="module")
def item():
    return DENSE.items(1)[0]


def stack_of(item):
    return from_scene(item.scene, PRIMITIVES).stack


def test_dense_items_give_every_label_as_it_is(item):
    source = DENSE._source(item.source)
    truth, found = labels_of(source.drawn, source.seen), stack_of(item)
    steps = {"depth": 2 / 65535, "normals": 0.02, "curvature": 0.04, "edges": 1 / 254}
    for name in PRIMITIVES.names:
        a, b = truth.layers[name], found.layers[name]
        assert torch.equal(a.valid, b.valid)
        if name == "semantics":
            assert torch.equal(a.value, b.value)
            continue
        gap = (a.value - b.value).abs().amax(1)[a.valid]
        assert float(gap.max()) <= steps[name], name
    assert check(item.scene, TLAMMethod.accepts, TLAMMethod.needs, "tlam") == []


def test_sparse_items_lack_half_of_the_labels_and_are_the_same_every_time():
    items = SPARSE.items(6)
    again = SPARSE.items(6)
    shares = []
    for one, two in zip(items, again, strict=True):
        assert one.scene == two.scene and dict(one.scene.assets) == dict(two.scene.assets)
        stack = stack_of(one)
        source = SPARSE._source(one.source)
        whole = labels_of(source.drawn, source.seen)
        for name, layer in whole.layers.items():
            there = stack.layers.get(name)
            kept = there.valid.float().sum() if there is not None else torch.tensor(0.0)
            shares.append(kept / layer.valid.float().sum())
    assert 0.3 < float(torch.stack(shares).mean()) < 0.7


@pytest.mark.parametrize("name", PRIMITIVES.names)
def test_a_suite_without_a_label_has_all_others_and_the_same_scenes(name, item):
    other = WITHOUT[name].items(1)[0]
    assert other.source == item.source
    stack = stack_of(other)
    there = {k for k, x in stack.layers.items() if bool(x.valid.any())}
    assert there == set(PRIMITIVES.names) - {name}


def test_nothing_left_is_still_a_scene():
    nothing = painted.Painted(without=PRIMITIVES.names)
    source = DENSE._source(DENSE.items(1)[0].source)
    (made,) = nothing(0, source)
    assert stack_of(made).empty
