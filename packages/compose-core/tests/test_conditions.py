"""Conditions: coverage of boxes, read-only values, dropping."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose_core.conditions import Box, Depth, Exemplar, Keypoints, Mask, Null, Text
from compose_core.errors import ShapeError

fraction = st.floats(0, 1, width=32)


@given(fraction, fraction, fraction, fraction, st.integers(1, 30), st.integers(1, 30))
def test_the_coverage_of_a_box_sums_to_its_area(a, b, c, d, height, width):
    x0, x1, y0, y1 = *sorted((a, b)), *sorted((c, d))
    if x0 == x1 or y0 == y1:
        return
    coverage = Box(x0, y0, x1, y1).coverage(height, width)
    assert coverage.mean() == pytest.approx((x1 - x0) * (y1 - y0), abs=1e-5)
    assert 0 <= coverage.min() and coverage.max() <= 1 + 1e-6


def test_an_inverted_box_is_refused():
    with pytest.raises(ShapeError, match="inverted"):
        Box(0.5, 0, 0.5, 1)


def test_dropping_leaves_the_kind_and_is_idempotent():
    null = Text("a red sphere").drop()
    assert null == Null("text") == null.drop()
    assert null.kind == "text"


def test_values_are_read_only_but_the_callers_array_is_not():
    mine = np.ones((2, 2), np.float32)
    mask = Mask(mine)
    with pytest.raises(ValueError, match="read-only"):
        mask.values[0, 0] = 0
    mine[0, 0] = 0.5


@pytest.mark.parametrize(("kind", "shape"), [(Mask, (2, 2, 1)), (Depth, (4,)), (Exemplar, (2, 2))])
def test_the_number_of_axes_is_checked(kind, shape):
    with pytest.raises(ShapeError, match="axes"):
        kind(np.ones(shape, np.float32))


def test_keypoints_cannot_be_changed():
    points = {"head": (0.5, 0.2)}
    keypoints = Keypoints(points)
    points["tail"] = (0, 0)
    assert dict(keypoints.points) == {"head": (0.5, 0.2)}
    with pytest.raises(TypeError):
        keypoints.points["tail"] = (0, 0)
