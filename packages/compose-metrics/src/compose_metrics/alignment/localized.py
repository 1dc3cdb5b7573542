"""Are the semantics of an exemplar where they belong? Compose and Conquer, appendix A.4.

Two regions of a picture, foreground M and background 1 - M, are each shown alone to CLIP's image
encoder and compared with two exemplars. That gives a 2 x 2 matrix of cosines:

    rows: region (foreground, background); columns: exemplar (foreground, background).

The paper reports the mean of its diagonal. That mean cannot tell localisation from a picture that
looks like both exemplars everywhere, so the margin, diagonal minus off-diagonal mean, is given
too: semantics that leak into the other region lower it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, final

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_metrics.alignment.encoders import PictureEncoder, unit
from compose_metrics.intervals import mean_interval
from compose_metrics.metric import Keys, Rows
from compose_metrics.pictures import resize, sizes, taken
from compose_metrics.result import JSON, Result, Source
from compose_metrics.table import KEYS

PARTS = ("fg_fg", "fg_bg", "bg_fg", "bg_bg")


@dataclass(frozen=True)
class Crop:
    """How a region is shown alone.

    Attributes:
        frame: ``picture`` keeps the whole frame; ``box`` cuts out the bounding box of the region
            (mask above one half), grown by ``padding`` and completed to a square.
        fill: Level that stands outside the region, 0 black to 1 white. The paper multiplies with
            the mask, which is black.
        padding: Share of the longer side that the box grows on each side.
    """

    frame: Literal["picture", "box"] = "picture"
    fill: float = 0.0
    padding: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no crop."""
        if self.frame not in ("picture", "box"):
            raise UsageError("unknown frame", got=self.frame, expected="picture or box")
        if not (0 <= self.fill <= 1 and 0 <= self.padding <= 1):
            raise UsageError(
                "no crop", got=f"fill {self.fill}, padding {self.padding}", expected="in [0, 1]"
            )


PAPER = Crop()
"""I * M and I * (1 - M) in the whole frame, as the paper writes."""

GREY_BOX = Crop("box", fill=0.6, padding=0.05)
"""The box on grey #999, as detectors' crops are shown to CLIP elsewhere."""


def show_region(picture: Tensor, mask: Tensor, crop: Crop, size: int) -> Tensor:
    """One region of a picture alone, (3, size, size) in [-1, 1].

    Args:
        picture: (3, H, W) in [-1, 1].
        mask: (H, W) in [0, 1], 1 inside.
        crop: How it is shown.
        size: Side of the result.

    Raises:
        ShapeError: Nothing of the mask is above one half.
    """
    if not bool((mask > 0.5).any()):
        raise ShapeError(
            "a region is empty", got="no pixel of the mask above 0.5", expected="some of each"
        )
    outside = 2 * crop.fill - 1
    alone = picture * mask + outside * (1 - mask)
    if crop.frame == "box":
        alone = _square(_boxed(alone, mask, crop.padding), outside)
    return resize(alone[None], size)[0] if crop.frame == "box" else alone


