"""Views are linear, their adjoints are exact, and covers cover."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_core.errors import ShapeError, UsageError
from compose_core.testing.laws import check_adjoint, check_cover
from compose_core.views import Blend, Whole, Window, cover, profile


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def canvas(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


VIEWS = {
    "window 1-D": (Window((3,), (4,)), (2, 3, 9)),
    "window 1-D wrapped": (Window((7,), (4,), (True,)), (2, 3, 9)),
    "window 1-D longer than the ring": (Window((2,), (11,), (True,)), (2, 3, 4)),
    "window 1-D on a picture": (Window((1,), (4,)), (2, 3, 5, 6)),
    "window 2-D": (Window((1, 2), (3, 4)), (2, 3, 5, 7)),
    "window 2-D wrapped in one": (Window((1, 5), (3, 4), (False, True)), (2, 3, 5, 7)),
    "window 2-D wrapped in both": (Window((4, 5), (3, 4), (True, True)), (2, 3, 5, 7)),
    "window 2-D before the start": (Window((-1, 5), (3, 9), (True, True)), (2, 3, 5, 7)),
    "window 3-D": (Window((1, 0, 2), (2, 3, 2)), (1, 2, 4, 3, 4)),
    "whole": (Whole(), (2, 3, 5, 7)),
    "blend": (Blend(canvas(3, 5, 7, seed=8)), (2, 3, 4, 5, 7)),
    "blend 1-D": (Blend(canvas(2, 6, seed=8)), (2, 2, 4, 6)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_adjoint_is_the_transpose(name):
    view, shape = VIEWS[name]
    check_adjoint(view, canvas(*shape), generator(1))


@pytest.mark.parametrize("name", VIEWS)
def test_observation_is_linear(name):
    view, shape = VIEWS[name]
    a, b = canvas(*shape), canvas(*shape, seed=1)
    together = view.observe(2 * a - b)
    torch.testing.assert_close(together, 2 * view.observe(a) - view.observe(b))


@pytest.mark.parametrize("name", VIEWS)
def test_the_weight_is_the_diagonal_of_the_normal_matrix(name):
    view, shape = VIEWS[name]
    one_sample = (1, *shape[1:])
    count = torch.Size(one_sample).numel()
    basis = torch.eye(count, dtype=torch.float64).reshape(count, *shape[1:])
    normal = view.adjoint(view.observe(basis), shape[2:]).reshape(count, count)
    weight = view.weight(shape[2:]).expand(one_sample).reshape(-1)
    torch.testing.assert_close(normal.diagonal(), weight)
    if view.crops:
        torch.testing.assert_close(normal, torch.diag(weight))


@pytest.mark.parametrize("name", VIEWS)
def test_accumulating_adds_the_adjoint(name):
    view, shape = VIEWS[name]
    x = canvas(*shape)
    y = view.observe(canvas(*shape, seed=2))
    expected = x + view.adjoint(y, shape[2:])
    torch.testing.assert_close(view.accumulate(x.clone(), y, shape[2:]), expected)


def test_a_wrapped_window_reads_modulo_the_length():
    x = canvas(1, 1, 5)
    for start, size in itertools.product(range(-6, 7), range(1, 12)):
        seen = Window((start,), (size,), (True,)).observe(x)
        index = (start + torch.arange(size)) % 5
        assert torch.equal(seen, x[..., index])


def test_rolling_the_canvas_moves_a_wrapped_window():
    x = canvas(1, 2, 6, 8)
    moved = Window((2, 6), (4, 5), (True, True)).observe(x.roll((1, 3), (-2, -1)))
    assert torch.equal(moved, Window((1, 3), (4, 5), (True, True)).observe(x))


def test_windows_outside_are_refused():
    with pytest.raises(ShapeError, match="outside the canvas"):
        Window((3,), (4,)).observe(canvas(1, 1, 6))
    with pytest.raises(ShapeError, match="outside the canvas"):
        Window((-1,), (4,)).observe(canvas(1, 1, 6))
    with pytest.raises(ShapeError, match="more axes"):
        Window((0, 0), (1, 1)).observe(canvas(6))
    with pytest.raises(ShapeError, match="positive size"):
        Window((0,), (0,))
    with pytest.raises(ShapeError, match="positive size"):
        Window((0, 0), (1,))


def test_whole_and_plain_windows_copy_nothing():
    x = canvas(1, 1, 6, 6)
    assert Whole().observe(x) is x
    assert Window((2, 2), (3, 3)).observe(x).untyped_storage().data_ptr() == x.data_ptr()


def test_equal_windows_are_one():
    assert Window((1,), (2,)) == Window((1,), (2,), (False,))
    assert len({Window((1,), (2,)), Window((1,), (2,)), Window((1,), (3,))}) == 2


def test_a_blend_of_one_hot_masks_picks_canvases():
    masks = torch.zeros(2, 4, 4, dtype=torch.float64)
    masks[0, :, :2], masks[1, :, 2:] = 1, 1
    x = canvas(3, 2, 5, 4, 4)
    seen = Blend(masks).observe(x)
    assert torch.equal(seen[..., :2], x[:, 0, :, :, :2])
    assert torch.equal(seen[..., 2:], x[:, 1, :, :, 2:])
    with pytest.raises(ShapeError, match="stack of canvases"):
        Blend(masks).observe(canvas(3, 3, 5, 4, 4))


triples = st.tuples(st.integers(1, 100), st.integers(1, 40), st.integers(1, 40))


@settings(max_examples=1000)
@given(triples, st.booleans())
def test_every_cell_is_covered_for_any_size_window_and_stride(triple, wrap):
    size, window, stride = triple
    views = cover(size, window, stride, wrap)
    check_cover(views, (size,))
    width = min(window, size)
    step = min(stride, width)
    assert all(view.size == (width,) for view in views)
    starts = [view.start[0] for view in views]
    assert starts[0] == 0 and starts == sorted(set(starts))
    assert all(b - a <= step for a, b in itertools.pairwise(starts))
    if wrap:
        assert starts == list(range(0, size, step))
    else:
        assert starts[-1] == size - width, "the tail is aligned to the end"
        assert len(views) == 1 + -(-(size - width) // step)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(1, 12), st.integers(1, 12)), min_size=1,
             max_size=3),
    st.booleans(),
)  # fmt: skip
def test_every_cell_is_covered_in_more_axes(axes, wrap):
    size, window, stride = zip(*axes, strict=True)
    views = cover(size, window, stride, wrap)
    check_cover(views, size)
    assert len(views) == len(set(views))


def test_covers_of_a_picture_are_in_reading_order():
    views = cover((8, 20), 8, 4, (False, True))
    assert [view.start for view in views] == [(0, x) for x in range(0, 20, 4)]
    assert views[-1].wrap == (False, True) and views[-1].size == (8, 8)


@pytest.mark.parametrize(
    "arguments", [(0, 1, 1), (4, 0, 1), (4, 2, 0), ((4, 4), (2,), 1), ((), (), ())]
)
def test_covers_need_positive_numbers(arguments):
    with pytest.raises(UsageError, match="cover needs"):
        cover(*arguments)


@pytest.mark.parametrize("kind", ["mean", "hann", "gaussian"])
@pytest.mark.parametrize("size", [1, 2, 5, 8, (3, 6), (64, 64)])
def test_profiles_are_positive_symmetric_and_highest_in_the_middle(kind, size):
    weights = profile(kind, size)
    assert weights.shape == torch.Size((size,) if isinstance(size, int) else size)
    assert bool((weights > 0).all()) and weights.max() <= 1
    for axis in range(weights.dim()):
        torch.testing.assert_close(weights, weights.flip(axis))
        half = weights.narrow(axis, 0, (weights.shape[axis] + 1) // 2)
        assert bool((half.diff(dim=axis) >= 0).all())


def test_profiles_are_the_formulas():
    torch.testing.assert_close(profile("hann", 2), torch.tensor([0.5, 0.5]).double())
    ring = profile("hann", 8) + profile("hann", 8).roll(4)
    torch.testing.assert_close(ring, torch.ones_like(ring))  # half-overlapping windows sum to 1
    u = torch.tensor([-0.25, 0.25]).double()
    torch.testing.assert_close(profile("gaussian", 2), torch.exp(-(u**2) / (2 * 0.1**2)))
    with pytest.raises(UsageError, match="unknown profile"):
        profile("triangle", 3)


def test_on_every_device(device):
    for view, shape in VIEWS.values():
        x = canvas(*shape).float().to(device)
        seen = view.observe(x)
        assert seen.device == x.device and view.adjoint(seen, shape[2:]).device == x.device


def test_a_picture_cut_out_of_several_is_a_crop():
    ones, halves = torch.ones(2, 3), torch.full((2, 3), 0.5)
    left = torch.tensor([[1.0, 1, 0], [1, 0, 0]])
    assert Blend(torch.stack([left, 1 - left])).crops
    for masks in ([halves, halves], [left, left], [left, 0 * left], [-ones, 2 * ones]):
        assert not Blend(torch.stack(masks)).crops
