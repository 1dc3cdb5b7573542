"""Training a UNet further by changes of low rank (LoRA, Hu et al. 2021, arXiv 2106.09685).

Every layer with weights W (out, in, ...) becomes W + B A (Section 4.1) with A (r, in ...) and
B (out, r); W rests. A variant of `sd-tiny` is so a file of 1 MB beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from compose_core.zoo.beside import FORMAT, INDEX, TENSORS

RANK = 8


class LowRank(nn.Module):
    """W + B A for one layer."""

    def __init__(self, weight: Tensor, rank: int = RANK) -> None:
        """A is drawn as a fresh layer's weight, B is zero: at first nothing changes."""
        super().__init__()
        wide = weight[0].numel()
        rank = min(rank, wide, len(weight))
        self.down = nn.Parameter(torch.empty(rank, wide))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)
        self.up = nn.Parameter(torch.zeros(len(weight), rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Weight of any shape (out, ...), changed."""
        return weight + (self.up @ self.down).view_as(weight)


def attach(unet: nn.Module, seed: int = 0, rank: int = RANK) -> nn.ModuleDict:
    """Changes for every linear and convolutional layer, the only ones open to training.

    Args:
        unet: what is changed; it computes with the changes from now on.
        seed: fixes the A.
        rank: r, smaller for layers that have fewer rows or columns.

    Returns:
        The changes by layer; a dot in a name is a "/".
    """
    unet.requires_grad_(False)
    made: dict[str, nn.Module] = {}
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        for name, layer in list(unet.named_modules()):
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                made[name.replace(".", "/")] = change = LowRank(layer.weight, rank)
                parametrize.register_parametrization(layer, "weight", change)
    return nn.ModuleDict(made)


def export(
    changes: nn.ModuleDict, unet: nn.Module, folder: Path, base: str, base_sha256: str = ""
) -> None:
    """Write the changes as diffusers names them, in half precision, and what their base is."""
    tensors: dict[str, Tensor] = {}
    for key, module in changes.items():
        name, change = key.replace("/", "."), cast(LowRank, module)
        # The weight itself would be computed, from parts that may be on two devices by now.
        listed = cast(Any, unet.get_submodule(name)).parametrizations.weight
        shape = cast(Tensor, listed.original).shape
        ones = (1,) * len(shape[2:])
        a, b = change.down.view(-1, *shape[1:]), change.up.view(*change.up.shape, *ones)
        tensors[f"unet.{name}.lora_A.weight"] = a.detach().half().contiguous()
        tensors[f"unet.{name}.lora_B.weight"] = b.detach().half().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / TENSORS)
    index = {"format": FORMAT, "base": base, "strength": 1.0, "base_sha256": base_sha256}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")
