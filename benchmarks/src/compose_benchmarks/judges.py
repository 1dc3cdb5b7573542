"""The eyes of the tiny benchmarks: judge-tiny and clip-tiny behind the protocols of metrics.

They share their world with the generators, so their numbers say nothing of photographs, and every
metric that looks through them carries their name: `tiny-v1`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from compose_core import zoo
from compose_core.errors import ComposeError, WeightsError
from compose_core.zoo.digest import remembered_digest
from compose_metrics.alignment.encoders import EncodedTexts
from compose_metrics.compbench.protocols import Detections
from compose_metrics.features import Extractor, Features
from compose_metrics.result import Source
from compose_worlds.judge import Found, JudgeNet, objects
from compose_worlds.judge.reading import FIRST_SHAPE
from compose_worlds.primitives.captions import NUMBERS
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS

__all__ = ["NAME", "Clip", "Eyes", "Judge", "TinyTrunk"]

NAME = "tiny-v1"
"""What the ids of metrics say of these networks."""

BATCH = 64
KINDS: tuple[str, ...] = tuple(f"{color} {shape}" for color in COLORS for shape in SHAPES)
"""Everything that the judge can call an object."""


@dataclass(frozen=True)
class Look:
    """What the judge reads in one picture.

    Attributes:
        found: Its objects, nearest first.
        nearness: (H, W) inverse depth in 1 / metre.
        clarity: mean probability of the class that it names, over the pixels that it takes for
            solids; 0 where it takes none for one.
    """

    found: tuple[Found, ...]
    nearness: Tensor
    clarity: float = 0.0


@final
class Judge:
    """judge-tiny as detector, question answerer and depth estimator.

    Pictures are remembered by their content, so that several metrics need one look only.

    Args:
        network: The judge.
        source: Its weights.
    """

    def __init__(self, network: JudgeNet, source: Source) -> None:
        self.network = network
        self.source = source
        self.labels: tuple[str, ...] = KINDS
        self._seen: dict[bytes, Look] = {}

    @classmethod
    def load(cls, model: str = "judge-tiny") -> Judge:
        """The judge of the zoo.

        Raises:
            WeightsError: It is not here, or damaged.
        """
        folder = zoo.resolve(model)
        return cls(JudgeNet.load(folder), _source(folder / "model.safetensors"))

    @torch.no_grad()
    def look(self, pictures: Tensor) -> list[Look]:
        """What is in pictures (B, 3, H, W) in [-1, 1]."""
        marks = [_mark(picture) for picture in pictures]
        fresh = {mark: i for i, mark in enumerate(marks) if mark not in self._seen}
        for start in range(0, len(fresh), BATCH):
            some = list(fresh.items())[start : start + BATCH]
            readings = self.network(pictures[[i for _, i in some]])
            for row, (mark, _) in enumerate(some):
                found = tuple(objects(readings, row))
                near = readings.depth[row, 0].clone()
                self._seen[mark] = Look(found, near, _clarity(readings.semantics[row]))
        return [self._seen[mark] for mark in marks]

    def detect(self, pictures: Tensor) -> list[Detections]:
        """Objects as boxes in pixels; the judge is sure of each that it names."""
        height, width = pictures.shape[-2:]
        scale = torch.tensor([width, height, width, height], dtype=torch.float32)
        return [
            Detections(
                boxes=torch.tensor([f.box for f in one.found]).reshape(-1, 4) * scale,
                labels=tuple(f"{f.color} {f.shape}" for f in one.found),
                confidences=torch.ones(len(one.found)),
            )
            for one in self.look(pictures)
        ]

    def answer(self, pictures: Tensor, questions: Sequence[str]) -> Tensor:
        """1 where as many objects of the named colour and shape are there, else 0: (B,).

        Raises:
            ComposeError: A question names neither a colour nor a shape.
        """
        looks = self.look(pictures)
        pairs = zip(looks, questions, strict=True)
        return torch.tensor([float(_holds(look, question)) for look, question in pairs])

    def nearness(self, pictures: Tensor) -> Tensor:
        """Inverse depth (B, H, W) in 1 / metre."""
        return torch.stack([one.nearness for one in self.look(pictures)])


def _clarity(semantics: Tensor) -> float:
    """See `Look`; from logits (K, H, W)."""
    most, named = semantics.softmax(0).max(0)
    solid = named >= FIRST_SHAPE
    return float(most[solid].mean()) if bool(solid.any()) else 0.0


@final
class Clip(Extractor):
    """clip-tiny as scorer of texts and pictures, and as extractor of features."""

    def __init__(
        self, towers: nn.Module, words: Any, source: Source, *, dim: int, size: int
    ) -> None:
        super().__init__(source, dim=dim, size=size, transform="image tower, not normalised")
        self.towers: Any = towers
        self._words = words

    @classmethod
    def load(cls, model: str = "clip-tiny") -> Clip:
        """The towers of the zoo.

        Raises:
            WeightsError: They are not here, or damaged.
        """
        from transformers import CLIPTokenizer

        from compose_metrics.reference.clip import open_clip as installed

        open_clip = installed()
        folder = zoo.resolve(model)
        path = folder / "open_clip_model.safetensors"
        try:
            config = json.loads((folder / "open_clip_config.json").read_text("utf-8"))["model_cfg"]
            with torch.random.fork_rng(devices=[]):
                towers: Any = open_clip.CLIP(**config)
            weights = {name: value.float() for name, value in load_file(path).items()}
            own = towers.state_dict()
            # The causal mask is a constant that open_clip may keep among its buffers.
            mask = {"attn_mask": own["attn_mask"]} if "attn_mask" in own else {}
            towers.load_state_dict({**weights, **mask}, strict=True)
            words = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise WeightsError(f"{model} cannot be loaded", got=error) from error
        size = int(config["vision_cfg"]["image_size"])
        return cls(towers.eval(), words, _source(path), dim=int(config["embed_dim"]), size=size)

    def forward(self, pictures: Tensor) -> Features:
        """Embeddings (B, 128) of the image tower."""
        return Features(self.towers.encode_image(pictures))

    @torch.no_grad()
    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """Embeddings (B, 128) of pictures (B, 3, H, W) in [-1, 1]."""
        return self.towers.encode_image(self.prepare(pictures))

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> EncodedTexts:
        """Embeddings (B, 128) of texts, and which of them are too long."""
        padded = self._words(
            list(texts), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        whole = self._words(list(texts), truncation=False, verbose=False).input_ids
        cut = torch.tensor([len(ids) > padded.shape[1] for ids in whole])
        return EncodedTexts(self.towers.encode_text(padded), cut)

    def cosine(self, pictures: Tensor, texts: Sequence[str]) -> Tensor:
        """Cosine of picture b and text b: (B,)."""
        seen, read = self.encode_pictures(pictures), self.encode_texts(texts).embeddings
        return nn.functional.cosine_similarity(seen, read)


@final
class TinyTrunk(nn.Module):
    """The way down of judge-tiny, as a trunk for LPIPS.

    Args:
        network: The judge.
        source: Its weights.
    """

    def __init__(self, network: JudgeNet, source: Source) -> None:
        super().__init__()
        self.network = network
        self.source = source
        self.channels: tuple[int, ...] = tuple(network.widths)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Maps of all levels, from full size down to an eighth."""
        x = self.network.stem(pictures)
        maps = [x]
        for block in self.network.down:
            x = block(nn.functional.avg_pool2d(x, 2))
            maps.append(x)
        return tuple(maps)


