"""Bad values are refused with the file and the value."""

import pytest
import torch

from compose_core.errors import SceneError
from compose_tlam.checks import check_layer, check_stack, contradictions
from compose_tlam.labels import PRIMITIVES
from compose_tlam.stack import LabelStack, Layer


def layer(value, valid=None):
    plane = value if value.dim() == 3 else value[:, 0]
    whole = torch.ones_like(plane, dtype=torch.bool)
    return Layer(value, whole if valid is None else valid)


def test_class_numbers_outside_the_registry():
    value = torch.zeros(1, 3, 3, dtype=torch.long)
    value[0, 1] = 9
    with pytest.raises(SceneError, match="rooms/a.png") as caught:
        check_layer(PRIMITIVES.named("semantics"), layer(value), "the file rooms/a.png")
    assert "9 in 3 pixels" in str(caught.value) and "capsule" in str(caught.value)
    missing = value != 9
    kept = check_layer(PRIMITIVES.named("semantics"), layer(value, missing), "x")
    assert torch.equal(kept.value, value)


@pytest.mark.parametrize("value", [7.3, -0.5, 255.0])
def test_depth_in_another_unit(value):
    with pytest.raises(SceneError, match="another unit or convention") as caught:
        check_layer(PRIMITIVES.named("depth"), layer(torch.full((1, 1, 2, 2), value)), "d.png")
    assert "1 / depth" in str(caught.value) and "near is 1" in str(caught.value)


def test_depth_that_is_upside_down_is_remarked_on():
    classes = torch.ones(1, 4, 4, dtype=torch.long)
    classes[:, :2] = 0
    depth = torch.linspace(1, 0, 4)[None, None, :, None].expand(1, 1, 4, 4).contiguous()
    stack = LabelStack.of(PRIMITIVES, {"semantics": classes, "depth": depth})
    assert any("sky is nearer" in line for line in contradictions(stack))
    good = LabelStack.of(PRIMITIVES, {"semantics": classes, "depth": 1 - depth})
    assert not list(contradictions(good))
    assert not list(contradictions(good.without("semantics")))


def test_normals_that_are_not_of_unit_length():
    short = torch.zeros(1, 3, 4, 4)
    short[:, 2] = 0.5
    with pytest.raises(SceneError, match="not of unit length") as caught:
        check_layer(PRIMITIVES.named("normals"), layer(short), "n.png")
    assert "a length of 0.5" in str(caught.value)
    nearly = short * 2.1
    assert check_layer(PRIMITIVES.named("normals"), layer(nearly * 0.98), "n.png") is not None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_numbers(bad):
    value = torch.zeros(1, 2, 3, 3)
    value[0, 1, 2, 2] = bad
    with pytest.raises(SceneError, match="not numbers"):
        check_layer(PRIMITIVES.named("curvature"), layer(value), "c.png")
    valid = torch.ones(1, 3, 3, dtype=torch.bool)
    valid[0, 2, 2] = False
    check_layer(PRIMITIVES.named("curvature"), layer(value, valid), "c.png")


def test_values_with_a_soft_range_are_clipped():
    value = torch.full((1, 2, 2, 2), 30.0)
    found = check_stack(LabelStack.of(PRIMITIVES, {"curvature": value}))
    assert float(found.layers["curvature"].value.max()) == 8.0


def test_depth_that_fills_little_of_its_range_is_remarked_on():
    far = LabelStack.of(PRIMITIVES, {"depth": torch.rand(1, 1, 8, 8) * 0.1})
    (line,) = contradictions(far)
    assert "another unit" in line
    assert not list(contradictions(LabelStack.of(PRIMITIVES, {"depth": torch.rand(1, 1, 64, 64)})))
