"""What `tlam-tiny` and its rivals learn: pictures of the primitives world from five labels.

All have the same pictures, steps and batch; they differ in how labels are merged, in what paints,
and in whether half of the labels are missing while they learn.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import LongTensor, Tensor, nn
from torch.nn import functional as F

from compose_core.train import TrainConfig
from compose_core.zoo import resolve
from compose_tlam.data import texture_edges
from compose_tlam.labels import PRIMITIVES, LabelSet
from compose_tlam.model import Config, Painter
from compose_tlam.sparsity import areas
from compose_tlam.stack import LabelStack
from compose_tlam.training import PAPER, Game, GameTask
from compose_tlam.training.game import discriminator_for
from compose_worlds.judge import JudgeNet
from compose_worlds.primitives import cache, draw
from compose_worlds.primitives.labels import labels, relative_depth
from compose_worlds.primitives.world import stack
from compose_zoo.recipes import stages

SCENES = range(0, 8_192)
SEED = 17
WIDTH = 24
SIDE = 64

CONFIG = TrainConfig(
    steps=1500,
    batch_size=8,
    lr=5e-4,
    seed=SEED,
    warmup=50,
    decay="linear",
    hold=2 / 3,  # 200 epochs, then 100 of linear decay
    ema=0.995,
    precision="bf16",
    channels_last=True,
    checkpoint_every=250,
    keep=8,  # all of them: how FID falls is a figure of the paper
    **PAPER,
)
"""The paper's game on a small budget; the generator learns five times as fast as there."""

_CURVATURE = 8.0
_CHUNK = 256

ASAP: dict[str, Any] = {"tile": 4, "learned": 4, "narrow": 32, "deep": 80, "pixel": 24}
SPADE: dict[str, Any] = {"last": 12, "factors": (8, 8, 4, 2, 1), "hidden": 24}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One of the models.

    Attributes:
        merger: A name of `compose_tlam.model.MERGERS`.
        merging: Its options.
        generator: A name of `compose_tlam.model.GENERATORS`.
        painting: Its options.
        names: Labels that it sees.
        game: How it learns.
    """

    merger: str
    merging: dict[str, Any] = field(default_factory=dict[str, Any])
    generator: str = "asap"
    painting: dict[str, Any] = field(default_factory=lambda: ASAP)
    names: tuple[str, ...] = PRIMITIVES.names
    game: Game

    def config(self) -> Config:
        """What the painter is made of."""
        return Config(
            labels=PRIMITIVES.only(*self.names),
            merger=self.merger,
            merging=self.merging,
            generator=self.generator,
            painting=self.painting,
            side=SIDE,
        )


_DENSE = Game(discriminator_rate=0.8)  # 4e-4, as in the paper
_SPARSE = replace(_DENSE, sparsity=0.5)
_TLAM = Plan(merger="tlam", merging={"width": WIDTH, "layers": 2, "ratio": 2.0}, game=_DENSE)
_CLAM = Plan(merger="clam", merging={"width": WIDTH, "layers": 2}, game=_DENSE)
_NAIVE = Plan(merger="concatenation", game=_DENSE)

PLANS: dict[str, Plan] = {
    "tlam-tiny": _TLAM,
    "tlam-tiny-sparse": replace(_TLAM, game=_SPARSE),
    "clam-tiny": _CLAM,
    "clam-tiny-sparse": replace(_CLAM, game=_SPARSE),
    "asap-naive-tiny": _NAIVE,
    "asap-naive-tiny-sparse": replace(_NAIVE, game=_SPARSE),
    "asap-semantic-tiny": replace(_NAIVE, names=("semantics",)),
    "spade-tiny": replace(_NAIVE, names=("semantics",), generator="spade", painting=SPADE),
    "spade-naive-tiny": replace(_NAIVE, generator="spade", painting=SPADE),
}
"""The models of Table 1, by their ids in the zoo."""


def curvatures(folder: Path, numbers: range) -> Tensor:
    """Principal curvatures (N, 2, 64, 64) int8 of scenes, in 8 / 127 of 1 / metre, cached."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"curvature-{numbers.start:08d}-{numbers.stop:08d}.safetensors"
    if not path.exists():
        parts: list[Tensor] = []
        for start in range(numbers.start, numbers.stop, _CHUNK):
            some = range(start, min(start + _CHUNK, numbers.stop))
            seen = labels(stack([draw.scene(i)[0] for i in some]), (SIDE, SIDE)).curvature
            parts.append((seen.clamp(-_CURVATURE, _CURVATURE) * 127 / _CURVATURE).round().char())
        partial = path.with_suffix(".partial")
        save_file({"curvature": torch.cat(parts).contiguous()}, partial)
        partial.replace(path)
    return load_file(path)["curvature"]


class Rendered:
    """Drawn scenes with their five labels (`compose_tlam.training.Samples`)."""

    labels: LabelSet = PRIMITIVES

    def __init__(self, runs: Path, scenes: range = SCENES) -> None:
        """Read the caches beside the runs, rendering what is missing."""
        names = ("picture", "semantics", "instance", "depth", "normals")
        self.data = cache.load(runs / "cache" / "primitives", scenes, names)
        self.curvature = curvatures(runs / "cache" / "painters", scenes)

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.curvature)

    def __call__(self, indices: LongTensor) -> tuple[Tensor, LabelStack, Tensor]:
        """Pictures in [-1, 1], labels, areas; surfaces have no normal in the sky."""
        found = {name: self.data[name][indices] for name in self.data}
        pictures = found["picture"].float() / 255
        classes = found["semantics"].long()
        ground = classes != 0
        normals = found["normals"].float() / 127
        values = {
            "semantics": classes,
            "depth": relative_depth(found["depth"].float()[:, None]),
            "normals": F.normalize(normals, dim=1),
            "curvature": self.curvature[indices].float() * (_CURVATURE / 127),
            "edges": texture_edges(pictures),
        }
        valid = {"normals": ground, "curvature": ground}
        made = LabelStack.of(PRIMITIVES, values, valid)
        return pictures * 2 - 1, made, areas(classes, found["instance"].long())


class Eye(nn.Module):
    """The way down of judge-tiny: features for the perceptual loss.

    FID of the tiny benchmarks looks through clip-tiny, so nobody learns for that test.
    """

    weights = (0.25, 0.5, 1.0, 1.0)

    def __init__(self, judge: JudgeNet) -> None:
        """Frozen."""
        super().__init__()
        self.judge = judge.requires_grad_(False).eval()

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Maps of all levels."""
        x = self.judge.stem(pictures)
        maps = [x]
        for block in self.judge.down:
            x = block(F.avg_pool2d(x, 2))
            maps.append(x)
        return maps


def task(plan: Plan, samples: Rendered, device: str = "cpu") -> GameTask:
    """A model with fresh weights, its opponent, and what they learn from."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(SEED)
        painter = Painter(plan.config())
        opponent = discriminator_for(painter, plan.game, narrow=24, layers=3)
    painter.merger.recompute = False  # half a GiB is there
    eye = Eye(JudgeNet.load(resolve("judge-tiny"))).to(device)
    eye.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return GameTask(painter, opponent, samples, plan.game, eye)


def train(
    model: str,
    folder: Path,
    device: str = "cpu",
    resume: bool = True,
    steps: int | None = None,
) -> None:
    """Train one of `PLANS` in `folder` and write ``folder/export``."""
    made = task(PLANS[model], Rendered(folder.parent), device)
    stages.run(made, CONFIG, folder / "game", device=device, resume=resume, steps=steps)
    if stages.first():
        made.painter.save(folder / "export")
