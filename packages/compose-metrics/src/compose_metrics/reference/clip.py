"""CLIP by open_clip: published weights from a file, or any pair of towers under another id.

Needs the extra ``open-clip``. Nothing is downloaded by open_clip itself: the architecture comes
from its tables, the weights from a safetensors file, the tokenizer's vocabulary from the package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, cast

import torch
from torch import Tensor, nn

from compose_core.errors import ComposeError, UsageError
from compose_metrics.alignment.encoders import EncodedTexts
from compose_metrics.pictures import checked, resize
from compose_metrics.result import Source
from compose_metrics.weights import Weights, fill, finite, read

Tokenise = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""Texts to tokens (B, L) and whether each was cut off (B,)."""

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""OpenAI's, of values in [0, 1]."""


def open_clip() -> Any:
    """The package, imported on demand.

    Raises:
        ComposeError: It is not installed.
    """
    try:
        return import_module("open_clip")
    except ImportError as error:
        raise ComposeError(
            "CLIP needs the package open_clip",
            got=error,
            remedy="pip install 'compose-metrics[open-clip]'",
        ) from error


class OpenClip(nn.Module):
    """Pictures and texts through open_clip's towers.

    Args:
        network: A model with ``encode_image`` and ``encode_text``.
        tokenise: Texts to tokens.
        source: Which model this is.
        size: Side of the pictures that it sees.
        mean: Of the values in [0, 1] that it was trained on, per channel.
        std: Their deviation.
        note: More about the model, added to ``transform``.
    """

    def __init__(
        self,
        network: nn.Module,
        tokenise: Tokenise,
        source: Source,
        *,
        size: int,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        note: str = "",
    ) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.tokenise, self.source, self.size = tokenise, source, size
        self.mean, self.std = tuple(mean), tuple(std)
        norm = f"mean {list(self.mean)}, std {list(self.std)}"
        self.transform = f"shorter side bicubic antialiased to {size}, centre, {norm}{note}"

    @classmethod
    def load(cls, name: str, weights: Weights) -> OpenClip:
        """A published model.

        OpenAI's weights, and a few others, were trained with another GELU: for these the
        architecture's name ends in ``-quickgelu``. The weights cannot tell, the scores can.

        Args:
            name: Architecture in open_clip's tables, for example ``ViT-B-32-quickgelu``; it
                becomes the id of the source.
            weights: Its ``open_clip_model.safetensors``.

        Raises:
            UsageError: No such architecture.
            WeightsError: The file is missing, a pickle, or of another model.
        """
        found = read(weights)
        finite(found.tensors, name)
        network, size, quick = build(name)
        wanted = network.state_dict()
        # Older exports carry the causal mask, a constant.
        fill(network, found, name, keep=lambda n: n in wanted or not n.endswith("attn_mask"))
        source = Source(id=name, sha256=found.sha256, reference=True)
        note = f"; {'quick GELU' if quick else 'GELU'}; float32"
        return cls(network, tokeniser(name), source, size=size, note=note)

    def prepare(self, pictures: Tensor) -> Tensor:
        """What the network sees: (B, 3, size, size), of pictures in [-1, 1] of any size."""
        pictures = checked(pictures)
        height, width = pictures.shape[2:]
        short = min(height, width)
        shape = (self.size * height // short, self.size * width // short)
        pictures = resize(pictures, shape)
        top, left = (round((side - self.size) / 2) for side in shape)
        pictures = pictures[..., top : top + self.size, left : left + self.size]
        mean, std = (pictures.new_tensor(row).view(1, 3, 1, 1) for row in (self.mean, self.std))
        return ((pictures + 1) / 2 - mean) / std

    @torch.no_grad()
    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """Vectors (B, D) of pictures (B, 3, H, W), float in [-1, 1] or uint8; not normalised."""
        return cast(Any, self.network).encode_image(self.prepare(pictures).to(self._device()))

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> EncodedTexts:
        """Vectors (B, D) of texts, and which of them were cut off; not normalised."""
        tokens, truncated = self.tokenise(texts)
        read = cast(Any, self.network).encode_text(tokens.to(self._device()))
        return EncodedTexts(read, truncated)

    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


def build(name: str) -> tuple[nn.Module, int, bool]:
    """An open_clip model with random weights, the size of its pictures, and if its GELU is quick.

    Raises:
        UsageError: No such architecture.
    """
    library = open_clip()
    # Names with a slash or a colon would be looked up elsewhere.
    config = None if "/" in name or ":" in name else library.get_model_config(name)
    if config is None:
        raise UsageError(
            "open_clip has no such architecture",
            got=name,
            expected="for example ViT-B-32-quickgelu, ViT-L-14-quickgelu, ViT-H-14",
        )
    with torch.random.fork_rng(devices=[]):  # the draws are overwritten; leave no trace of them
        network: nn.Module = library.create_model(name, pretrained=None, load_weights=False)
    return network, int(config["vision_cfg"]["image_size"]), bool(config.get("quick_gelu"))


def tokeniser(name: str) -> Tokenise:
    """The tokenizer of an architecture, which also says when a text is too long.

    Raises:
        UsageError: The architecture's tokenizer is not open_clip's own.
    """
    library = open_clip()
    tokenizer = library.get_tokenizer(name)
    if not isinstance(tokenizer, library.SimpleTokenizer):
        raise UsageError(
            "the tokenizer of this architecture would have to be downloaded",
            got=name,
            remedy="build OpenClip with a tokenise function of your own",
        )

    def tokenise(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        # Beginning and end of text take a place each.
        room = tokenizer.context_length - 2
        truncated = [len(tokenizer.encode(text)) > room for text in texts]
        return tokenizer(list(texts)), torch.tensor(truncated)

    return tokenise
