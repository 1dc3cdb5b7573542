"""What a user may choose for `CnCMethod`, checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import TypeGuard, cast

from compose_cnc.attention import SoftGuidance
from compose_cnc.guidance import CFG, check_cfg
from compose_cnc.regions import Resize
from compose_core.errors import UsageError
from compose_core.scene import Scene

__all__ = ["Interval", "Options", "changes", "check_factor", "check_interval", "idle", "is_idle"]

_ROUNDING = 1e-6
"""As `Switched` rounds the number of a step."""

Interval = tuple[float, float]
"""From which share of the steps on, and up to which (without it)."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a scene is composed; see `CnCMethod` for what each means.

    Raises:
        UsageError: A value makes no sense.
    """

    soft_guidance: SoftGuidance = "mask"
    resize: Resize = "official"
    cfg: CFG = "drop_exemplar"
    exemplar_guidance: float = 3.0
    lambdas: Mapping[str, float] = field(default_factory=dict[str, float])
    intervals: Mapping[str, Interval] = field(default_factory=dict[str, Interval])
    apart: float = 0.3
    soften: float = 0.5
    base_share: float = 0.0
    cut: bool = True
    always_tokens: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_cfg(self.cfg)
        _one_of("soft guidance", self.soft_guidance, ("mask", "paper", "off"))
        _one_of("way to resize a mask", self.resize, ("official", "area", "nearest"))
        for name in ("apart", "base_share"):
            share: object = getattr(self, name)
            if not (_is_number(share) and 0 <= share <= 1):
                raise UsageError(f"{name} is a share", got=share, expected="0 to 1")
        numbers = {f"lambda of {name!r}": value for name, value in self.lambdas.items()}
        numbers |= {"exemplar_guidance": self.exemplar_guidance, "soften": self.soften}
        for name, value in numbers.items():
            check_factor(f"the {name}", value)
        for name, interval in self.intervals.items():
            check_interval(f"the interval of layer {name!r}", interval)

    def check_names(self, scene: Scene) -> None:
        """Refuse options for layers that the scene has not.

        Raises:
            UsageError: There is no such layer.
        """
        known = [layer.name for layer in scene.layers]
        if unknown := sorted({*self.lambdas, *self.intervals} - set(known)):
            raise UsageError(
                "an option names a layer that the scene has not",
                got=", ".join(map(repr, unknown)),
                expected=", ".join(map(repr, known)),
            )


def changes(scene: Scene, intervals: Mapping[str, Interval]) -> list[tuple[float, Scene]]:
    """When which layers take part: the share of the steps from which on, and the scene then.

    Layers of weight 0 never do. The first starts at 0; neighbours differ.
    """
    bounds = {0.0, *(bound for interval in intervals.values() for bound in interval)} - {1.0}
    found: list[tuple[float, Scene]] = []
    for bound in sorted(bounds):
        layers = tuple(
            layer
            for layer in scene.layers
            if layer.weight > 0
            and intervals.get(layer.name, (0.0, 1.0))[0] <= bound
            and bound < intervals.get(layer.name, (0.0, 1.0))[1]
        )
        if not found or layers != found[-1][1].layers:
            found.append((bound, scene.model_copy(update={"layers": layers})))
    return found


def idle(intervals: Mapping[str, Interval], steps: int) -> list[str]:
    """One sentence for each interval of a layer that none of `steps` steps falls into."""
    return [
        f"no step falls into the interval of layer {name!r}: it takes part in none of {steps}"
        for name, interval in intervals.items()
        if is_idle(interval, steps)
    ]


def is_idle(interval: Interval, steps: int) -> bool:
    """Whether none of `steps` steps falls into an interval."""
    start, stop = interval
    return not any(start * steps <= i + _ROUNDING < stop * steps for i in range(steps))


def check_factor(what: str, value: object) -> None:
    """Refuse what is no finite number from 0 on.

    Raises:
        UsageError: It is none.
    """
    if not (_is_number(value) and math.isfinite(value) and value >= 0):
        raise UsageError(f"{what} makes no sense", got=repr(value), expected="0 or more")


def check_interval(what: str, interval: object) -> None:
    """Refuse what is no part of the steps.

    Raises:
        UsageError: It is none.
    """
    pair = cast("tuple[object, ...]", interval) if isinstance(interval, tuple | list) else ()
    start, stop = pair if len(pair) == 2 else (None, None)
    if not (_is_number(start) and _is_number(stop) and 0 <= start < stop <= 1):
        raise UsageError(
            f"{what} is none",
            got=repr(interval),
            expected="(start, stop), shares of the steps with 0 <= start < stop <= 1",
        )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real)


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"unknown {what}", got=value, expected=", ".join(known))
