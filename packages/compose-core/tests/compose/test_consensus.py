"""Agreement over views: against dense least squares, and the laws."""

import pytest
import torch

from compose_core.compose import Consensus
from compose_core.denoiser import Bound, Denoiser, Gaussian
from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_core.prediction import Prediction
from compose_core.testing.laws import (
    assert_close,
    check_cover,
    check_denoiser,
    check_gaussian,
    check_identical_parts,
    check_one_hot,
    check_partition,
    check_permutation,
)
from compose_core.testing.models import (
    TinyNetwork,
    stable_diffusion_schedule,
    tiny_parts,
    tiny_text,
)
from compose_core.views import Blend, View, Whole, Window, cover, profile

PROFILES = ["mean", "hann", "gaussian"]
LEVELS = [stable_diffusion_schedule().level(torch.tensor(t)) for t in (1.0, 400.0, 998.0)]
LEVEL = LEVELS[1]


def noise(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


def positive(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=g, dtype=torch.float64) + 0.05


class Says(Denoiser):
    """Predicts a fixed picture."""

    def __init__(self, x0):
        super().__init__()
        self.x0 = x0

    def queries(self, x_t, level, state):
        return ()

    def combine(self, answers, x_t, level, state):
        return Prediction(x_t, level, self.x0.expand_as(x_t))


def dense(views, weights, said, shape):
    """The least-squares canvas by a dense solve, one column per cell; least norm when open."""
    count = torch.Size(shape).numel()
    basis = torch.eye(count, dtype=torch.float64).reshape(count, *shape)
    rows, targets = [], []
    for view, w, y in zip(views, weights, said, strict=True):
        seen = view.observe(basis)
        root = w.expand(seen.shape).sqrt()
        rows.append((seen * root).reshape(count, -1).T)
        targets.append((y * root[0]).reshape(-1, 1))
    solved = torch.linalg.lstsq(torch.cat(rows), torch.cat(targets), driver="gelsd").solution
    return solved.reshape(1, *shape)


VIEWS = {
    "row": (cover(20, 8, 5), (3, 20)),
    "ring": (cover(20, 8, 5, wrap=True), (3, 20)),
    "grid": (cover((7, 9), (4, 4), (2, 3)), (2, 7, 9)),
    "torus": (cover((6, 8), (4, 4), (3, 3), wrap=True), (2, 6, 8)),
    "cylinder": (cover((6, 8), (4, 4), (3, 3), wrap=(False, True)), (2, 6, 8)),
    "long window on a ring": ([Window((1,), (7,), (True,))], (2, 4)),
    "whole and window": ([Whole(), Window((1, 1), (2, 3))], (2, 4, 5)),
    "blend and canvases": (
        [Blend(positive(2, 4, 5)), Blend(torch.stack([torch.ones(4, 5), torch.zeros(4, 5)])),
         Blend(torch.stack([torch.zeros(4, 5), torch.ones(4, 5)]))],
        (2, 3, 4, 5),
    ),
    "blend and windows": ([Blend(positive(2, 4, 5)), Window((0, 0), (4, 5))], (2, 3, 4, 5)),
}  # fmt: skip


@pytest.mark.parametrize("space", ["x0", "eps"])
@pytest.mark.parametrize("per_cell", [False, True])
@pytest.mark.parametrize("name", VIEWS)
def test_it_is_the_weighted_least_squares_solution(name, per_cell, space):
    views, shape = VIEWS[name]
    x_t = noise(1, *shape)
    seen = [view.observe(x_t) for view in views]
    said = [noise(*y.shape, seed=i) for i, y in enumerate(seen)]
    cells = [positive(*y.shape[1:], seed=i) for i, y in enumerate(seen)]
    weights = cells if per_cell else [profile("hann", y.shape[2:]) for y in seen]
    actual = Consensus(
        [Says(x0) for x0 in said], views, cells if per_cell else "hann", space=space
    )(x_t, LEVEL).x0
    assert_close(actual, dense(views, weights, said, shape), "dense least squares")


def test_open_directions_get_the_solution_of_least_norm():
    """One blend of two canvases leaves their difference open."""
    views, shape = [Blend(positive(2, 4, 5))], (2, 3, 4, 5)
    said = [noise(1, 3, 4, 5)]
    actual = Consensus([Says(said[0])], views)(noise(1, *shape), LEVEL).x0
    assert_close(actual, dense(views, [torch.ones(())], said, shape), "least norm")


@pytest.mark.parametrize("weights", PROFILES)
@pytest.mark.parametrize("name", ["row", "ring", "grid", "torus", "cylinder"])
def test_the_laws_over_windows(name, weights):
    views, shape = VIEWS[name]
    x_t = noise(2, *shape)
    check_cover(views, shape[1:])
    check_partition(views, weights, x_t)
    check_identical_parts(
        lambda parts: Consensus(parts[0], views, weights), Gaussian(0.3, 0.5), x_t, LEVEL
    )
    check_gaussian(Consensus(Gaussian(0.3, 0.5), views, weights), 0.3, 0.5, LEVELS, x_t)
    network = TinyNetwork(channels=shape[0], axes=len(shape) - 1, dtype=torch.float64)
    check_denoiser(Consensus(Bound(network, tiny_text(1)), views, weights), x_t, LEVEL)


@pytest.mark.parametrize("weights", PROFILES)
def test_the_order_of_parts_does_not_matter(weights):
    views = cover((6, 10), 6, 2)
    parts = tiny_parts(len(views), TinyNetwork(dtype=torch.float64))
    check_permutation(
        lambda order: Consensus([parts[i] for i in order], [views[i] for i in order], weights),
        len(views), noise(2, 4, 6, 10), LEVEL,
    )  # fmt: skip


def test_all_weight_on_one_part_returns_it():
    parts = tiny_parts(3, TinyNetwork(dtype=torch.float64))

    def build(i):
        masks = torch.zeros(3, 6, 6, dtype=torch.float64)
        masks[i] = 1
        return Consensus(parts, [Whole()] * 3, list(masks))

    check_one_hot(build, parts, noise(2, 4, 6, 6), LEVEL)


def test_gaussian_parts_with_masks_are_the_gaussian_of_the_mixed_means():
    means = [noise(2, 6, 6, seed=i) for i in range(3)]
    masks = positive(3, 6, 6)
    mean = sum(m * w for m, w in zip(means, masks / masks.sum(0), strict=True))
    parts = [Gaussian(m, 0.4) for m in means]
    for space in ("x0", "eps"):
        consensus = Consensus(parts, [Whole()] * 3, list(masks), space=space)
        check_gaussian(consensus, mean, 0.4, LEVELS, noise(2, 2, 6, 6))


def test_gaussian_canvases_under_a_blend_stay_gaussian():
    """Views that agree with each other are reproduced: x0 of each canvas is its own."""
    masks = positive(2, 4, 5)
    x_t, mean = noise(2, 2, 3, 4, 5), noise(2, 3, 4, 5, seed=4)
    x0 = Gaussian(mean, 0.4)(x_t, LEVEL).x0
    one, zero = torch.ones(4, 5), torch.zeros(4, 5)
    views = [Blend(masks), Blend(torch.stack([one, zero])), Blend(torch.stack([zero, one]))]
    parts = [Says(view.observe(x0)) for view in views]
    check_gaussian(Consensus(parts, views), mean, 0.4, [LEVEL], x_t)


def test_the_laws_over_blends():
    network = TinyNetwork(channels=3, dtype=torch.float64)
    views, shape = VIEWS["blend and canvases"]
    parts = tiny_parts(3, network)
    check_denoiser(Consensus(parts, views), noise(3, *shape), LEVEL)
    check_permutation(
        lambda order: Consensus([parts[i] for i in order], [views[i] for i in order]),
        3, noise(2, *shape), LEVEL,
    )  # fmt: skip


def test_hann_windows_join_without_a_step():
    """Two windows that disagree by 1: the plain mean jumps by 1/2, Hann weights by less."""
    views = cover(12, 8, 4)
    x_t = noise(1, 1, 12)
    parts = [Says(torch.zeros(1, 1, 8)), Says(torch.ones(1, 1, 8))]
    jumps = {
        kind: Consensus(parts, views, kind)(x_t, LEVEL).x0.diff().abs().max() for kind in PROFILES
    }
    assert jumps["mean"] == 0.5 and jumps["hann"] < 0.45 and jumps["gaussian"] > jumps["hann"]


def test_rolling_a_closed_canvas_rolls_the_prediction():
    """Stride 2 on a ring of 12: shifts by 2 are a symmetry, the seam included."""
    views = cover(12, 6, 2, wrap=True)
    denoiser = Consensus(
        Bound(TinyNetwork(channels=2, axes=1, dtype=torch.float64), tiny_text(1)), views
    )
    x_t = noise(1, 2, 12)
    rolled = denoiser(x_t.roll(4, -1), LEVEL).x0
    assert_close(rolled, denoiser(x_t, LEVEL).x0.roll(4, -1), "equivariance")


def test_weights_of_each_sample():
    weights = [positive(2, 1, 6, 6, seed=i) for i in range(2)]
    parts = tiny_parts(2, TinyNetwork(dtype=torch.float64))
    x_t = noise(2, 4, 6, 6)
    together = Consensus(parts, [Whole()] * 2, weights)(x_t, LEVEL).x0
    for i in range(2):
        alone = Consensus(parts, [Whole()] * 2, [w[i : i + 1] for w in weights])
        assert_close(together[i : i + 1], alone(x_t[i : i + 1], LEVEL).x0, "own weights")


def test_gradients_reach_the_parts():
    """A learned composer trains through the merge, in closed form and through the solver."""
    for name in ("grid", "blend and canvases"):
        views, shape = VIEWS[name]
        x_t = noise(1, *shape)
        said = [view.observe(x_t).clone().requires_grad_() for view in views]
        x0 = Consensus([Says(y) for y in said], views)(x_t, LEVEL).x0
        x0.square().sum().backward()
        assert all(bool((y.grad != 0).any()) for y in said), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_dtypes_stay_and_are_close(dtype):
    for name in ("torus", "blend and canvases"):
        views, shape = VIEWS[name]
        said = [view.observe(noise(1, *shape, seed=3)) for view in views]
        x_t = noise(1, *shape)
        exact = Consensus([Says(y) for y in said], views, "hann")(x_t, LEVEL).x0
        narrow = Consensus([Says(y.to(dtype)) for y in said], views, "hann")
        actual = narrow(x_t.to(dtype), LEVEL).x0
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.double(), exact, rtol=0.05, atol=0.05)


