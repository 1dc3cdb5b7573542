"""A picture taken apart: what is in front, what lies behind it, and how both are seen.

Section 3.2 of Compose and Conquer: `I_f = I_s M` keeps the salient object, and `I_b` is `I_s` with
the object, grown by a dilation, painted over (figure 8, appendix A.2). Depth is read from both,
and embeddings from `I_s` (which serves as exemplar of the foreground) and `I_b`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from compose_cnc.data.pictures import Fit, dilated, stretched
from compose_cnc.data.protocols import DepthEstimator, ImageEncoder, Inpainter, SalientObject
from compose_core.errors import ShapeError, UsageError

PROMPT = "empty scenery, highly detailed, no people"
"""What is painted where the object was (appendix A.2; the official code says "ultra detailed")."""

NEGATIVE = "low resolution, worst quality, low quality"
"""What it should not look like (the official code)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How triplets are made.

    Attributes:
        size: Height and width of every picture, in pixels; a multiple of 8.
        fit: How other pictures become square.
        seed: Of the captions chosen and of the noise that is painted from.
        dilation: Side of the square that the mask grows by, in pixels of a 512 pixel picture.
        paste_back: Put the pixels of the source back where nothing was to be painted. Off, as in
            the official code: the background then went through the autoencoder everywhere, and
            shows no seam.
        threshold: A pixel is foreground where a saliency or a given mask is above it.
    """

    size: int = 512
    fit: Fit = "crop"
    seed: int = 0
    dilation: int = 50
    paste_back: bool = False
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.size < 8 or self.size % 8:
            raise UsageError(
                "pictures of this size cannot be made",
                got=self.size,
                expected="a positive multiple of 8",
            )
        if self.dilation < 0:
            raise UsageError("a mask cannot shrink", got=self.dilation, expected="0 or more")

    @property
    def square(self) -> int:
        """Side of the square of the dilation in pixels of these pictures."""
        return round(self.dilation * self.size / 512)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The networks that take pictures apart.

    Attributes:
        inpaint: Paints the background.
        depth: Reads depth.
        encode: Reads embeddings.
        salient: Finds the foreground where neither a mask nor an annotation says it.
        described: What they are, for the manifest: JSON values by name.
    """

    inpaint: Inpainter
    depth: DepthEstimator
    encode: ImageEncoder
    salient: SalientObject | None = None
    described: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Triplets:
    """A batch of pictures taken apart.

    Attributes:
        picture: `I_s` (B, 3, H, W) in [0, 1].
        mask: `M` (B, H, W) bool.
        foreground: `I_f` (B, 3, H, W) in [0, 1].
        background: `I_b` (B, 3, H, W) in [0, 1].
        depth: Of `I_s` (B, H, W) in [0, 1], near is 1.
        depth_fg: Of `I_f` (B, H, W); read from the masked picture, as in training.
        depth_bg: Of `I_b` (B, H, W).
        embedding_fg: Of `I_s` (B, D).
        embedding_bg: Of `I_b` (B, D).
    """

    picture: Tensor
    mask: Tensor
    foreground: Tensor
    background: Tensor
    depth: Tensor
    depth_fg: Tensor
    depth_bg: Tensor
    embedding_fg: Tensor
    embedding_bg: Tensor


@torch.no_grad()
def take_apart(
    pictures: Tensor,
    masks: Tensor,
    tools: Tools,
    settings: Settings,
    generators: Sequence[torch.Generator],
) -> Triplets:
    """Make triplets of pictures (B, 3, H, W) in [0, 1] with masks (B, H, W) bool.

    Args:
        pictures: The sources.
        masks: Where the foreground is.
        tools: The networks.
        settings: How.
        generators: One per picture, for the background.

    Raises:
        ShapeError: A network answered with another shape, or with what is not a number.
    """
    batch, _, height, width = pictures.shape
    foreground = pictures * masks[:, None]
    grown = dilated(masks, settings.square)
    background = tools.inpaint(pictures, grown.to(pictures), generators)
    background = _checked(background, tuple(pictures.shape), "the inpainter").clamp(0, 1)
    if settings.paste_back:
        background = torch.where(grown[:, None], background, pictures)
    depths = [
        stretched(_checked(tools.depth(seen), (batch, height, width), "the depth estimator"))
        for seen in (pictures, foreground, background)
    ]
    embeddings = [tools.encode(seen).to("cpu", torch.float32) for seen in (pictures, background)]
    for found in embeddings:
        _checked(found, (batch, found.shape[-1]), "the image encoder")
    return Triplets(
        picture=pictures,
        mask=masks,
        foreground=foreground,
        background=background,
        depth=depths[0],
        depth_fg=depths[1],
        depth_bg=depths[2],
        embedding_fg=embeddings[0],
        embedding_bg=embeddings[1],
    )


def _checked(found: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
    found = found.to("cpu", torch.float32)
    if tuple(found.shape) != shape:
        raise ShapeError(
            f"{what} answers in another shape", got=tuple(found.shape), expected=shape
        )
    if not bool(torch.isfinite(found).all()):
        raise ShapeError(f"{what} answers with what is not a number", got="NaN or infinity")
    return found
