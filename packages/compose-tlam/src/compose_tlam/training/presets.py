"""Numbers of the optimiser: those of the paper, and those of the code that it follows."""

from __future__ import annotations

from typing import Any

__all__ = ["CODE", "PAPER"]

PAPER: dict[str, Any] = {"betas": (0.0, 0.999), "weight_decay": 0.0, "clip": 0.0}
"""Section 4; with `lr` 1e-4, and `Game.discriminator_rate` 4 for 4e-4 of the discriminator."""

CODE: dict[str, Any] = {**PAPER, "betas": (0.0, 0.9)}
"""Both codes that section 4 follows have 0.9, whatever their papers say."""
