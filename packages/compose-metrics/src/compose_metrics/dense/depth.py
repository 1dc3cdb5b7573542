"""How far the depth of a picture is from the depth that was asked for.

Monocular estimators give inverse depth up to an unknown scale and shift, so a number without its
alignment means nothing. The alignment is part of the parameters:

- `"minmax"` stretches both maps to [0, 1] over the valid pixels of each picture, as in the
  reconstruction table of Compose and Conquer (whose depth conditions are stretched so);
- `"scale-shift"` fits `s * predicted + t` to the truth by least squares, as in MiDaS (Ranftl et
  al. 2020, equation 4);
- `"raw"` compares the numbers as they are: for metric depth, in its unit.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, final, get_args

import torch
from torch import Tensor

from compose_core.errors import UsageError
from compose_metrics.dense.judged import ReadPerSample
from compose_metrics.dense.maps import counted, mean_over, real
from compose_metrics.metric import Keys
from compose_metrics.result import JSON, Source

Alignment = Literal["minmax", "scale-shift", "raw"]


def stretched(depth: Tensor, valid: Tensor) -> Tensor:
    """Depth (B, H, W) stretched so that the valid pixels of each picture span [0, 1].

    A flat picture has no span and becomes 0 everywhere.
    """
    inf = torch.tensor(float("inf"), dtype=depth.dtype, device=depth.device)
    low = torch.where(valid, depth, inf).amin((1, 2), keepdim=True)
    high = torch.where(valid, depth, -inf).amax((1, 2), keepdim=True)
    span = high - low
    return torch.where(span > 0, (depth - low) / span, torch.zeros_like(depth))


def fitted(predicted: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """`s * predicted + t` (B, H, W) with the s and t (per picture) of least squared error."""
    mean_p, mean_t = mean_over(predicted, valid), mean_over(truth, valid)
    p, t = predicted - mean_p[:, None, None], truth - mean_t[:, None, None]
    variance, covariance = mean_over(p * p, valid), mean_over(p * t, valid)
    scale = torch.where(variance > 0, covariance / variance, torch.zeros_like(variance))
    return scale[:, None, None] * p + mean_t[:, None, None]


def aligned(
    predicted: Tensor, truth: Tensor, valid: Tensor, alignment: Alignment
) -> tuple[Tensor, Tensor]:
    """Both maps (B, H, W) as they are compared."""
    if alignment == "minmax":
        return stretched(predicted, valid), stretched(truth, valid)
    if alignment == "scale-shift":
        return fitted(predicted, truth, valid), truth
    return predicted, truth


class _DepthError(ReadPerSample):
    """Base of the two errors: one number per picture.

    Args:
        alignment: See the module.
        unit: Of raw depth, for example "m".
        judge: The network that read the depth, if one did; it becomes part of the id.
    """

    higher_is_better = False

    def __init__(
        self, alignment: Alignment = "minmax", unit: str = "", *, judge: Source | None = None
    ) -> None:
        super().__init__(judge)
        if alignment not in get_args(Alignment):
            raise UsageError(
                "unknown alignment of depth", got=alignment, expected=get_args(Alignment)
            )
        if unit and alignment == "minmax":
            raise UsageError("stretched depth has no unit", got=unit, expected='unit=""')
        self.alignment: Alignment = alignment
        self.unit = unit

    def params(self) -> dict[str, JSON]:
        """The alignment and the unit."""
        return {"alignment": self.alignment, "unit": self.unit}

    def update(
        self, predicted: Tensor, truth: Tensor, *, valid: Tensor | None = None, keys: Keys = None
    ) -> None:
        """Take a batch.

        Args:
            predicted: Depth of the pictures, (B, H, W) or (B, 1, H, W) float, inverse or not, but
                as the truth.
            truth: Depth that was asked for, of the same shape.
            valid: Pixels that count (B, H, W) bool; all by default.
            keys: Sample numbers.

        Raises:
            ShapeError: Maps on different pixels.
            ComposeError: A picture without valid pixels, or with values that are not finite.
        """
        p, t = real(predicted, truth, "depth")
        valid = counted(valid, p, t, what="depth")
        # What lies outside may be infinite (the sky); it must not reach the sums as inf - inf.
        zero = torch.zeros((), dtype=p.dtype, device=p.device)
        p, t = torch.where(valid, p, zero), torch.where(valid, t, zero)
        p, t = aligned(p, t, valid, self.alignment)
        self.add(keys, value=self._error(p - t, valid))

    @abstractmethod
    def _error(self, difference: Tensor, valid: Tensor) -> Tensor:
        """Error (B,) of the differences (B, H, W) in the valid pixels."""


@final
class DepthMAE(_DepthError):
    """Mean absolute error of depth, averaged over pictures (Compose and Conquer, table 2)."""

    id = "depth-mae"

    def _error(self, difference: Tensor, valid: Tensor) -> Tensor:
        return mean_over(difference.abs(), valid)


@final
class DepthRMSE(_DepthError):
    """Root mean square error of depth of each picture, averaged over pictures."""

    id = "depth-rmse"

    def _error(self, difference: Tensor, valid: Tensor) -> Tensor:
        return mean_over(difference**2, valid).sqrt()
