"""The LAION aesthetic predictor, version 2: one affine map of a normalised CLIP embedding.

The published head is five linear layers, 768-1024-128-64-16-1, with dropout and no activation in
between. Without activations they are one affine map, and as such they are kept here, folded in
float64. The embedding must be divided by its length first; to forget that is the classic error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError, WeightsError
from compose_metrics.alignment.encoders import PictureEncoder, unit
from compose_metrics.metric import Keys, PerSample
from compose_metrics.pictures import sizes, taken
from compose_metrics.result import JSON, Source
from compose_metrics.weights import Weights, finite, read

CANONICAL = "laion-v2"
ENCODER = "ViT-L-14-quickgelu"
"""What LAION's head was trained on: OpenAI's CLIP, as `OpenClip.load` names it."""
WIDTHS = (768, 1024, 128, 64, 16, 1)
LAYERS = (0, 2, 4, 6, 7)
"""Numbers of the linear layers in the published file; dropouts stand between them."""


def fold(layers: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Weight (D,) and bias () of the affine map that the layers make together, in float64.

    Args:
        layers: ``layers.<i>.weight`` (out, in) and ``layers.<i>.bias`` (out,), in the order of i.

    Raises:
        WeightsError: A layer does not fit the next one, or the last has more than one output.
    """
    numbers = sorted({int(name.split(".")[1]) for name in layers if name.startswith("layers.")})
    folded: tuple[Tensor, Tensor] | None = None
    for i in numbers:
        w, b = (layers.get(f"layers.{i}.{kind}") for kind in ("weight", "bias"))
        if w is None or b is None or (folded is not None and w.shape[1] != len(folded[0])):
            raise WeightsError("the layers of the head do not fit together", got=f"layer {i}")
        w, b = w.double(), b.double()
        folded = (w, b) if folded is None else (w @ folded[0], w @ folded[1] + b)
    if folded is None or len(folded[0]) != 1:
        raise WeightsError("this is no head with one output", got=f"layers {numbers}")
    return folded[0][0], folded[1][0]


@final
class AestheticHead:
    """score = w . (x / |x|) + b.

    Attributes:
        weight: (D,), float64.
        bias: (), float64.
        source: Which head this is.
    """

    def __init__(self, weight: Tensor, bias: Tensor, source: Source) -> None:
        """Keep the map; `load` reads a published one."""
        self.weight, self.bias, self.source = weight.double(), bias.double(), source

    @classmethod
    def load(cls, weights: Weights) -> AestheticHead:
        """Read the head ``sac+logos+ava1-l14-linearMSE`` from a safetensors file.

        Raises:
            WeightsError: The file is missing, a pickle, or another head.
        """
        found = read(weights)
        finite(found.tensors, "the aesthetic head")
        pairs = zip(LAYERS, WIDTHS[1:], WIDTHS[:-1], strict=True)
        shapes = {f"layers.{i}.weight": (outside, inside) for i, outside, inside in pairs}
        shapes |= {f"layers.{i}.bias": (w,) for i, w in zip(LAYERS, WIDTHS[1:], strict=True)}
        given = {name: tuple(tensor.shape) for name, tensor in found.tensors.items()}
        if given != shapes:
            raise WeightsError(
                "this is not the aesthetic head of LAION", got=given, expected=shapes
            )
        source = Source(id=CANONICAL, sha256=found.sha256, reference=True)
        return cls(*fold(found.tensors), source)

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Scores (B,) of embeddings (B, D) of any length, about 1 to 10.

        Raises:
            ShapeError: Embeddings of another width.
        """
        if embeddings.shape[-1] != len(self.weight):
            raise ShapeError(
                "the embeddings are not of the head's CLIP",
                got=tuple(embeddings.shape),
                expected=f"(B, {len(self.weight)})",
                remedy="LAION's head reads OpenAI's CLIP ViT-L/14",
            )
        directions = unit(embeddings, "the embeddings")
        return directions @ self.weight.to(directions.device) + self.bias.to(directions.device)


@final
class AestheticScore(PerSample):
    """Mean aesthetic score.

    The id is ``aesthetic`` for LAION's head over `ENCODER`, ``aesthetic@<head>`` for another head
    over it, and ``aesthetic@<head>+<encoder>`` over any other encoder: a head reads embeddings of
    the same width from any CLIP, but means something with its own only.

    Args:
        encoder: The CLIP that the head was trained on: OpenAI's ViT-L/14 for LAION's.
        head: The head.
    """

    version = 2

    def __init__(self, encoder: PictureEncoder, head: AestheticHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        own = encoder.source.reference and encoder.source.id == ENCODER
        self.id = head.source.metric("aesthetic", CANONICAL if own else None)
        if not own:
            self.id += f"+{encoder.source.id}"

    @torch.no_grad()
    def update(self, pictures: Tensor, *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W), float in [-1, 1] or uint8."""
        pictures = taken(pictures)
        score = self.head(self.encoder.encode_pictures(pictures))
        self.add(keys, value=score, size=sizes(pictures))

    def params(self) -> dict[str, JSON]:
        """The encoder under the head, and what happens to a picture before it."""
        return {"encoder": self.encoder.source.to_json(), "transform": self.encoder.transform}

    def extractor_source(self) -> Source:
        """The head."""
        return self.head.source
