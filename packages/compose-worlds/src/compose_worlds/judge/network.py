"""The judge's network: from a picture to dense readings, a small U-Net with many heads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from compose_worlds.primitives.render import SEMANTICS
from compose_worlds.primitives.world import COLORS

HEADS: dict[str, int] = {
    "semantics": len(SEMANTICS),
    "color": len(COLORS) + 1,
    "centre": 1,
    "offset": 2,
    "depth": 1,
    "normals": 3,
}
"""Readings and their channels; colour 0 is the background, colour c + 1 the c-th of `COLORS`."""


@dataclass(frozen=True)
class Readings:
    """What the judge reads per pixel.

    Attributes:
        semantics: (B, 9, H, W) logits over `SEMANTICS`.
        color: (B, 9, H, W) logits, 0 is background, then `COLORS`.
        centre: (B, 1, H, W) logits of being near an object's centre.
        offset: (B, 2, H, W) way to the own object's centre (x, y), fractions of the picture.
        depth: (B, 1, H, W) inverse depth in 1 / metre.
        normals: (B, 3, H, W) unit normals in the camera's frame.
    """

    semantics: Tensor
    color: Tensor
    centre: Tensor
    offset: Tensor
    depth: Tensor
    normals: Tensor


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, inside), nn.GroupNorm(8, outside)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class JudgeNet(nn.Module):
    """Reads pictures (B, 3, H, W) in [-1, 1]; H and W are multiples of 8."""

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        """Widths of the levels, from full size down."""
        super().__init__()
        self.widths = tuple(widths)
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Block(a, b) for a, b in zip(widths, widths[1:], strict=False))
        self.middle = _Block(widths[-1], widths[-1])
        pairs = list(zip(widths, widths[1:], strict=False))[::-1]
        self.up = nn.ModuleList(_Block(2 * b, a) for a, b in pairs)
        self.last = _Block(2 * widths[0], widths[0])
        self.head = nn.Conv2d(widths[0], sum(HEADS.values()), 1)

    def forward(self, pictures: Tensor) -> Readings:
        """Read a batch of pictures."""
        x = self.stem(pictures)
        kept = [x]
        for block in self.down:
            x = block(F.avg_pool2d(x, 2))
            kept.append(x)
        x = self.middle(x)
        for block in self.up:
            x = block(torch.cat([x, kept.pop()], 1))
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        x = self.last(torch.cat([x, kept.pop()], 1))
        parts = dict(zip(HEADS, self.head(x).float().split(list(HEADS.values()), 1), strict=True))
        parts["normals"] = F.normalize(parts["normals"], dim=1)
        return Readings(**parts)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` (half precision) and ``config.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {k: v.detach().half().contiguous() for k, v in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"widths": self.widths}, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> JudgeNet:
        """Read what `save` wrote; in evaluation mode and single precision."""
        config = json.loads((folder / "config.json").read_text())
        network = cls(tuple(config["widths"]))
        weights = load_file(folder / "model.safetensors")
        network.load_state_dict({k: v.float() for k, v in weights.items()}, strict=True)
        return network.eval()
