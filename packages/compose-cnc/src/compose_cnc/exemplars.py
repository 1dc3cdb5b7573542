"""Exemplar pictures to embeddings: the projected, unnormalised output of a CLIP vision model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_core.errors import ShapeError, WeightsError
from compose_core.images import Array

__all__ = ["ExemplarEncoder", "Preprocess", "as_picture"]


_NARROWEST = 50
"""How many times as long as wide an exemplar may be."""


@dataclass(frozen=True)
class Preprocess:
    """What is done to a picture before the network sees it; defaults are those of OpenAI's CLIP.

    Attributes:
        size: The shorter side after resizing (bicubic, antialiased), in pixels.
        crop: Side of the square cut from the middle.
        mean: Of the values in [0, 1] that the network was trained on, per channel.
        std: Their deviation.
    """

    size: int = 224
    crop: int = 224
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Preprocess:
        """From the `preprocessor_config.json` of a `CLIPImageProcessor`.

        Raises:
            WeightsError: It asks for other steps than resizing, cropping and normalising, or
                lacks a number.
        """
        off = [
            x for x in ("resize", "center_crop", "normalize") if not config.get(f"do_{x}", True)
        ]
        size, crop = config.get("size", 224), config.get("crop_size", 224)
        size = size.get("shortest_edge") if isinstance(size, Mapping) else size
        sides = {crop["height"], crop["width"]} if isinstance(crop, Mapping) else {crop}
        known = cls()
        mean, std = (config.get(f"image_{x}", getattr(known, x)) for x in ("mean", "std"))
        fits = len(sides) == 1 and len(mean) == len(std) == 3 and not off
        if not isinstance(size, int) or not fits:
            raise WeightsError(
                "this preprocessing of pictures is not known",
                got=dict(config),
                expected="size.shortest_edge, a square crop_size, image_mean, image_std",
            )
        return cls(size, int(sides.pop()), tuple(mean), tuple(std))

    def config(self) -> dict[str, Any]:
        """What `from_config` reads, in the terms of a `CLIPImageProcessor`."""
        own = asdict(self)
        return {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": own["size"]},
            "crop_size": {"height": own["crop"], "width": own["crop"]},
            "image_mean": list(own["mean"]),
            "image_std": list(own["std"]),
            "resample": 3,
            "do_convert_rgb": True,
            "do_resize": True,
            "do_center_crop": True,
            "do_rescale": True,
            "do_normalize": True,
        }

    def __call__(self, pictures: Tensor) -> Tensor:
        """What the network sees, (B, 3, crop, crop), of pictures (B, 3, H, W) in [-1, 1].

        Raises:
            ShapeError: They have another shape, are not floating point, or hold what is no number.
        """
        _check(pictures)
        height, width = pictures.shape[2:]
        short = min(height, width)
        shape = (self.size * height // short, self.size * width // short)
        values = (pictures.float() + 1) / 2
        values = F.interpolate(values, shape, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((side - self.crop) // 2 for side in shape)
        if min(top, left) < 0:  # a crop that is larger than what is left has a black border
            pad = [math.ceil(max(self.crop - side, 0) / 2) for side in shape]
            values = F.pad(values, (pad[1], pad[1], pad[0], pad[0]))
            top, left = ((side - self.crop) // 2 for side in values.shape[2:])
        values = values[..., top : top + self.crop, left : left + self.crop]
        mean, std = (values.new_tensor(x).view(3, 1, 1) for x in (self.mean, self.std))
        return (values - mean) / std


@final
class ExemplarEncoder(nn.Module):
    """Pictures to embeddings, for the global fuser.

    Args:
        network: A `CLIPVisionModelWithProjection`; it stays as it is, without gradients.
        preprocess: What is done to the pictures first.
    """

    def __init__(self, network: nn.Module, preprocess: Preprocess | None = None) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.preprocess = Preprocess() if preprocess is None else preprocess

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return int(cast(Any, self.network).config.projection_dim)

    @torch.no_grad()
    def encode(self, pictures: Tensor | Sequence[Tensor]) -> Tensor:
        """Embeddings (B, `dim`) of pictures, projected and not normalised.

        Args:
            pictures: (B, 3, H, W) in [-1, 1]; or several (3, H, W) of different sizes.

        Raises:
            ShapeError: There is none, or one is not in colour, or holds what is no number.
        """
        rows = [pictures] if isinstance(pictures, Tensor) else [x[None] for x in pictures]
        if not rows:
            raise ShapeError("there is no exemplar to encode", expected="at least one picture")
        seen = torch.cat([self.preprocess(x) for x in rows])
        weight = next(self.network.parameters())
        out = cast(Any, self.network)(pixel_values=seen.to(weight.device, weight.dtype))
        return out.image_embeds


def as_picture(colours: Array) -> Tensor:
    """A picture (1, 3, H, W) in [-1, 1] of colours (H, W, 3) in [0, 1] (`images.read_colours`)."""
    return torch.tensor(colours, dtype=torch.float32).movedim(-1, 0)[None] * 2 - 1


def _check(pictures: Tensor) -> None:
    if pictures.dim() != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
        raise ShapeError(
            "an exemplar is a picture in colour",
            got=f"{tuple(pictures.shape)}, {pictures.dtype}",
            expected="(B, 3, H, W), floating point in [-1, 1]",
        )
    height, width = pictures.shape[2:]
    if max(height, width) > _NARROWEST * min(height, width):
        # The short side becomes that of the network, and the other one grows with it.
        raise ShapeError(
            "an exemplar is too narrow",
            got=f"{width} x {height}",
            expected=f"sides of at most 1 : {_NARROWEST}",
            remedy="cut out the part that shows the look; all but the middle is cut off anyway",
        )
    if pictures.device.type == "meta" or bool((pictures.abs() <= 1 + 1e-3).all()):
        return
    low, high = (float(x) for x in pictures.aminmax())
    raise ShapeError(
        "an exemplar leaves its range",
        got=f"values from {low:.4g} to {high:.4g}",
        expected="values from -1 to 1, all of them numbers",
    )
