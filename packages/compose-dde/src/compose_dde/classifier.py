"""Whether there is an object at a place: the judge of pictures under several conditions.

Appendix B.2.3: a UNet whose output is, for each pixel, how probable it is that an object's centre
lies there. A picture keeps its conditions when that is at least one half at every position.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, WeightsError
from compose_dde.folder import load_strictly
from compose_dde.networks import MapUNet

__all__ = ["CLEVR_CLASSIFIER", "Classifier"]

CLEVR_CLASSIFIER: dict[str, Any] = {"width": 64, "multipliers": (1, 2, 4)}
"""The paper's."""

_NAME = "classifier"


@final
class Classifier(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] to logits (B, H, W).

    Args:
        width: Of the first level.
        multipliers: Width of each level over that.
    """

    def __init__(self, width: int = 64, multipliers: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"width": width, "multipliers": list(multipliers)}
        self.unet = MapUNet(3, 0, width, tuple(multipliers), channels_out=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits."""
        return self.unet(pictures, pictures.new_zeros(len(pictures)), Encoded())[:, 0]

    @torch.no_grad()
    def at(self, pictures: Tensor, positions: Tensor) -> Tensor:
        """Probabilities (B, L) of an object at each of the positions (B, L, 2), as x and y.

        Raises:
            ShapeError: Pictures and positions do not fit.
        """
        if positions.dim() != 3 or positions.shape[0] != len(pictures) or positions.shape[2] != 2:
            raise ShapeError(
                "positions do not fit the pictures",
                got=f"{tuple(positions.shape)} for {tuple(pictures.shape)}",
                expected=f"({len(pictures)}, L, 2)",
            )
        height, width = pictures.shape[2:]
        sides = torch.tensor([width, height], device=positions.device)
        column, row = (positions * sides).long().clamp_min(0).minimum(sides - 1).unbind(-1)
        return self(pictures).sigmoid().flatten(1).gather(1, row * width + column)

    def holds(self, pictures: Tensor, positions: Tensor) -> Tensor:
        """Verdicts (B, L) bool: whether there is an object at each position."""
        return self.at(pictures, positions) >= 0.5

    def save(self, folder: Path) -> None:
        """Write ``classifier.safetensors`` (half precision) and ``classifier.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {k: v.detach().half().contiguous() for k, v in self.state_dict().items()}
        save_file(weights, folder / f"{_NAME}.safetensors")
        text = json.dumps(self.settings, indent=2) + "\n"
        (folder / f"{_NAME}.json").write_text(text, "utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Classifier:
        """Read what `save` wrote; in evaluation mode and single precision.

        Raises:
            WeightsError: A file is missing or damaged, or they do not fit together.
        """
        folder = Path(folder)
        try:
            found = cls(**json.loads((folder / f"{_NAME}.json").read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(
                "this folder has no classifier",
                got=f"{folder}: {error}",
                expected=f"{_NAME}.json and {_NAME}.safetensors",
            ) from error
        load_strictly(found, folder / f"{_NAME}.safetensors")
        return found.eval().requires_grad_(False)
