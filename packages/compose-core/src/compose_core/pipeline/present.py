"""From a finished sample to the pictures that it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from PIL import Image
from torch import Tensor

from compose_core.codec import Codec
from compose_core.method import Plan
from compose_core.pipeline.request import OutputType


def present(
    x: Tensor,
    codec: Codec,
    plan: Plan,
    output_type: OutputType,
    finish: Callable[..., Any],
    beside: str | None = None,
) -> Any:
    """The picture of a sample, or one of those beside it.

    Args:
        x: The sample (B, *plan.shape).
        codec: Decodes.
        plan: Says how pictures are seen in it.
        output_type: `"latent"`: (B, C, h, w); `"pt"`: (B, 3, H, W); `"np"`: (B, H, W, 3);
            `"pil"`: a list of pictures, which have an alpha channel where `Beside` gives one.
        finish: Called as `f(pictures, output_type=...)`: diffusers' way of handing pictures out.
        beside: Which of `plan.beside`; None for the picture itself.
    """
    shown = None if beside is None else plan.beside[beside]
    latents = (plan.picture if shown is None else shown.view).observe(x)
    if output_type == "latent":
        return latents
    pictures = codec.decode(latents, wrap=plan.wrap).float()
    found = finish(pictures, output_type=output_type)
    if shown is None or shown.alpha is None or output_type != "pil":
        return found
    return [_cut(picture, shown.alpha) for picture in cast("list[Image.Image]", found)]


def _cut(picture: Image.Image, alpha: Tensor) -> Image.Image:
    """The picture with an alpha channel."""
    levels = (alpha.detach().float().cpu().clamp(0, 1) * 255).round().byte().numpy()
    picture.putalpha(Image.fromarray(levels))
    return picture
