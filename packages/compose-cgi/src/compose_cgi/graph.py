"""The bipartite network of the paper: canvases, and what is observed of them (Sec. 4, Figure 1).

Control variables `x_k` are canvases. Observable variables `y_i` are views of one or several of
them, `y_i ~ N(f_i(X), psi_i^2)` (Eq. 12), each with a diffusion model of its own. Together the
canvases lie in one tensor, the sheet, which is what a sampler walks: a single canvas is its own
sheet, several lie end to end in `(B, C, cells)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast, final

import torch
from torch import Tensor

from compose_cgi.checks import check_cover, check_names, check_psi, check_schedules
from compose_cgi.views import Nonlinear
from compose_core.denoiser import Denoiser
from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_core.views import View, Whole

__all__ = ["Graph", "Observation", "Sight", "Variable"]

Sight = View | Nonlinear
"""How something is observed."""

_WHOLE = Whole()


@final
@dataclass(frozen=True)
class Variable:
    """A canvas `x_k`.

    Attributes:
        name: What observations call it.
        shape: Its axes after batch and channels: `(h, w)` for a picture, `(6, n, n)` for a cube.
    """

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the shape.

        Raises:
            ShapeError: It is empty, or an axis has no cell.
        """
        shape = cast("Any", self.shape)
        if not isinstance(shape, tuple) or not shape or not all(map(_counts, cast("Any", shape))):
            raise ShapeError(
                f"canvas {self.name!r} has no such shape",
                got=self.shape,
                expected="a tuple of whole numbers, 1 or more, one for each axis",
            )


def _counts(n: object) -> bool:
    return isinstance(n, int) and n >= 1


@final
@dataclass(frozen=True, eq=False)
class Observation:
    """A view of canvases and the model of what is seen there: `y_i`.

    Attributes:
        name: What messages and traces call it.
        sees: The canvases that it is made of. One is seen as `(B, C, *shape)`; several, which must
            have one shape, as a stack `(B, K, C, *shape)`, the way `Blend` takes it.
        denoiser: The model of what is observed.
        view: `f_i`.
        psi: The noise of the observation, `> 0`: a number, or a tensor with one for each observed
            cell. Only ratios matter; the trust in it is `1 / psi^2`.
    """

    name: str
    sees: tuple[str, ...]
    denoiser: Denoiser
    view: Sight = Whole()
    psi: float | Tensor = 1.0


