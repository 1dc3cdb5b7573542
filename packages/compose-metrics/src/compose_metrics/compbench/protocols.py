"""What the scorers ask of models: a detector, a question answerer, depth, image-text similarity.

Any object with these methods will do; nothing is inherited. `source` names the weights, so that a
result says who judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from compose_core.errors import ShapeError
from compose_metrics.result import Source


@dataclass(frozen=True)
class Detections:
    """The objects that a detector sees in one picture.

    Attributes:
        boxes: (N, 4) float x0, y0, x1, y1 in pixels, x to the right, y down.
        labels: N names.
        confidences: (N,) float in [0, 1].

    Raises:
        ShapeError: when the three do not belong together or a number is not finite.
    """

    boxes: Tensor
    labels: tuple[str, ...]
    confidences: Tensor

    def __post_init__(self) -> None:
        n = len(self.labels)
        shapes = (tuple(self.boxes.shape), tuple(self.confidences.shape))
        if shapes != ((n, 4), (n,)):
            raise ShapeError(
                "Boxes, labels and confidences of a picture do not belong together",
                got=f"boxes {shapes[0]}, {n} labels, confidences {shapes[1]}",
                expected=f"boxes ({n}, 4) and confidences ({n},)",
            )
        if not bool(self.boxes.isfinite().all() and self.confidences.isfinite().all()):
            raise ShapeError(
                "A box or confidence is not a finite number", expected="finite pixels"
            )

    def __len__(self) -> int:
        return len(self.labels)


class Detector(Protocol):
    """Finds objects."""

    @property
    def source(self) -> Source:
        """The weights."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """Every name that it can give, singular."""
        ...

    def detect(self, pictures: Tensor) -> Sequence[Detections]:
        """Objects of pictures (B, 3, H, W) in [-1, 1]: B `Detections`, most confident first."""
        ...


class VQAScorer(Protocol):
    """Answers questions with the probability of yes."""

    @property
    def source(self) -> Source:
        """The weights."""
        ...

    def answer(self, pictures: Tensor, questions: Sequence[str]) -> Tensor:
        """P(yes) / (P(yes) + P(no)) of question b on picture b: (B,) in [0, 1].

        The pictures (B, 3, H, W) are in [-1, 1]; one picture may come several times.
        """
        ...


class DepthEstimator(Protocol):
    """Estimates depth."""

    @property
    def source(self) -> Source:
        """The weights."""
        ...

    def nearness(self, pictures: Tensor) -> Tensor:
        """Inverse depth (B, H, W) of pictures (B, 3, H, W) in [-1, 1]: nearer is larger."""
        ...


class TextImageScorer(Protocol):
    """Compares pictures with texts."""

    @property
    def source(self) -> Source:
        """The weights."""
        ...

    def cosine(self, pictures: Tensor, texts: Sequence[str]) -> Tensor:
        """Cosine of the embeddings of picture b and text b: (B,) in [-1, 1]."""
        ...
