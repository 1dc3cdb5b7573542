"""Each part in its own place: a mixture of predictions by masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from compose_core.compose.composer import Composer
from compose_core.denoiser import Denoiser, State
from compose_core.errors import ShapeError
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level


@final
class Regional(Composer):
    """Every part sees the whole; in each cell their predictions are averaged by masks.

        x0 = sum_k m_k x0_k,   sum_k m_k = 1

    The masks are normalised to a partition of unity, so it does not matter whether `x0` or `eps`
    is averaged. Parts see the same object, so an unconditional side that they share is asked once.

    Args:
        parts: `K` denoisers.
        masks: `(K, *spatial)`, or `(K, B, 1, *spatial)` for masks of each sample; values `>= 0`,
            at the size of `x_t`, not that of the picture.

    Raises:
        ShapeError: The number or values of the masks are wrong, or a cell belongs to no part;
            when the state is made: the masks do not fit `x_t`.
    """

    masks: Tensor

    def __init__(self, parts: Sequence[Denoiser], masks: Tensor) -> None:
        super().__init__(parts)
        wide = masks.detach().double()
        if masks.dim() < 2 or masks.shape[0] != len(self.parts):
            raise ShapeError(
                "a regional composition needs one mask per part",
                got=tuple(masks.shape),
                expected=f"({len(self.parts)}, *spatial) or ({len(self.parts)}, B, 1, *spatial)",
            )
        total = wide.sum(0)
        if not bool((torch.isfinite(wide) & (wide >= 0)).all()) or not bool((total > 0).all()):
            raise ShapeError(
                "masks must be finite, not negative, and leave no cell to nobody",
                got=f"values {float(wide.min()):.3g} to {float(wide.max()):.3g}, "
                f"{int((total <= 0).sum())} empty cells",
                remedy="add a part for the background, with a small mask everywhere",
            )
        dtype = masks.dtype if masks.is_floating_point() else torch.float32
        self.register_buffer("masks", (wide / total).to(dtype), persistent=False)

    def init_own(self, x_t: Tensor, generator: Generators | None) -> Tensor:
        """The masks in the dtype of `x_t`, ready to multiply it."""
        masks = self.masks.to(x_t)
        if masks.dim() == x_t.dim() - 1:
            masks = masks[:, None, None]
        in_place = masks.shape[3:] == x_t.shape[2:]
        batch, channels = x_t.shape[:2]
        if not in_place or masks.shape[1] not in (1, batch) or masks.shape[2] not in (1, channels):
            raise ShapeError(
                "the masks do not fit the sample",
                got=tuple(self.masks.shape),
                expected=(len(self.parts), *x_t.shape[2:]),
                remedy="resize them to the size of the latents",
            )
        return masks

    def traced(self, state: State) -> Mapping[str, Tensor]:
        """The mask of each part, under the name of the part."""
        own, _ = state
        return {f"{i}.share": mask for i, mask in enumerate(own)}

    def merge(
        self, predictions: Sequence[Prediction], x_t: Tensor, level: Level, own: Any
    ) -> Prediction:
        """The average by masks."""
        x0 = torch.zeros_like(x_t)
        for mask, prediction in zip(own, predictions, strict=True):
            x0 = x0 + mask * prediction.x0
        return Prediction(x_t, level, x0)
