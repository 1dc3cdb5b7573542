"""How well a source was separated: scale-invariant signal-to-distortion ratio (Le Roux 2019).

The estimate is split into its projection on the target and the rest; the ratio of their energies
in decibels does not change when the estimate is scaled. The improvement, SI-SDRi, subtracts the
ratio that the unseparated mixture has.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from compose_core.errors import ComposeError, ShapeError
from compose_metrics.intervals import bootstrap_mean
from compose_metrics.metric import Keys, Rows
from compose_metrics.result import JSON, Result
from compose_metrics.table import KEYS

EPS = torch.finfo(torch.float64).eps


def si_sdr(estimate: Tensor, target: Tensor, *, zero_mean: bool = True) -> Tensor:
    """Ratios (B,) in dB of estimates (B, T) to targets (B, T), in float64.

    Bounded near +-156 dB, where float64 ends: a perfect estimate is not infinite.

    Args:
        estimate: What was separated.
        target: What it should be; not silent.
        zero_mean: Whether a constant offset is taken off first, as the definition does.

    Raises:
        ShapeError: Different shapes, or values that are not finite.
    """
    if estimate.shape != target.shape or estimate.dim() != 2 or estimate.numel() == 0:
        got = f"{tuple(estimate.shape)} and {tuple(target.shape)}"
        raise ShapeError("sounds cannot be compared", got=got, expected="two of (B, T)")
    s, x = target.double(), estimate.double()
    if not bool(s.isfinite().all() & x.isfinite().all()):
        raise ShapeError("sounds hold values that are not numbers", got="NaN or infinity")
    if zero_mean:
        s, x = s - s.mean(1, keepdim=True), x - x.mean(1, keepdim=True)
    tiny = torch.finfo(torch.float64).tiny
    energy = (s * s).sum(1, keepdim=True).clamp_min(tiny)
    part = (x * s).sum(1, keepdim=True) / energy * s
    # Rounding leaves about this much of the estimate on either side; silence gives 0 dB.
    floor = EPS * (x * x).sum(1) + tiny
    return 10 * torch.log10(((part * part).sum(1) + floor) / (((x - part) ** 2).sum(1) + floor))


@final
class SISDRi(Rows):
    """Mean improvement of SI-SDR over the mixture, in dB.

    A silent target has no ratio: such samples are counted in ``parts["silent"]`` and left out of
    the mean.

    Args:
        silence: Mean square up to which a target is silent; 1e-10 is -100 dB of full scale.
    """

    id = "si_sdri"
    unit = "dB"

    def __init__(self, *, silence: float = 1e-10) -> None:
        super().__init__()
        self.silence = silence

    def update(
        self, estimates: Tensor, targets: Tensor, mixtures: Tensor, *, keys: Keys = None
    ) -> None:
        """Take estimates, targets and the mixtures that hold them, each (B, T)."""
        before, after = si_sdr(mixtures, targets), si_sdr(estimates, targets)
        audible = targets.double().square().mean(1) > self.silence
        value = torch.where(audible, after - before, 0.0)
        self.add(keys, value=value, audible=audible)

    def compute(self) -> Result:
        """The mean over the samples whose target is not silent."""
        rows = self.rows()
        audible = rows["audible"]
        values = rows["value"][audible]
        if len(values) == 0:
            raise ComposeError("every target is silent", got=f"{len(audible)} samples")
        return self._result(
            float(values.mean()),
            n=len(values),
            interval=bootstrap_mean(values) if len(values) > 1 else None,
            per_sample=values,
            keys=rows[KEYS][audible],
            parts={"silent": float((~audible).sum())},
        )

    def params(self) -> dict[str, JSON]:
        """What counts as silent."""
        return {"silence": self.silence, "zero_mean": True}
