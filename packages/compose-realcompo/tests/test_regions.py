"""Where regions are, at the resolution of attention."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from compose_core.conditions import Box, Keypoints, Mask, Segments, Text
from compose_realcompo.regions import box_of, lost, mask_of, surrounding

SIDES = st.floats(0, 1)


def boxes():
    def make(a, b, c, d):
        x0, x1 = sorted((a, b))
        y0, y1 = sorted((c, d))
        return (x0, y0, max(x1, x0 + 1e-6), max(y1, y0 + 1e-6))

    inside = st.floats(0, 1 - 1e-6)
    return st.builds(make, inside, inside, inside, inside)


@given(boxes(), st.integers(1, 20), st.integers(1, 20))
def test_a_box_always_has_a_cell_and_only_cells_it_touches(box, h, w):
    mask = mask_of([Box(*box)], (h, w))
    assert mask.shape == (h, w)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask.sum() >= 1
    touched = torch.from_numpy(np.array(Box(*box).coverage(h, w))) > 0
    assert bool((touched | (mask == 0)).all())


def test_a_cell_belongs_to_a_box_that_covers_half_of_it():
    mask = mask_of([Box(0.0, 0.0, 0.625, 1.0)], (1, 4))  # 2.5 cells
    assert mask.tolist() == [[1, 1, 1, 0]]
    assert mask_of([Box(0.0, 0.0, 0.6, 1.0)], (1, 4)).tolist() == [[1, 1, 0, 0]]


def test_corners_are_cut_down_where_asked():
    box = [Box(0.2, 0.2, 0.9, 0.49)]
    expected = torch.zeros(4, 4)
    expected[0:1, 0:3] = 1
    assert torch.equal(mask_of(box, (4, 4), truncate=True), expected)
    thin = mask_of([Box(0.3, 0.3, 0.4, 0.9)], (4, 4), truncate=True)
    assert thin.sum() == 0


def test_keypoints_are_their_least_box():
    points = Keypoints({"head": (0.5, 0.1), "foot": (0.4, 0.9)})
    assert box_of(points) == Box(0.4, 0.1, 0.5, 0.9)
    wider = box_of(points, 0.2)
    np.testing.assert_allclose([wider.x0, wider.y0, wider.x1, wider.y1], [0.2, 0, 0.7, 1.0])


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=5))
def test_any_group_of_points_has_a_box_on_the_canvas(points):
    box = box_of(Keypoints({str(i): p for i, p in enumerate(points)}))
    assert 0 <= box.x0 < box.x1 <= 1
    assert 0 <= box.y0 < box.y1 <= 1


def test_segments_are_their_box_or_what_they_are():
    labels = np.zeros((8, 8), np.int64)
    labels[0:4, 0:2] = 7
    labels[0:2, 2:6] = 7
    segments = [Segments(labels)]
    assert surrounding(segments) == Box(0.0, 0.0, 0.75, 0.5)
    assert mask_of(segments, (8, 8)).sum() == 6 * 4
    assert torch.equal(
        mask_of(segments, (8, 8), shape="true"), torch.from_numpy(labels > 0).float()
    )


def test_a_mask_rules_a_box():
    values = np.zeros((8, 8), np.float32)
    values[:, 6:] = 1
    both = [Box(0.0, 0.0, 0.5, 0.5), Mask(values)]
    assert torch.equal(mask_of(both, (8, 8)), torch.from_numpy(values))
    assert surrounding(both) == Box(0.75, 0.0, 1.0, 1.0)


def test_nothing_says_where():
    assert mask_of([Text("a cone")], (4, 4)) is None
    assert surrounding([]) is None


def test_cells_that_reach_beyond_the_canvas_keep_their_place():
    """5 latents under cells of 2: three cells, of which the last is half outside."""
    covered = (5 / 6, 5 / 6)
    lower = mask_of([Box(0.0, 0.4, 1.0, 1.0)], (3, 3), covered=covered)  # latents 2, 3 and 4
    assert lower.tolist() == [[0, 0, 0], [1, 1, 1], [1, 1, 1]]
    upper = mask_of([Box(0.0, 0.0, 1.0, 0.4)], (3, 3), covered=covered)
    assert upper[0].tolist() == [1, 1, 1] and upper[1:].sum() == 0
    values = np.zeros((40, 40), np.float32)
    values[16:] = 1
    assert torch.equal(mask_of([Mask(values)], (3, 3), covered=covered), lower)
    labels = Segments((values > 0).astype(np.int64))
    assert torch.equal(mask_of([labels], (3, 3), shape="true", covered=covered), lower)
    assert lost([Mask(values)], lower, covered) == 0
