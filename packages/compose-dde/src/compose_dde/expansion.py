"""A base model with its coordinators, and the numbers that they are used with.

Whatever does not fit together is refused here, so that nothing that uses it has to look again.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Literal, cast, final, get_args

import torch

from compose_core.errors import UsageError
from compose_dde.coordinator import Coordinator
from compose_dde.fitting import check_backbone, check_coordinator
from compose_dde.networks import EDMNetwork

__all__ = ["Expansion", "Subject", "Walk"]

Subject = Literal["music", "positions", "maps"]
"""What a folder is for; see `compose_dde.subjects`."""

Method = Literal["heun", "euler"]

_MOST_STEPS = 10_000
_MOST_CELLS = 2**24
"""Of a part: 6 minutes at 44.1 kHz. Beyond, only a damaged file would go, and take all memory."""


def _is_whole(value: object) -> bool:
    """Whether it is a whole number from 1."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _is_number(value: object) -> bool:
    """Whether it is a finite real number."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    # Whole numbers may be too large for a float: they are compared, not converted.
    return bool(abs(cast(Any, value)) <= sys.float_info.max)


@final
@dataclass(frozen=True, kw_only=True)
class Walk:
    """How a model is sampled: EDM's levels, and Heun with churn.

    Attributes:
        steps: N; `2 N - 1` evaluations.
        sigma_min: Last level before the clean one.
        sigma_max: First level.
        rho: How much steps crowd at low noise.
        churn: Total amount of fresh noise.
        w: Weight of guidance (Eq. 6); 0 for none.
        clip: Largest magnitude of a clean value, kept at every step; none for sounds.
        method: `"heun"`, or `"euler"` with `N` evaluations and no churn.

    Raises:
        UsageError: A number is impossible, or the method unknown.
    """

    steps: int = 50
    sigma_min: float = 1e-4
    sigma_max: float = 20.0
    rho: float = 7.0
    churn: float = 0.0
    w: float = 0.0
    clip: float | None = None
    method: Method = "heun"

    def __post_init__(self) -> None:
        """Check them."""
        if self.method not in get_args(Method):
            raise UsageError(
                "unknown method of a walk", got=self.method, expected=", ".join(get_args(Method))
            )
        if not _is_whole(self.steps) or self.steps > _MOST_STEPS:
            raise UsageError(
                "impossible steps of a walk",
                got=repr(self.steps),
                expected=f"a whole number from 1 to {_MOST_STEPS}",
            )
        numbers = (self.sigma_min, self.sigma_max, self.rho, self.churn, self.w)
        fit = all(map(_is_number, numbers)) and 1e-9 <= self.sigma_min <= self.sigma_max <= 1e9
        if not fit or not 0.1 <= self.rho <= 1000 or self.churn < 0:
            raise UsageError(
                "impossible levels of a walk",
                got=self,
                expected="finite numbers; 1e-9 <= sigma_min <= sigma_max <= 1e9, "
                "0.1 <= rho <= 1000, churn >= 0",
            )
        if self.clip is not None and not (_is_number(self.clip) and self.clip > 0):
            raise UsageError(
                "impossible bound of a walk", got=repr(self.clip), expected="a number above 0"
            )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Expansion:
    """A base model, and coordinators for what is larger than it.

    Attributes:
        subject: What it is for.
        base: The base model.
        coordinators: By name; the first is the one that is used by default.
        channels: Channels of a sample.
        window: Cells of a part on each axis: one for music, two for pictures, equal for maps.
        stride: Cells between two, as trained.
        walk: How it is sampled by default.
        facts: What else there is to know. Music needs `"sample_rate"` and `"stems"`, a name for
            each channel, and may have a `"gain"` and the `"windows"` that were trained with;
            positions may have the least distance `"apart"`, maps their `"map_channels"`, all of
            them a `"grain"` and `"strides"` for some coordinators, by name.

    Raises:
        UsageError: They do not fit together.
    """

    subject: Subject
    base: EDMNetwork
    coordinators: Mapping[str, Coordinator]
    channels: int
    window: tuple[int, ...]
    stride: tuple[int, ...]
    walk: Walk = field(default_factory=Walk)
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Check them."""
        if self.subject not in get_args(Subject):
            raise UsageError(
                "unknown subject", got=self.subject, expected=", ".join(get_args(Subject))
            )
        if not _is_whole(self.channels):
            raise UsageError(
                "impossible channels", got=repr(self.channels), expected="a whole number above 0"
            )
        self._check_cells()
        self._check_facts()
        self._check_networks()

    def coordinator(self, name: str | None = None) -> Coordinator | None:
        """The coordinator of that name, the default one, or none for `"none"`.

        Raises:
            UsageError: There is none of that name.
        """
        if name == "none" or (name is None and not self.coordinators):
            return None
        if name is None:
            return next(iter(self.coordinators.values()))
        if name not in self.coordinators:
            raise UsageError(
                "there is no such coordinator",
                got=name,
                expected=", ".join(["none", *self.coordinators]),
            )
        return self.coordinators[name]

    def to(self, device: torch.device | str) -> Expansion:
        """Move all networks; the same object comes back."""
        self.base.to(device)
        for one in self.coordinators.values():
            one.to(device)
        return self

    def _check_cells(self) -> None:
        axes = 1 if self.subject == "music" else 2
        wide = [*self.window]
        fits = len(wide) == axes and all(map(_is_whole, wide)) and math.prod(wide) <= _MOST_CELLS
        if not fits or (self.subject == "maps" and len(set(wide)) > 1):
            equal = ", as many on both" if self.subject == "maps" else ""
            raise UsageError(
                f"impossible window of {self.subject}",
                got=wide,
                expected=f"cells on {axes} {'axis' if axes == 1 else 'axes'}{equal}, "
                f"{_MOST_CELLS} in all at most",
            )
        self._check_stride("stride", self.stride)

    def _check_stride(self, what: str, given: object) -> None:
        steps = [*given] if isinstance(given, tuple | list) else []
        within = len(steps) == len(self.window) and all(map(_is_whole, steps))
        if not within or any(a > b for a, b in zip(steps, self.window, strict=True)):
            raise UsageError(
                f"impossible {what}",
                got=repr(given),
                expected=f"cells on each axis, up to the window {[*self.window]}",
            )

    def _check_facts(self) -> None:
        facts = cast(Any, self.facts)  # out of a file it may be anything
        if not isinstance(facts, Mapping):
            raise UsageError("facts have names", got=repr(facts), expected="a mapping")
        for name, (fits, expected) in _FACTS.items():
            if name in facts and not fits(facts[name]):
                raise UsageError(
                    f"the fact {name!r} is impossible", got=repr(facts[name]), expected=expected
                )
        for name, stride in facts.get("strides", {}).items():
            self._check_stride(f"stride of the coordinator {name!r}", stride)
        if self.subject == "music":
            self._check_stems()

    def _check_networks(self) -> None:
        told = self.facts.get("map_channels", 3) if self.subject == "maps" else 0
        check_backbone("the base model", self.base.backbone, self.channels, self.window, told)
        maps = 1 if self.subject == "positions" else 0
        for name, one in self.coordinators.items():
            if name == "none" or not _plain(name):
                raise UsageError(
                    "a coordinator cannot have this name",
                    got=repr(name),
                    expected="the name of a file, other than none",
                )
            who = f"the coordinator {name!r}"
            check_coordinator(who, one, self.channels, self.window, maps, told)

    def _check_stems(self) -> None:
        stems: Any = self.facts.get("stems")
        named = isinstance(stems, list | tuple) and all(map(_plain, stems))
        if not named or len(stems) != self.channels or len({*stems}) != len(stems):
            raise UsageError(
                "the fact 'stems' does not name the channels",
                got=repr(stems),
                expected=f"{self.channels} different names of files",
            )
        if "sample_rate" not in self.facts:
            raise UsageError(
                "the fact 'sample_rate' is missing", got=sorted(self.facts), expected="in music"
            )


def _plain(name: object) -> bool:
    """Whether a file can have this name in any folder, and only there."""
    if not isinstance(name, str) or not name or name != name.strip():
        return False
    return name.isprintable() and name[0] != "." and not set(name) & set('/\\:*?"<>|')


_WHOLE = (_is_whole, "a whole number above 0")
_FACTS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "sample_rate": _WHOLE,
    "gain": (lambda x: _is_number(x) and x > 0, "a finite number above 0"),
    "windows": _WHOLE,
    "grain": _WHOLE,
    "apart": (lambda x: _is_number(x) and x >= 0, "a finite number, 0 or more"),
    "map_channels": _WHOLE,
    "strides": (lambda x: isinstance(x, Mapping), "strides by the names of coordinators"),
}
