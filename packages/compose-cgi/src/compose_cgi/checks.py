"""What makes no graph, said clearly before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from compose_core.denoiser import Denoiser, Network
from compose_core.errors import ScheduleError, ShapeError, UsageError
from compose_core.schedule import Schedule
from compose_core.views import View

__all__ = ["check_cover", "check_names", "check_psi", "check_schedules"]


class Sees(Protocol):
    """A view, or a function that is none."""

    def observe(self, x: Tensor) -> Tensor:
        """`f(x)`."""
        ...


def check_names(
    variables: Sequence[str], sees: Mapping[str, tuple[str, ...]], observations: int
) -> None:
    """Refuse doubled or unknown names, and observations of nothing.

    Raises:
        UsageError: Names the first that is wrong.
    """
    if not variables or not sees:
        raise UsageError(
            "a graph needs canvases and observations",
            got=f"{len(variables)} canvases, {len(sees)} observations",
        )
    doubled = sorted({name for name in variables if variables.count(name) > 1})
    if doubled or len(sees) != observations:
        raise UsageError(
            "two canvases or observations have the same name",
            got=", ".join(doubled) or "among the observations",
            expected="a different name for each",
        )
    for name, seen in sees.items():
        if isinstance(cast("Any", seen), str):
            raise UsageError(
                f"observation {name!r} names what it sees in one string",
                got=repr(seen),
                expected=f"a tuple of names, here ({seen!r},)",
            )
        unknown = sorted(set(seen) - set(variables))
        if unknown or not seen or len(set(seen)) != len(seen):
            raise UsageError(
                f"observation {name!r} sees what there is not"
                if unknown
                else f"observation {name!r} must see canvases, each once",
                got=", ".join(unknown or seen) or "nothing",
                expected=", ".join(variables),
                remedy="add a Variable of that name, or correct `sees`" if unknown else None,
            )


def check_psi(name: str, psi: float | Tensor, observed: Tensor) -> Tensor:
    """The trust `1 / psi^2` of an observation, `(1, 1, *observed)` in float64.

    Raises:
        UsageError: `psi` is not positive and finite, or does not fit what is observed.
    """
    wide = torch.as_tensor(psi, dtype=torch.float64, device="cpu")
    size = tuple(observed.shape[2:])
    try:
        spread = wide.expand(size)
    except RuntimeError as error:
        raise UsageError(
            f"psi of observation {name!r} does not fit what it observes",
            got=tuple(wide.shape),
            expected=f"a number, or one for each of {size}",
        ) from error
    trust = spread.reciprocal().square()
    if not bool(((spread > 0) & torch.isfinite(trust) & (trust > 0)).all()):
        raise UsageError(
            f"psi of observation {name!r} is no noise level",
            got=f"{float(spread.min()):.3g} to {float(spread.max()):.3g}",
            expected="psi > 0, finite; its square and that of its inverse too",
            remedy="leave the observation out where it should have no say",
        )
    return trust[None, None]


def check_cover(
    names: Sequence[str],
    views: Sequence[Sees],
    weights: Sequence[Tensor],
    blank: Tensor,
    split: Callable[[Tensor], Mapping[str, Tensor]],
) -> None:
    """Refuse canvases with cells that nobody sees; the message says which.

    A cell that no view shows is a zero column of every :math:`A_i`. For random numbers `u`,
    :math:`A_i' u` is zero there and, with probability one, nowhere else. Where a view is not
    linear its derivative at random canvases takes the place of :math:`A_i`.

    Raises:
        ShapeError: Names each canvas and the cells, axis by axis.
        UsageError: A view that is not linear has no derivative.
    """
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros_like(blank)
    for name, view, w in zip(names, views, weights, strict=True):
        if not isinstance(view, View):
            total = total + _touched(name, view, blank, generator)
            continue
        u = 1 + torch.rand(view.observe(blank).shape, generator=generator, dtype=torch.float64)
        if view.crops:  # all signs are positive, and a large canvas is not copied for each
            total = view.accumulate(total, w * u, blank.shape[2:])
        else:
            total = total + view.adjoint(w * u, blank.shape[2:]).abs()
    gaps = {
        name: _gap(canvas[0, 0] <= 0)
        for name, canvas in split(total).items()
        if bool((canvas <= 0).any())
    }
    if gaps:
        raise ShapeError(
            "cells of a canvas are seen by no observation",
            got="; ".join(f"{name!r}: {gap}" for name, gap in gaps.items()),
            expected="every cell seen by one observation or more",
            remedy="make windows with compose_core.views.cover, or add a Whole observation",
        )


def _touched(name: str, view: Sees, blank: Tensor, generator: torch.Generator) -> Tensor:
    """How much each cell of a canvas moves what is observed, at a few random canvases.

    At one alone a function with flat stretches, such as a ReLU, would hide cells that it sees.
    """
    total = torch.zeros_like(blank)
    for _ in range(8):
        x = torch.randn(blank.shape, generator=generator, dtype=blank.dtype)
        with torch.enable_grad():
            y = view.observe(x.requires_grad_())
            if not y.requires_grad:
                raise UsageError(
                    f"observation {name!r} has no derivative by its canvases",
                    got="a function whose result does not depend on them for torch",
                    expected="torch operations from the canvas to what is observed",
                    remedy="leave out detach(), no_grad() and the way through numpy",
                )
            u = 1 + torch.rand(y.shape, generator=generator, dtype=y.dtype)
            (moved,) = torch.autograd.grad(y, x, u, allow_unused=True)
        total = total if moved is None else total + moved.abs()
    return total


def _gap(bare: Tensor) -> str:
    """The bare cells: on each axis the runs of numbers that they take."""
    axes = [
        _runs(torch.unique(at).tolist())
        for at in cast("tuple[Tensor, ...]", bare.nonzero(as_tuple=True))
    ]
    names = {1: ("cells",), 2: ("rows", "columns")}.get(bare.dim())
    named = names or tuple(f"axis {axis}:" for axis in range(bare.dim()))
    where = ", ".join(f"{name} {runs}" for name, runs in zip(named, axes, strict=True))
    return f"{int(bare.sum())} cells ({where})"


def _runs(numbers: list[int]) -> str:
    breaks = [i + 1 for i, (a, b) in enumerate(pairwise(numbers)) if b != a + 1]
    bounds = pairwise([0, *breaks, len(numbers)])
    runs = [(numbers[a], numbers[b - 1]) for a, b in bounds]
    shown = [f"{a}" if a == b else f"{a} to {b}" for a, b in runs[:4]]
    return ", ".join([*shown, "..."] if len(runs) > 4 else shown)


def check_schedules(denoisers: Mapping[str, Denoiser]) -> None:
    """Refuse models that were trained on different schedules.

    Raises:
        ScheduleError: Names two observations whose models differ.
    """
    first: tuple[str, Schedule] | None = None
    known: set[int] = set()
    for name, denoiser in denoisers.items():
        for module in cast("Sequence[Any]", list(denoiser.modules())):
            if not isinstance(module, Network) or id(module.schedule) in known:
                continue
            known.add(id(module.schedule))
            first = first or (name, module.schedule)
            if not _same(first[1], module.schedule):
                raise ScheduleError(
                    "the models were trained on different schedules",
                    got=f"{first[0]!r}: {_noise(first[1])}; {name!r}: {_noise(module.schedule)}",
                    expected="one schedule",
                    remedy="Graph(..., translate=True) asks each in its own, at the same "
                    "sigma / alpha",
                )


def _same(a: Schedule, b: Schedule) -> bool:
    if type(a) is not type(b):
        return False
    pairs = zip(a.levels(8), b.levels(8), strict=True)
    return all(x.same(y) for x, y in pairs)


def _noise(schedule: Schedule) -> str:
    start = schedule.levels(8)[0]
    alpha, sigma = float(start.alpha), float(start.sigma)
    return f"{type(schedule).__name__} from alpha {alpha:.3g}, sigma {sigma:.3g}"
