"""The laws that composers obey, as functions that raise `AssertionError` when one is broken.

A package calls those that its rule promises; `check_denoiser` holds those that every denoiser
must pass. `build` arguments are functions that make the composer under test, so that a law can
vary what it is made of.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from compose_core.compose import partition, raw_weights
from compose_core.compose.least_squares import Weights
from compose_core.denoiser import Denoiser, Gaussian
from compose_core.errors import ShapeError
from compose_core.evaluate import Local
from compose_core.schedule import Level
from compose_core.testing.anatomy import anatomy, same_bytes, same_questions, tensors_in
from compose_core.views import View

_TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 1e-5,
    torch.float16: 5e-3,
    torch.bfloat16: 4e-2,
}


def tolerance(dtype: torch.dtype) -> float:
    """The relative and absolute error allowed in `dtype`; the one place where it is decided."""
    return _TOLERANCE[dtype]


def assert_close(actual: Tensor, expected: Tensor, law: str) -> None:
    """Fail with the name of the `law` unless both agree within the tolerance of their dtype."""
    bound = tolerance(expected.dtype)
    torch.testing.assert_close(
        actual, expected, rtol=bound, atol=bound, msg=lambda text: f"{law}\n{text}"
    )


def check_identical_parts(
    build: Callable[[Sequence[Denoiser]], Denoiser],
    part: Denoiser,
    x_t: Tensor,
    level: Level,
    counts: Iterable[int] = (1, 2, 3),
) -> None:
    """K identical parts equal one part, for rules whose weights sum to one.

    Parts of a rule over windows see less than the whole; give one that works cell by cell, such
    as a `Gaussian`.
    """
    expected = part(x_t, level).x0
    for count in counts:
        actual = build([part] * count)(x_t, level).x0
        assert_close(actual, expected, f"{count} identical parts must equal one part")


def check_permutation(
    build: Callable[[tuple[int, ...]], Denoiser], count: int, x_t: Tensor, level: Level
) -> None:
    """The order of the parts does not matter, for symmetric rules.

    Args:
        build: Makes the composer with its parts (and their views, masks, weights) in this order.
        count: How many parts; at most 24 orders are tried.
        x_t: `(B, C, *spatial)`.
        level: Its level.
    """
    orders = itertools.islice(itertools.permutations(range(count)), 24)
    expected = build(next(orders))(x_t, level).x0
    for order in orders:
        actual = build(order)(x_t, level).x0
        assert_close(actual, expected, f"the order {order} of the parts must not matter")


def check_one_hot(
    build: Callable[[int], Denoiser], parts: Sequence[Denoiser], x_t: Tensor, level: Level
) -> None:
    """All weight on part `i` returns part `i`; `build(i)` makes the composer with that weight."""
    for i, part in enumerate(parts):
        actual = build(i)(x_t, level).x0
        assert_close(actual, part(x_t, level).x0, f"all weight on part {i} must return that part")


def check_cover(views: Sequence[View], shape: Sequence[int]) -> None:
    """Every cell of a canvas with the spatial axes `shape` is seen by some view."""
    total = sum((view.weight(shape) for view in views), torch.zeros((), dtype=torch.float64))
    bare = int((total <= 0).sum())
    assert not bare, f"every cell must be covered: {bare} of {total.numel()} are not"


def check_partition(views: Sequence[View], weights: Weights, x_t: Tensor) -> None:
    """Normalised weights of crops are not negative and sum to one in each cell of the canvas."""
    try:
        shares = partition(views, raw_weights(views, weights, x_t), x_t)
    except ShapeError as error:
        raise AssertionError(f"view weights must be a partition of unity: {error}") from error
    check_sums_to_one(views, shares, x_t)


def check_sums_to_one(views: Sequence[View], shares: Sequence[Tensor], x_t: Tensor) -> None:
    """The `shares` of a rule's own normalisation are a partition of unity on the canvas."""
    total = torch.zeros(x_t.shape, dtype=torch.float64)
    for view, share in zip(views, shares, strict=True):
        assert bool((share >= 0).all()), "weights of a partition must not be negative"
        w = share.double().expand_as(view.observe(x_t))
        total = total + view.adjoint(w, x_t.shape[2:])
    assert_close(total, torch.ones_like(total), "weights must sum to one in each cell")


def check_adjoint(view: View, x: Tensor, generator: torch.Generator) -> None:
    """`<A x, y> = <x, A' y>` for a random `y`, per sample and in the dtype of `x` (float64)."""
    seen = view.observe(x)
    y = torch.randn(seen.shape, generator=generator, dtype=x.dtype)
    back = view.adjoint(y, x.shape[2:])
    assert back.shape == x.shape, f"A' y must be a canvas {tuple(x.shape)}: {tuple(back.shape)}"
    left, right = (seen * y).flatten(1).sum(1), (x * back).flatten(1).sum(1)
    assert_close(left, right, "<A x, y> must equal <x, A' y>")


