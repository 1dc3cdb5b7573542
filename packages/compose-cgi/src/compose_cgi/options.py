"""How a graph is solved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, cast, final, get_args

from compose_core.errors import UsageError

__all__ = ["KAPPA", "Options", "Solver"]

KAPPA = 0.95
"""Share of the smallest penalty at which every step size is 1."""

Solver = Literal["closed", "gd"]


@final
@dataclass(frozen=True, kw_only=True)
class Options:
    r"""How a graph is solved. The paper gives no numbers; these are ours.

    Attributes:
        solver: `"closed"`: exact, for linear observations. `"gd"`: the gradient descent of the
            paper on `X` and lambda with proximal steps, for any.
        kappa: Weight :math:`\mu` of the penalty :math:`\mu \sum |\lambda_i - 1|`, as a share of
            the smallest at which all lambda are 1. From 1 on they are: MultiDiffusion.
        clamp: The least and the greatest lambda; 1 lies between. Without a floor, 0 is an optimum
            when nothing is penalised: nothing is then denoised.
        iterations: Of `"gd"`, before and again after the step sizes are let go.
        rate: Step size on `X` of `"gd"`; None takes the inverse of the curvature, cell by cell,
            which is estimated once, at the first sample.
    """

    solver: Solver = "closed"
    kappa: float = KAPPA
    clamp: tuple[float, float] = (0.9, 1.1)
    iterations: int = 20
    rate: float | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: An option is out of its range.
        """
        self._check_types()
        if self.solver not in get_args(Solver):
            raise UsageError("unknown solver", got=repr(self.solver), expected="closed or gd")
        if not self.kappa >= 0 or math.isnan(self.kappa):
            raise UsageError(
                "kappa is a share of a penalty",
                got=self.kappa,
                expected="0 or more; 1 and more: MultiDiffusion",
            )
        low, high = self.clamp
        if not 0 <= low <= 1 <= high < math.inf:
            raise UsageError(
                "the step sizes cannot be kept there",
                got=f"{low} to {high}",
                expected="a floor from 0 to 1 and a ceiling from 1 on",
            )
        if self.iterations < 1:
            raise UsageError("gradient descent needs iterations", got=self.iterations)
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise UsageError("a rate is positive", got=self.rate)

    def _check_types(self) -> None:
        clamp, real = cast("Any", self.clamp), (int, float)
        pair = isinstance(clamp, tuple) and len(cast("Any", clamp)) == 2
        if not pair or not all(isinstance(x, real) for x in cast("Any", clamp)):
            raise UsageError("clamp is a pair of numbers", got=clamp, expected="(least, greatest)")
        if not isinstance(cast("Any", self.kappa), real):
            raise UsageError("kappa is a number", got=repr(self.kappa))
        if not isinstance(cast("Any", self.iterations), int):
            raise UsageError("iterations are a whole number", got=repr(self.iterations))

    @property
    def moves(self) -> bool:
        """Whether any lambda can differ from 1."""
        return self.kappa < 1 and self.clamp != (1, 1)