def test_uncovered_cells_are_refused():
    floored = [Window((start,), (8,)) for start in (0, 5, 10)]  # 20 cells: the last two are bare
    with pytest.raises(ShapeError, match="2 of 20 cells"):
        Consensus(Gaussian(0.0, 1.0), floored)(noise(1, 1, 20), LEVEL)
    weights = [torch.zeros(5), torch.ones(5)]
    with pytest.raises(ShapeError, match="uncovered"):
        Consensus(Gaussian(0.0, 1.0), [Window((0,), (5,)), Window((5,), (5,))], weights)(
            noise(1, 1, 10), LEVEL
        )
    empty = Blend(torch.stack([torch.ones(4, 5), torch.zeros(4, 5)]))
    with pytest.raises(ShapeError, match="uncovered"):
        Consensus(Gaussian(0.0, 1.0), [empty])(noise(1, 2, 3, 4, 5), LEVEL)


def test_a_cell_without_trust_is_refused_whatever_the_view():
    """Under a blend a weight of zero would leave the prediction of its cells at zero."""
    blend, x_t = Blend(torch.stack([torch.ones(4, 5), -torch.ones(4, 5)])), noise(1, 2, 3, 4, 5)
    holed = torch.ones(4, 5)
    Consensus(Gaussian(0.0, 1.0), [blend], [holed])(x_t, LEVEL)
    holed[1, 2] = 0
    with pytest.raises(ShapeError, match="6 of 120 cells"):
        Consensus(Gaussian(0.0, 1.0), [blend], [holed])(x_t, LEVEL)
    whole = [Gaussian(0.0, 1.0)] * 2, [blend, Window((0, 0), (4, 5))], [holed, torch.ones(4, 5)]
    Consensus(*whole)(x_t, LEVEL)