def _boxed(picture: Tensor, mask: Tensor, padding: float) -> Tensor:
    rows, columns = ((mask > 0.5).any(axis).nonzero().flatten() for axis in (1, 0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    grow = round(padding * max(bottom - top, right - left))
    height, width = mask.shape
    top, left = max(0, top - grow), max(0, left - grow)
    return picture[:, top : min(height, bottom + grow), left : min(width, right + grow)]


def _square(picture: Tensor, outside: float) -> Tensor:
    """Completed on both sides to a square; CLIP would cut the ends of a longer side off."""
    _, height, width = picture.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = picture.new_full((3, side, side), outside)
    square[:, top : top + height, left : left + width] = picture
    return square


@final
class LocalizedSemantics(Rows):
    """Mean diagonal of the region x exemplar matrix; parts: the matrix and its margin.

    Args:
        encoder: CLIP's image encoder, or a small one under another id.
        crop: How a region is shown; the default is the paper's.
    """

    version = 2

    def __init__(self, encoder: PictureEncoder, crop: Crop = PAPER) -> None:
        super().__init__()
        self.encoder, self.crop = encoder, crop
        self.id = encoder.source.metric("localized_clip")

    @torch.no_grad()
    def update(
        self,
        pictures: Tensor,
        masks: Tensor,
        foregrounds: Tensor,
        backgrounds: Tensor,
        *,
        keys: Keys = None,
    ) -> None:
        """Take a batch.

        Args:
            pictures: Generated, (B, 3, H, W), float in [-1, 1] or uint8.
            masks: (B, H, W) or (B, 1, H, W) in [0, 1], 1 in the foreground.
            foregrounds: Exemplars of the foreground, (B, 3, h, w).
            backgrounds: Exemplars of the background, (B, 3, h, w).
            keys: Sample numbers.

        Raises:
            ShapeError: A mask does not fit its picture, or leaves one region empty.
        """
        pictures = taken(pictures)
        masks = _checked_masks(masks, pictures)
        exemplars = [
            taken(foregrounds, "the foreground exemplars"),
            taken(backgrounds, "the background exemplars"),
        ]
        if any(len(group) != len(pictures) for group in exemplars):
            raise ShapeError(
                "every picture needs two exemplars",
                got=[len(group) for group in exemplars],
                expected=len(pictures),
            )
        regions = [self._encoded(pictures, masks), self._encoded(pictures, 1 - masks)]
        wanted = [self.encoder.encode_pictures(group) for group in exemplars]
        rows = unit(torch.stack(regions, 1), "the regions")
        columns = unit(torch.stack(wanted, 1), "the exemplars")
        self.add(keys, matrix=rows @ columns.mT, size=sizes(pictures))

    def _encoded(self, pictures: Tensor, masks: Tensor) -> Tensor:
        size = self.encoder.size
        shown = [show_region(p, m, self.crop, size) for p, m in zip(pictures, masks, strict=True)]
        return self.encoder.encode_pictures(torch.stack(shown))

    def compute(self) -> Result:
        """The mean diagonal, each sample's, and the parts."""
        rows = self.rows()
        matrix = rows["matrix"].double()
        diagonal = matrix.diagonal(dim1=1, dim2=2).mean(1)
        means = matrix.mean(0).flatten().tolist()
        parts: dict[str, float] = dict(zip(PARTS, means, strict=True))
        return self._result(
            float(diagonal.mean()),
            interval=mean_interval(diagonal) if len(diagonal) > 1 else None,
            per_sample=diagonal,
            keys=rows[KEYS],
            parts=parts | {"margin": margin(parts)},
        )

    def params(self) -> dict[str, JSON]:
        """The crop, and what happens to a picture before the model."""
        return {"crop": asdict(self.crop), "transform": self.encoder.transform}

    def extractor_source(self) -> Source:
        """The encoder's."""
        return self.encoder.source


def margin(parts: Mapping[str, float]) -> float:
    """Mean of the diagonal minus mean of the rest; 0 when regions cannot be told apart."""
    diagonal, rest = parts["fg_fg"] + parts["bg_bg"], parts["fg_bg"] + parts["bg_fg"]
    return (diagonal - rest) / 2


def _checked_masks(masks: Tensor, pictures: Tensor) -> Tensor:
    masks = masks[:, 0] if masks.dim() == 4 and masks.shape[1] == 1 else masks
    wanted = (len(pictures), *pictures.shape[2:])
    if tuple(masks.shape) != wanted:
        raise ShapeError("the masks do not fit", got=tuple(masks.shape), expected=wanted)
    masks = masks.to(pictures)
    if not bool(((masks >= 0) & (masks <= 1)).all()):
        raise ShapeError("the masks have the wrong range", expected="in [0, 1]")
    return masks
