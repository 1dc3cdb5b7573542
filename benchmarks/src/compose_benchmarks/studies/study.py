"""What a study is: settings under which every pair is drawn, and which of them are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from compose_cnc.attention import SoftGuidance

if TYPE_CHECKING:
    from compose_benchmarks.studies.pairs import Drawn
    from compose_benchmarks.studies.record import StudyRecord

__all__ = ["Contrast", "Setting", "Shown", "Study"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a pair is drawn.

    Attributes:
        soft_guidance: See `SoftGuidance`.
        lambda_fg: Factor on the tokens of the foreground's exemplar.
        lambda_bg: The same of the background's.
        swapped: Whether the two exemplars change places.
    """

    soft_guidance: SoftGuidance = "mask"
    lambda_fg: float = 1.0
    lambda_bg: float = 1.0
    swapped: bool = False

    @property
    def id(self) -> str:
        """All of it in one word, which also names the folder of its pictures."""
        turned = "-swapped" if self.swapped else ""
        return f"{self.soft_guidance}-fg{self.lambda_fg:g}-bg{self.lambda_bg:g}{turned}"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A comparison of two series on the same pairs: `metric` under `a` minus that under `b`."""

    metric: str
    a: str
    b: str


@dataclass(frozen=True)
class Shown:
    """The first pairs of a study with what became of them, for its figure.

    Attributes:
        drawn: The pairs.
        pictures: By id of the setting, (B, 3, H, W) uint8.
    """

    drawn: Drawn
    pictures: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Study:
    """One question about one method.

    Attributes:
        name: In commands and file names.
        version: A new one when settings change.
        summary: What it asks, in one line.
        series: Settings by name; pictures of several settings of one series are averaged for each
            pair.
        contrasts: Series that are compared.
        figure: Draws what was found.
        n: Pairs of a full study.
        quick: Pairs of a quick one.
    """

    name: str
    version: int = 1
    summary: str
    series: dict[str, tuple[Setting, ...]]
    contrasts: Sequence[Contrast]
    figure: Callable[[StudyRecord, Shown], Image.Image]
    n: int = 64
    quick: int = 4

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All settings, each once."""
        return tuple(dict.fromkeys(one for some in self.series.values() for one in some))
