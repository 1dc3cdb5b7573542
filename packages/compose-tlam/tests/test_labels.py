"""The registry and stacks of labels: what fits, what a mirror and a change of size do."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compose_core.errors import ShapeError, UsageError, WeightsError
from compose_tlam.labels import PRIMITIVES, Label, LabelSet, taskonomy
from compose_tlam.stack import LabelStack
from compose_tlam.testing import random_stack


def stack_of(seed, shape=(2, 6, 5), **options):
    return random_stack(shape, torch.Generator().manual_seed(seed), **options)


def same(a, b):
    return a.layers.keys() == b.layers.keys() and all(
        torch.equal(a.layers[n].valid, b.layers[n].valid)
        and torch.equal(
            torch.where(shown(a, n), a.layers[n].value, 0),
            torch.where(shown(b, n), b.layers[n].value, 0),
        )
        for n in a.layers
    )


def shown(stack, name):
    valid = stack.layers[name].valid
    return valid if stack.labels.named(name).discrete else valid[:, None]


@given(st.integers(0, 100))
def test_two_mirrors_are_none(seed):
    stack = stack_of(seed)
    assert same(stack.flip().flip(), stack)


def test_a_mirror_negates_x_of_normals_and_nothing_else():
    stack = stack_of(0)
    flipped = stack.flip()
    before, after = stack.layers["normals"].value, flipped.layers["normals"].value
    sign = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    assert torch.equal(after, before.flip(-1) * sign)
    assert torch.equal(flipped.layers["curvature"].value, stack.layers["curvature"].value.flip(-1))


@given(st.integers(0, 50), st.sampled_from([(3, 3), (9, 7), (6, 5), (12, 10)]))
def test_resized_vectors_have_unit_length_and_classes_stay_classes(seed, size):
    small = stack_of(seed).resize(*size)
    assert small.shape == (2, *size)
    normals = small.layers["normals"]
    length = normals.value.norm(dim=1)[normals.valid]
    assert torch.allclose(length[length > 1e-3], torch.ones_like(length[length > 1e-3]))
    classes = small.layers["semantics"]
    known = set(stack_of(seed).layers["semantics"].value.flatten().tolist())
    assert set(classes.value.flatten().tolist()) <= known


def test_missing_values_leave_no_mark_on_smaller_maps():
    value = torch.full((1, 1, 4, 4), 0.25)
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    valid[0, 0, 0] = False
    value[0, 0, 0, 0] = torch.nan
    stack = LabelStack.of(PRIMITIVES, {"depth": value}, {"depth": valid}).resize(2, 2)
    assert torch.equal(stack.layers["depth"].value, torch.full((1, 1, 2, 2), 0.25))
    assert bool(stack.layers["depth"].valid.all())
    few = torch.zeros(1, 4, 4, dtype=torch.bool)
    few[0, 0, 0] = True
    stack = LabelStack.of(PRIMITIVES, {"depth": value}, {"depth": few}).resize(2, 2)
    assert not bool(stack.layers["depth"].valid.any())


def test_any_subset_stands_in_a_stack_and_absent_labels_are_missing():
    stack = stack_of(3).under(PRIMITIVES.only("depth", "edges"))
    assert set(stack.layers) == {"depth", "edges"}
    empty = stack.without("depth", "edges")
    assert empty.empty and not stack.empty
    joined = LabelStack.cat([stack_of(0), stack_of(0).under(PRIMITIVES)])
    assert joined.shape[0] == 4


def test_cat_fills_in_what_one_of_them_lacks():
    whole = stack_of(0)
    part = LabelStack(PRIMITIVES, {"depth": whole.layers["depth"]})
    joined = LabelStack.cat([part, whole])
    assert not bool(joined.layers["edges"].valid[:2].any())
    assert torch.equal(joined.layers["edges"].value[2:], whole.layers["edges"].value)


def test_a_registry_survives_json_and_names_the_nearest():
    for labels in (PRIMITIVES, taskonomy()):
        assert LabelSet.from_json(labels.to_json()) == labels
    with pytest.raises(UsageError, match="did you mean 'depth'"):
        PRIMITIVES.named("dept")
    with pytest.raises(WeightsError):
        LabelSet.from_json([{"nonsense": 1}])


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "odd"},
        {"kind": "continuous", "channels": 0},
        {"kind": "discrete", "channels": 2},
        {"kind": "discrete", "high": 3.0, "classes": ("a",)},
        {"kind": "vector", "channels": 3, "negated": (3,)},
        {"kind": "continuous", "channels": 3, "mean": (0.0, 0.0)},
        {"kind": "continuous", "low": 2.0},
    ],
)
def test_labels_that_contradict_themselves_are_refused(wrong):
    with pytest.raises(UsageError):
        Label(name="x", **wrong)
    with pytest.raises(UsageError):
        LabelSet([])


def test_maps_of_different_sizes_are_refused_by_name():
    a, b = stack_of(0).layers["depth"], stack_of(0, (2, 4, 4)).layers["edges"]
    with pytest.raises(ShapeError, match="depth 5 x 6; edges 4 x 4"):
        LabelStack(PRIMITIVES, {"depth": a, "edges": b})
    with pytest.raises(ShapeError, match="'depth' has the wrong shape"):
        LabelStack.of(PRIMITIVES, {"depth": torch.zeros(1, 2, 4, 4)})
    with pytest.raises(ShapeError, match="'semantics' has the wrong shape"):
        LabelStack.of(PRIMITIVES, {"semantics": torch.zeros(1, 4, 4)})
    with pytest.raises(UsageError):
        LabelStack(PRIMITIVES, {})


@pytest.mark.parametrize("shape", [(), (3,), (4, 4), (1, 0, 4, 4), (1, 1, 0, 0), (0, 1, 4, 4)])
def test_maps_that_are_none_are_refused(shape):
    with pytest.raises(ShapeError, match="'depth' has the wrong shape"):
        LabelStack.of(PRIMITIVES, {"depth": torch.zeros(shape)})
