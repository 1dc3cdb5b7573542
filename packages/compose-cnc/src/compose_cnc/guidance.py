"""Classifier-free guidance when there are two things to be guided by: text and exemplars.

The published code replaces the text of the unconditional side and leaves it the exemplars, so
guidance amplifies text alone (`"official"`). Taking the exemplars away there as well amplifies
both (`"drop_exemplar"`; Uni-ControlNet does so). `"separate"` gives each its own scale:

    x0 = u + s_e (e - u) + s (c - e)

with `c` under both, `e` under the exemplars and `u` under neither (compare Brooks et al. 2023,
InstructPix2Pix, Eq. 3). With `s_e = 1` it is `"official"`, with `s_e = s` `"drop_exemplar"`.
Depth stays on all sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, final

from torch import Tensor

from compose_core.compose.composer import Composer
from compose_core.denoiser import Denoiser, Guided
from compose_core.errors import UsageError
from compose_core.prediction import Prediction
from compose_core.schedule import Level

__all__ = ["CFG", "Separate", "check_cfg", "guided"]

CFG = Literal["official", "drop_exemplar", "separate"]
"""What the unconditional side of guidance hears; see the module."""


@final
class Separate(Composer):
    """`u + s_e (e - u) + s (c - e)`.

    Args:
        cond: `c`, under text and exemplars.
        exemplars: `e`, under the exemplars alone.
        uncond: `u`, under neither.
        scale: `s`.
        exemplar_scale: `s_e`.
    """

    def __init__(
        self,
        cond: Denoiser,
        exemplars: Denoiser,
        uncond: Denoiser,
        scale: float,
        exemplar_scale: float,
    ) -> None:
        super().__init__([cond, exemplars, uncond])
        self.scale, self.exemplar_scale = scale, exemplar_scale

    def merge(
        self, predictions: Sequence[Prediction], x_t: Tensor, level: Level, own: Any
    ) -> Prediction:
        """The sum; its coefficients add up to 1."""
        c, e, u = (prediction.x0 for prediction in predictions)
        return Prediction(x_t, level, u + self.exemplar_scale * (e - u) + self.scale * (c - e))


def guided(
    cond: Denoiser,
    hearing: Denoiser,
    deaf: Denoiser,
    scale: float,
    cfg: CFG = "official",
    exemplar_scale: float = 3.0,
) -> Denoiser:
    """`cond` under guidance.

    Args:
        cond: Text and exemplars.
        hearing: The negative text, and the exemplars.
        deaf: The negative text alone; the very object `hearing` when there are no exemplars.
        scale: `s`; with exactly 1 nothing but `cond` is asked, whatever the mode.
        cfg: See `CFG`.
        exemplar_scale: `s_e`, for `"separate"`.
    """
    if scale == 1:
        return cond
    if cfg == "separate" and hearing is not deaf:
        return Separate(cond, hearing, deaf, scale, exemplar_scale)
    return Guided(cond, deaf if cfg == "drop_exemplar" else hearing, scale)


def check_cfg(cfg: str) -> None:
    """Refuse a mode that there is not.

    Raises:
        UsageError: There is no such mode.
    """
    if cfg not in ("official", "drop_exemplar", "separate"):
        raise UsageError(
            "unknown mode of guidance", got=cfg, expected="official, drop_exemplar or separate"
        )