def check_batch(denoiser: Denoiser, x_t: Tensor, level: Level) -> None:
    """Each sample is denoised as if it were alone. Conditions must have batch 1."""
    whole = denoiser(x_t, level).x0
    for i in range(x_t.shape[0]):
        alone = denoiser(x_t[i : i + 1], _row(level, i)).x0
        assert_close(alone, whole[i : i + 1], f"sample {i} must not depend on its batch")


def check_max_batch(
    denoiser: Denoiser, x_t: Tensor, level: Level, sizes: Iterable[int] = (1, 2, 3, 5)
) -> None:
    """Results do not depend on how the questions are split into calls."""
    expected = denoiser(x_t, level, evaluator=Local()).x0
    for size in sizes:
        actual = denoiser(x_t, level, evaluator=Local(max_batch=size)).x0
        assert_close(actual, expected, f"max_batch={size} must not change the result")


def check_same_bytes(run: Callable[[torch.Generator], Tensor], seed: int = 0) -> None:
    """The same seed gives the same bytes, and no other randomness is used or disturbed.

    Args:
        run: What is tested; all of its randomness comes from the generator it is given.
        seed: The seed.
    """
    before = torch.get_rng_state()
    first = run(torch.Generator().manual_seed(seed))
    assert torch.equal(before, torch.get_rng_state()), "global randomness must not be used"
    with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]
        torch.rand(7)  # another global state must not matter either
        second = run(torch.Generator().manual_seed(seed))
    assert same_bytes(first, second), "the same seed must give the same bytes"


def check_gaussian(
    denoiser: Denoiser,
    mean: Tensor | float,
    var: Tensor | float,
    levels: Iterable[Level],
    x_t: Tensor,
) -> None:
    """In float64, at fixed levels, the composition is the analytic denoiser of `N(mean, var)`.

    Fixed levels, because the composition of noised densities is in general not the noised
    composition: what a sampler reaches from there is another matter.
    """
    assert x_t.dtype == torch.float64, "this law is checked in float64"
    oracle = Gaussian(mean, var)
    for level in levels:
        actual, expected = denoiser(x_t, level).x0, oracle(x_t, level).x0
        law = f"must equal the analytic Gaussian at t={level.t.numpy()}"
        assert_close(actual, expected, law)


def check_restored(
    model: nn.Module, probe: Callable[[], Tensor], disturb: Callable[[], object]
) -> None:
    """After `disturb`, which may raise, the model is the untouched one, bit for bit.

    Args:
        model: The model.
        probe: A deterministic forward pass through it.
        disturb: What changes it for a while and has to undo that, such as recording attention.
    """
    before, output = anatomy(model), probe()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        disturb()
    except Exception:  # noqa: BLE001, S110 - a model must be restored after any failure
        pass
    after = anatomy(model)
    changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
    assert not changed, f"a restored model must be the untouched one; changed: {changed[:5]}"
    for name, value in model.state_dict().items():
        assert same_bytes(value, weights[name]), f"a restored model must keep its weights: {name}"
    assert same_bytes(probe(), output), "a restored model must answer the same bytes"


def check_pure(denoiser: Denoiser, x_t: Tensor, level: Level) -> None:
    """Queries do not change state: neither the state, nor the module, nor the sample.

    Asking twice gives the same questions, and combining the same answers the same prediction.
    """
    state = denoiser.init(x_t)
    kept = [value.clone() for value in tensors_in(state)]
    weights = {name: value.clone() for name, value in denoiser.state_dict().items()}
    sample = x_t.clone()
    first, second = (denoiser.queries(x_t, level, state) for _ in range(2))
    assert same_questions(first, second), "asking twice must give the same questions"
    answers = Local()(first)
    one, two = (denoiser.combine(answers, x_t, level, state).x0 for _ in range(2))
    assert same_bytes(one, two), "combining twice must give the same prediction"
    now = list(tensors_in(state))
    assert len(now) == len(kept), "queries must not change the state"
    assert all(map(same_bytes, now, kept)), "queries must not change the state"
    same_weights = all(same_bytes(v, weights[k]) for k, v in denoiser.state_dict().items())
    assert same_weights, "queries must not change the module"
    assert same_bytes(x_t, sample), "queries must not change the sample"


def check_denoiser(denoiser: Denoiser, x_t: Tensor, level: Level) -> None:
    """The laws that hold for every denoiser; its conditions must have batch 1."""
    check_batch(denoiser, x_t, level)
    check_max_batch(denoiser, x_t, level)
    check_pure(denoiser, x_t, level)

    def run(generator: torch.Generator) -> Tensor:
        return denoiser(x_t, level, denoiser.init(x_t, generator)).x0

    check_same_bytes(run)


def _row(level: Level, i: int) -> Level:
    if not level.shape:
        return level
    return Level(level.alpha[i : i + 1], level.sigma[i : i + 1], level.t[i : i + 1])
