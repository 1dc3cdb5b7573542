"""What the recipes of domain expansion share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from compose_dde.folder import Expansion, save_expansion

Made = TypeVar("Made")


def seeded(seed: int, make: Callable[[], Made]) -> Made:
    """What `make` makes with this seed; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return make()


def write_half(folder: Path, made: Expansion) -> None:
    """Write a folder in half precision; the networks are in single precision again afterwards."""
    modules = [made.base, *made.coordinators.values()]
    for module in modules:
        module.half()
    save_expansion(folder, made)
    for module in modules:
        module.float()
