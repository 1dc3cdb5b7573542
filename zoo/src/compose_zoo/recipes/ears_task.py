"""What `ears-tiny` learns: chord, scale, tempo, who plays, how they sound, and how much it hisses.

Heads are linear, so that what they name lies open in the vectors whose distances are measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Generator, LongTensor, Tensor, nn
from torch.nn import functional as F

from compose_core.train import Task, TrainConfig
from compose_metrics.audio import ears
from compose_worlds.stems import cache
from compose_worlds.stems.facts import Labels, labels
from compose_worlds.stems.song import FASTEST, SLOWEST, STEMS, Song, draw
from compose_worlds.stems.theory import signature
from compose_zoo.recipes.dde_songs import CLIP, RATE, SONGS

CONFIG = TrainConfig(
    steps=900,
    batch_size=64,
    lr=2e-3,
    seed=11,
    warmup=50,
    hold=0.4,
    ema=0.995,
    precision="bf16",
    checkpoint_every=150,
    validate_every=300,
)
HEADS = {"chord": 24, "scale": 12, "tempo": 12, "plays": 4, "patch": 12, "noise": 1}
"""Sizes of the heads; a patch is one of three of each stem."""

_STEP = ears.STEP * ears.HOP


class EarsTask(Task):
    """Mixes of cached songs, louder or softer, with more or less white noise."""

    def __init__(self, folder: Path, songs: range = SONGS, held_out: int = 128) -> None:
        """Read the cache; songs from `cache.HELD_OUT` on are held out."""
        self.stems = cache.load(folder, songs, RATE, CLIP)
        self.songs = songs
        self.held_out = range(cache.HELD_OUT, cache.HELD_OUT + held_out)
        self.folder = folder
        self.places = (CLIP - ears.SHORTEST) // _STEP + 1
        self._known = [told(number) for number in songs]
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(0)
            self.network = ears.EarsNet()
            self.heads = nn.Linear(ears.DIM, sum(HEADS.values()))

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The network, and heads that are not kept."""
        return {"ears": self.network, "heads": self.heads}

    @property
    def size(self) -> int:
        """Patches, without counting their overlaps twice."""
        return len(self.songs) * self.places

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Sound (B, T) and labels."""
        rows = [(i % len(self.songs), i // len(self.songs) * _STEP) for i in indices.tolist()]
        return gather(self.stems, self._known, rows)

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropies, and the squared error of the noise level."""
        x = batch["x"]
        shape = (len(x), 1)
        options = {"generator": generator, "device": x.device}
        level = 0.35 * torch.randn(shape, **options)
        noise = -9 + 7 * torch.rand(shape, **options)  # natural logarithm of its amplitude
        x = x * level.exp() + noise.exp() * torch.randn(x.shape, **options)
        told = dict(batch, noise=(noise - level)[:, 0])
        return judged(self.heads(self.network(seen(x))), told)

    @torch.no_grad()
    def validate(self, modules: Mapping[str, nn.Module]) -> dict[str, float]:
        """Shares of right names in clean patches of songs never heard."""
        stems = cache.load(self.folder, self.held_out, RATE, CLIP)
        known = [told(number) for number in self.held_out]
        rows = [(row, place * _STEP) for row in range(len(stems)) for place in (3, 12, 20)]
        batch = gather(stems, known, rows)
        x = batch["x"] + 1e-4 * torch.randn(batch["x"].shape, generator=Generator().manual_seed(0))
        out = split(modules["heads"](modules["ears"](seen(x))))
        right = {
            name: float((out[name].argmax(1) == batch[name]).float().mean())
            for name in ("chord", "scale", "tempo")
        }
        right["plays"] = float(((out["plays"] > 0) == (batch["plays"] > 0)).float().mean())
        chosen = out["patch"].unflatten(1, (4, 3)).argmax(2)
        hits = (chosen == batch["patch"])[batch["plays"] > 0]
        return right | {"patch": float(hits.float().mean())}


def seen(x: Tensor) -> Tensor:
    """Patches (B, 1, 128, 40) of sounds (B, T) that are one patch long."""
    return torch.cat([ears.patches(one)[:1] for one in x.float()])


class Known(NamedTuple):
    """What is known of a cached song: also the second of it at which the cache begins."""

    song: Song
    labels: Labels
    start: float


def told(number: int) -> Known:
    """What is known of cached song ``number``."""
    song = draw(number, CLIP / RATE + 62)
    return Known(song, labels(song), cache.start_of(number, RATE) / RATE)


def gather(stems: Tensor, known: list[Known], rows: list[tuple[int, int]]) -> dict[str, Tensor]:
    """Mixes and labels of patches, given by row and first sample."""
    cut = torch.stack([stems[r, :, s : s + ears.SHORTEST] for r, s in rows]).float() / cache.SCALE
    found: dict[str, list[int]] = {"chord": [], "scale": [], "tempo": []}
    patches: list[tuple[int, ...]] = []
    for row, start in rows:
        about = known[row]
        song, time = about.song, about.start + (start + ears.SHORTEST / 2) / RATE
        chord = about.labels.chord_at(time)
        found["chord"].append(chord.root + 12 * (chord.quality == "minor"))
        found["scale"].append(signature(song.tonic, song.mode))
        found["tempo"].append(int(12 * (song.tempo - SLOWEST) / (FASTEST - SLOWEST)))
        patches.append(song.patches)
    made = {name: torch.tensor(values) for name, values in found.items()}
    plays = (cut.square().mean(2) > 1e-6).float()
    return made | {"x": cut.sum(1), "plays": plays, "patch": torch.tensor(patches)}


def split(out: Tensor) -> dict[str, Tensor]:
    """The heads' answers by name."""
    return dict(zip(HEADS, out.float().split(list(HEADS.values()), 1), strict=True))


def judged(out: Tensor, told: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """The loss and its parts."""
    said = split(out)
    parts = {name: F.cross_entropy(said[name], told[name]) for name in ("chord", "scale", "tempo")}
    parts["plays"] = F.binary_cross_entropy_with_logits(said["plays"], told["plays"])
    kinds = said["patch"].unflatten(1, (len(STEMS), 3)).flatten(0, 1)
    each = F.cross_entropy(kinds, told["patch"].flatten(), reduction="none")
    there = told["plays"].flatten()
    parts["patch"] = (each * there).sum() / there.sum().clamp_min(1)
    parts["noise"] = 0.2 * (said["noise"][:, 0] - told["noise"]).square().mean()
    return torch.stack(list(parts.values())).sum(), {
        k: float(v.detach()) for k, v in parts.items()
    }
