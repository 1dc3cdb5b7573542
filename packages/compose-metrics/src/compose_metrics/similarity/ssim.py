"""Structural similarity of Wang, Bovik, Sheikh and Simoncelli (2004), exactly as they define it.

Local moments under an 11 x 11 Gaussian of sigma 1.5, population covariance, only windows that lie
inside the picture, K = (0.01, 0.03) and an explicit range of values. Colour pictures are compared
channel by channel and averaged. Other programs pad by reflection, or take a uniform window with
sample covariance by default: their numbers differ in the second digit.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import ShapeError, UsageError
from compose_metrics.metric import Keys, PerSample
from compose_metrics.pictures import as_bytes, checked, sizes
from compose_metrics.result import JSON

WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03


def gaussian(width: int = WINDOW, sigma: float = SIGMA) -> Tensor:
    """Samples (width,) of a Gaussian, summing to one, in float64."""
    x = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    weights = torch.exp(-(x**2) / (2 * sigma**2))
    return weights / weights.sum()


def _local_mean(x: Tensor, window: Tensor) -> Tensor:
    """Windowed mean (B, C, H - 10, W - 10) of (B, C, H, W): two passes, no padding."""
    channels = x.shape[1]
    rows = window.view(1, 1, -1, 1).repeat(channels, 1, 1, 1)
    x = F.conv2d(x, rows, groups=channels)
    return F.conv2d(x, rows.transpose(2, 3), groups=channels)


def ssim(a: Tensor, b: Tensor, *, data_range: float) -> Tensor:
    """Similarity (B,) of pictures (B, C, H, W), computed in float64; 1 for equal pictures.

    Args:
        a: Pictures whose black is 0.
        b: The ones to compare with.
        data_range: The value of white: 1, or 255. It is not guessed from the values.

    Raises:
        ShapeError: Different shapes, or pictures smaller than the window.
        UsageError: A range that is not positive.
    """
    if a.shape != b.shape or a.ndim != 4:
        raise ShapeError("pictures cannot be compared", got=(tuple(a.shape), tuple(b.shape)))
    if min(a.shape[2:]) < WINDOW:
        raise ShapeError(
            "the pictures are smaller than the window of SSIM",
            got=tuple(a.shape[2:]),
            expected=f"at least {WINDOW} x {WINDOW}",
        )
    if not data_range > 0:
        raise UsageError("SSIM needs the range of values", got=data_range, expected="> 0")
    x, y = a.double(), b.double()
    window = gaussian().to(x.device)
    mu_x, mu_y = _local_mean(x, window), _local_mean(y, window)
    var_x = _local_mean(x * x, window) - mu_x * mu_x
    var_y = _local_mean(y * y, window) - mu_y * mu_y
    cov = _local_mean(x * y, window) - mu_x * mu_y
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    # Wang et al., equation 13 with alpha = beta = gamma = 1 and C3 = C2 / 2.
    luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    return (luminance * structure).mean((1, 2, 3))


@final
class SSIM(PerSample):
    """Mean structural similarity of pictures and their references; 1 is equal.

    Pictures in [-1, 1] are measured on [0, 1]: SSIM depends on where black is.
    """

    id = "ssim"
    version = 2

    def update(self, pictures: Tensor, reference: Tensor, *, keys: Keys = None) -> None:
        """Take pairs of pictures (B, 3, H, W), float in [-1, 1] or uint8."""
        a, b = checked(pictures), checked(reference, "the reference pictures")
        x, y = (as_bytes(side).double() / 255 for side in (a, b))
        self.add(keys, value=ssim(x, y, data_range=1.0), size=sizes(a))

    def params(self) -> dict[str, JSON]:
        """Wang's settings, written out."""
        return {
            "window": f"gaussian {WINDOW}, sigma {SIGMA}",
            "k": [K1, K2],
            "covariance": "population",
            "border": "windows inside the picture",
            "data_range": 1.0,
            "channels": "mean over RGB",
        }
