"""Who is in front: depth order of two regions, and who is seen where they overlap."""

from __future__ import annotations

from typing import Literal, final, get_args

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_metrics.dense.judged import ReadPerSample, ReadRows
from compose_metrics.dense.maps import counted, plain, refuse, same
from compose_metrics.intervals import wilson
from compose_metrics.metric import Keys
from compose_metrics.result import JSON, Result, Source
from compose_metrics.table import KEYS

Nearer = Literal["larger", "smaller"]


def region_median(values: Tensor, region: Tensor) -> Tensor:
    """Median (B,) of values (B, H, W) over a region (B, H, W) bool of each picture.

    Of an even number of pixels it is the mean of the middle two.
    """
    inside = (v[r].sort().values for v, r in zip(values, region, strict=True))
    return torch.stack([(v[(len(v) - 1) // 2] + v[len(v) // 2]) / 2 for v in inside])


@final
class DepthOrder(ReadRows):
    """How often the region that was meant to be in front is nearer, by the median of its depth.

    A tie is wrong: the picture does not show the order. `parts["margin"]` is the mean of
    (front - back) / (|front| + |back|), positive when right.

    Args:
        nearer: Whether nearer is `"larger"` (inverse depth, the default) or `"smaller"` (metres).
        judge: The network that read the depth, if one did; it becomes part of the id.
    """

    id = "depth-order"

    def __init__(self, nearer: Nearer = "larger", *, judge: Source | None = None) -> None:
        super().__init__(judge)
        if nearer not in get_args(Nearer):
            raise UsageError("unknown direction of depth", got=nearer, expected=get_args(Nearer))
        self.nearer: Nearer = nearer

    def params(self) -> dict[str, JSON]:
        """The direction."""
        return {"nearer": self.nearer}

    def update(self, depth: Tensor, front: Tensor, back: Tensor, *, keys: Keys = None) -> None:
        """Take a batch of pairs; a picture with several pairs comes several times.

        Args:
            depth: Depth of the pictures (B, H, W) or (B, 1, H, W) float.
            front: Where the thing in front should be seen (B, H, W) bool.
            back: Where the thing behind should be seen, the same. Pixels of both count for none.
            keys: Numbers of the pairs.

        Raises:
            ShapeError: Maps on different pixels.
            ComposeError: A region without pixels of its own, or depth that is not finite there.
        """
        depth = plain(depth, "depth").double()
        front, back = plain(front, "front"), plain(back, "back")
        same(depth, front, "depth and front")
        same(depth, back, "depth and back")
        shared = front & back
        counted(front & ~shared, depth, what="depth in front")
        counted(back & ~shared, depth, what="depth behind")
        ahead = region_median(depth, front & ~shared)
        behind = region_median(depth, back & ~shared)
        sign = 1 if self.nearer == "larger" else -1
        scale = (ahead.abs() + behind.abs()).clamp_min(torch.finfo(torch.float64).tiny)
        margin = sign * (ahead - behind) / scale
        self.add(keys, value=(margin > 0).double(), margin=margin)

    def compute(self) -> Result:
        """The share of pairs in the right order, with Wilson's interval."""
        rows = self.rows()
        hits = rows["value"]
        return self._result(
            float(hits.mean()),
            interval=wilson(int(hits.sum()), self.n),
            per_sample=hits,
            keys=rows[KEYS],
            parts={"margin": float(rows["margin"].mean())},
        )


def contested(outlines: Tensor) -> Tensor:
    """The pixels (B, H, W) bool that at least two whole outlines (B, K, H, W) bool claim."""
    if outlines.dim() != 4 or outlines.dtype != torch.bool:
        raise ShapeError(
            "outlines are not masks",
            got=f"{outlines.dtype} {tuple(outlines.shape)}",
            expected="(B, K, H, W) bool",
        )
    return outlines.sum(1) > 1


@final
class OcclusionIoU(ReadPerSample):
    """Who is seen where things overlap.

    Among the pixels that two or more outlines claim, the one in front should be seen. For each
    thing that should be seen there, IoU of the pixels where it should be and where it is seen;
    averaged over these things, then over pictures. With two things in swapped order it is 0.

    Args:
        judge: The network that read who is seen, if one did; it becomes part of the id.
    """

    id = "occlusion-iou"

    def update(self, seen: Tensor, outlines: Tensor, *, keys: Keys = None) -> None:
        """Take a batch.

        Args:
            seen: Number of the outline whose thing is seen at each pixel (B, H, W) int, -1 for
                none of them, by a judge of the picture.
            outlines: Whole outlines, hidden parts included, in order from front to back:
                (B, K, H, W) bool. Surplus ones may be empty.
            keys: Sample numbers.

        Raises:
            ShapeError: Maps on different pixels.
            ComposeError: A picture in which nothing overlaps; `contested` tells beforehand.
        """
        seen = plain(seen, "seen")
        area = contested(outlines)
        same(seen, area, "seen and outlines")
        refuse(~area.flatten(1).any(1), "nothing overlaps, so nothing can be in front")
        owner = outlines.to(torch.uint8).argmax(1)  # the first claim is the one in front
        number = torch.arange(outlines.shape[1], device=seen.device)[:, None, None]
        should = (owner[:, None] == number) & area[:, None]
        does = (seen[:, None] == number) & area[:, None]
        both = (should & does).sum((2, 3)).double()
        union = (should | does).sum((2, 3)).double()
        present = should.flatten(2).any(2)
        iou = torch.where(present, both / union.clamp_min(1), torch.zeros_like(both))
        self.add(keys, value=iou.sum(1) / present.sum(1))