@final
class Graph:
    """Canvases and observations.

    Args:
        variables: The canvases.
        observations: What is seen of them. Together they cover every cell of every canvas.
        translate: Whether models that were trained on different schedules may meet. Each is then
            asked in its own, at the same `sigma / alpha`.

    Raises:
        UsageError: Names are doubled or unknown, an observation sees nothing, `psi` is not
            positive, or the models do not share a schedule.
        ShapeError: A view does not fit its canvas, does not make one picture of several, or cells
            of a canvas are seen by nobody.

    Attributes:
        views: How each observation sees the sheet.
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        observations: Sequence[Observation],
        *,
        translate: bool = False,
    ) -> None:
        self.variables, self.observations = tuple(variables), tuple(observations)
        check_names(
            [variable.name for variable in self.variables],
            {each.name: each.sees for each in self.observations},
            len(self.observations),
        )
        if not translate:
            check_schedules({each.name: each.denoiser for each in self.observations})
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        self._offsets = dict(zip(self._shapes, accumulate([0, *sizes[:-1]]), strict=True))
        self.views = tuple(self._sight(each) for each in self.observations)
        blank = torch.zeros(1, 1, *self.spatial, dtype=torch.float64)
        seen = [
            self._observed(each, view, blank)
            for each, view in zip(self.observations, self.views, strict=True)
        ]
        self._weights = tuple(
            check_psi(each.name, each.psi, y)
            for each, y in zip(self.observations, seen, strict=True)
        )
        names = [each.name for each in self.observations]
        check_cover(names, self.views, self._weights, blank, self.split)

    @property
    def spatial(self) -> tuple[int, ...]:
        """The axes of the sheet after batch and channels."""
        shapes = list(self._shapes.values())
        return shapes[0] if len(shapes) == 1 else (sum(map(math.prod, shapes)),)

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """`1 / psi^2` of each observation, `(1, 1, *observed)` in float64."""
        return self._weights

    @property
    def linear(self) -> bool:
        """Whether every observation is linear."""
        return all(isinstance(view, View) for view in self.views)

    @property
    def linear_views(self) -> tuple[View, ...]:
        """The views of a linear graph.

        Raises:
            UsageError: An observation is not linear.
        """
        bent = [
            each.name
            for each, view in zip(self.observations, self.views, strict=True)
            if not isinstance(view, View)
        ]
        if bent:
            raise UsageError(
                "the closed form needs linear observations",
                got=", ".join(bent),
                expected="views, with an adjoint",
                remedy='use solver="gd", or a View of compose_core.views or compose_cgi.views',
            )
        return cast("tuple[View, ...]", self.views)

    def view_of(self, *names: str, view: View = _WHOLE) -> View:
        """How canvases are seen in the sheet: one, or several through a view of their stack.

        Raises:
            UsageError: There is none of that name.
            ShapeError: They have different shapes.
        """
        for name in names:
            if name not in self._shapes:
                raise UsageError("there is no such canvas", got=name, expected=list(self._shapes))
        if len(self._shapes) == 1:
            return view
        self._one_shape("a view", names)
        return cast(View, self._on(names, view))

    def join(self, canvases: Mapping[str, Tensor]) -> Tensor:
        """Canvases `(B, C, *shape)` as one sheet.

        Raises:
            ShapeError: One is missing or has another shape.
        """
        got = {name: tuple(x.shape[2:]) for name, x in canvases.items()}
        if got != self._shapes:
            raise ShapeError("these are not the canvases", got=got, expected=self._shapes)
        if len(canvases) == 1:
            return next(iter(canvases.values()))
        return torch.cat([canvases[name].flatten(2) for name in self._shapes], 2)

    def split(self, x: Tensor) -> dict[str, Tensor]:
        """The canvases of a sheet."""
        return {name: self.view_of(name).observe(x) for name in self._shapes}

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {variable.name: variable.shape for variable in self.variables}

    def _sight(self, each: Observation) -> Sight:
        self._one_shape(f"observation {each.name!r}", each.sees)
        return each.view if len(self._shapes) == 1 else self._on(each.sees, each.view)

    def _one_shape(self, what: str, names: tuple[str, ...]) -> None:
        if len({self._shapes[name] for name in names}) != 1:
            raise ShapeError(
                f"{what} sees canvases of different shapes",
                got={name: self._shapes[name] for name in names},
                expected="one shape; a Blend adds cell by cell",
            )

    def _on(self, names: tuple[str, ...], view: Sight) -> Sight:
        places = tuple(self._offsets[name] for name in names)
        shape = self._shapes[names[0]]
        if isinstance(view, Nonlinear):
            stacked = _OnSheet(places, shape, Whole())
            return Nonlinear(lambda x: view.observe(stacked.observe(x)))
        return _OnSheet(places, shape, view)

    def _observed(self, each: Observation, view: Sight, blank: Tensor) -> Tensor:
        try:
            seen = cast("Any", view.observe(blank))
        except RuntimeError as error:  # whatever torch says of sizes that do not fit
            raise ShapeError(
                f"the view of observation {each.name!r} does not fit",
                got=str(error).splitlines()[0],
                expected=f"{each.sees} of {self._shapes[each.sees[0]]}",
            ) from error
        except ComposeError as error:
            raise type(error)(
                f"the view of observation {each.name!r} does not fit: {error.what}",
                got=error.got,
                expected=error.expected
                or f"canvases {', '.join(each.sees)} of {self._shapes[each.sees[0]]}",
                remedy=error.remedy
                or ("a view may not be larger than its canvas" if len(each.sees) == 1 else None),
            ) from error
        bent = isinstance(view, Nonlinear)
        if not isinstance(seen, Tensor) or seen.dim() < 3 or not (bent or seen.shape[1] == 1):
            several = len(each.sees) > 1
            raise ShapeError(
                f"observation {each.name!r} shows no picture",
                got=tuple(seen.shape) if isinstance(seen, Tensor) else type(seen).__name__,
                expected="(B, C, *cells), here with B = 1" + ("" if bent else " and C = 1"),
                remedy="see several canvases through a Blend, which makes one of them"
                if several
                else None,
            )
        return seen


@final
@dataclass(frozen=True)
class _OnSheet(View):
    """A view of one canvas of the sheet, or of a stack of several."""

    places: tuple[int, ...]
    shape: tuple[int, ...]
    view: View

    def __post_init__(self) -> None:
        object.__setattr__(self, "crops", self.view.crops)

    def observe(self, x: Tensor) -> Tensor:
        count = math.prod(self.shape)
        parts = [x.narrow(-1, at, count).unflatten(-1, self.shape) for at in self.places]
        return self.view.observe(parts[0] if len(parts) == 1 else torch.stack(parts, 1))

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        return self.accumulate(y.new_zeros((*y.shape[:2], *shape)), y, shape)

    def accumulate(self, canvas: Tensor, y: Tensor, shape: Sequence[int]) -> Tensor:
        single = len(self.places) == 1
        inner = self.shape if single else (y.shape[1], *self.shape)
        back = self.view.adjoint(y, inner)
        parts = [back] if single else list(back.unbind(1))
        for at, part in zip(self.places, parts, strict=True):
            flat = part.flatten(2)
            canvas[..., at : at + flat.shape[-1]] += flat
        return canvas

    def weight(self, shape: Sequence[int]) -> Tensor:
        count = math.prod(self.shape)
        total = torch.zeros(tuple(shape), dtype=torch.float64)
        single = len(self.places) == 1
        inner = self.view.weight(self.shape if single else (1, *self.shape))
        parts = [inner] if single else list(inner.flatten(0, 1))
        for at, part in zip(self.places, parts, strict=True):
            total[..., at : at + count] += part.expand(self.shape).flatten()
        return total