@final
class Eyes:
    """The networks that a suite may look through, each loaded when it is first needed."""

    @cached_property
    def judge(self) -> Judge:
        """Reads objects and depth."""
        return Judge.load()

    @cached_property
    def clip(self) -> Clip:
        """Compares pictures with texts, and gives features."""
        return Clip.load()

    @cached_property
    def trunk(self) -> TinyTrunk:
        """Gives maps for perceptual distances."""
        return TinyTrunk(self.judge.network, self.judge.source)


def _source(path: Path) -> Source:
    return Source(id=NAME, sha256=remembered_digest(path), reference=False)


def _mark(picture: Tensor) -> bytes:
    data = picture.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
    return hashlib.blake2b(data + str(tuple(picture.shape)).encode(), digest_size=16).digest()


def _holds(look: Look, question: str) -> bool:
    words = question.lower().replace("?", " ").replace(",", " ").split()
    colors = {word for word in words if word in COLORS}
    shapes = {one for word in words for one in SHAPES if word in (one, f"{one}s", f"{one}es")}
    least = max([NUMBERS.index(word) for word in words if word in NUMBERS], default=1)
    if not colors | shapes:
        raise ComposeError(
            "the judge cannot answer this question",
            got=question,
            expected=f"a colour ({', '.join(COLORS)}) or a shape ({', '.join(SHAPES)})",
        )
    fits = [
        (not colors or f.color in colors) and (not shapes or f.shape in shapes) for f in look.found
    ]
    return sum(fits) >= max(least, 1)
