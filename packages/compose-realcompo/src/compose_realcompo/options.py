"""How the balance moves: everything that a user may set, checked."""

from __future__ import annotations

from dataclasses import dataclass

from compose_core.errors import UsageError
from compose_realcompo.variant import Variant

__all__ = ["Options", "RATE"]

RATE = 1e6 / 64**2
"""The published rate of 1e6 belongs to latents of 64 x 64. A loss of order one has derivatives
that fall with the number of pixels, so this times that number moves shares alike at any size."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of a balance.

    Attributes:
        variant: What the paper or the published code does; see `variant`.
        rate: Updating rate of Eq. 7 per latent pixel: it is multiplied by their number.
        start: Share of the steps (t0) during which the spatial branch is alone.
        dynamic: Whether shares move at all; without, the blend is static.
        update_every: Look ahead only at each so-many-th step. Approximate if not 1.
        lagged: Listen at the sample itself and credit the shares that made it, instead of looking
            ahead. Approximate, and cheaper.
        guided_lookahead: Whether the step ahead is taken under guidance.
        early_exit: Leave networks after the last layer that is listened to; changes nothing.

    Raises:
        UsageError: A number makes no sense.
    """

    variant: Variant = Variant()
    rate: float = RATE
    start: float = 0.4
    dynamic: bool = True
    update_every: int = 1
    lagged: bool = False
    guided_lookahead: bool = False
    early_exit: bool = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        bad = {
            "rate": (self.rate, 0 <= self.rate < float("inf"), "a number from 0"),
            "start": (self.start, 0 <= self.start <= 1, "a share of the steps, 0 to 1"),
            "update_every": (self.update_every, self.update_every >= 1, "a number from 1"),
        }
        for name, (value, good, expected) in bad.items():
            if not good:
                raise UsageError(f"{name} makes no sense", got=value, expected=expected)
        if self.lagged and (self.update_every != 1 or self.guided_lookahead):
            raise UsageError(
                "a lagged update does not look ahead",
                got=f"update_every={self.update_every}, guided_lookahead={self.guided_lookahead}",
                remedy="leave these out with lagged=True",
            )