def test_contrasts_cover_what_they_show():
    """The columns of this view sum to zero; with the mean it shows every cell."""

    class Differences(View):
        def observe(self, x):
            return x - x.roll(1, -1)

        def adjoint(self, y, shape):
            return y - y.roll(-1, -1)

        def weight(self, shape):
            return torch.full(tuple(shape), 2.0, dtype=torch.float64)

    x0 = noise(1, 2, 10)
    parts, views = [Says(x0 - x0.roll(1, -1)), Says(x0)], [Differences(), Whole()]
    none = [torch.ones(10), torch.zeros(10)]  # the mean is open: the solution of least norm
    actual = Consensus(parts, views, none)(noise(1, 2, 10), LEVEL).x0
    assert_close(actual, x0 - x0.mean(-1, keepdim=True), "least norm")


def test_weights_that_overflow_are_refused():
    """Their sum is infinite, and every share of it zero."""
    huge = [torch.full((6,), 1.5e308, dtype=torch.float64)] * 2
    with pytest.raises(ShapeError, match="too large"):
        Consensus(Gaussian(0.0, 1.0), cover(10, 6, 4), huge)(noise(1, 1, 10), LEVEL)


def test_wrong_use_is_explained():
    part, x_t = Gaussian(0.0, 1.0), noise(1, 1, 10)
    views = cover(10, 6, 4)
    with pytest.raises(UsageError, match="one part per view"):
        Consensus([part], views)
    with pytest.raises(UsageError, match="unknown profile"):
        Consensus(part, views, "triangle")(x_t, LEVEL)
    with pytest.raises(ShapeError, match="given per view"):
        Consensus(part, views, [torch.ones(6)])(x_t, LEVEL)
    for wrong in (torch.ones(5), -torch.ones(6), torch.full((6,), torch.nan)):
        with pytest.raises(ShapeError, match="do not fit"):
            Consensus(part, views, [wrong, wrong])(x_t, LEVEL)


def test_views_that_cannot_be_reconciled_are_named():
    class Broken(View):
        """Its adjoint is not its transpose."""

        def observe(self, x):
            return x * torch.linspace(1, 50, x.shape[-1]).double()

        def adjoint(self, y, shape):
            return y.roll(1, -1)

        def weight(self, shape):
            return torch.ones(tuple(shape), dtype=torch.float64)

    with pytest.raises(ComposeError, match="reconciled"):
        Consensus(Gaussian(0.0, 1.0), [Broken()])(noise(1, 1, 10), LEVEL)


def test_on_every_device(device):
    views, shape = VIEWS["blend and canvases"]
    for kind in (views, VIEWS["torus"][0]):
        size = shape if kind is views else VIEWS["torus"][1]
        x_t = noise(2, *size)
        here = Consensus(Gaussian(0.3, 0.5), kind, "gaussian")
        there = here(x_t.to(device), LEVEL).x0
        assert there.device.type == device.type
        assert_close(there.cpu(), here.cpu()(x_t, LEVEL).x0, "device")
