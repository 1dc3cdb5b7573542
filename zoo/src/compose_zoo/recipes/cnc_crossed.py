"""Pairs of objects that overlap, each in both orders: what order in depth is learned from.

In a rendered scene the nearer object stands lower in the picture and looks larger, so a network
may read the order off these and never ask which of the two maps is the foreground. Here the same
two maps occur in both roles. Where the farther object shall cover the nearer one, its own picture
is laid over the scene; the ground and both shadows stay as they are.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor
from torch.nn import functional as F
from transformers import CLIPTokenizer

from compose_worlds.primitives import draw
from compose_worlds.primitives.captions import Claim, mirrored, phrase
from compose_worlds.primitives.labels import labels
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS, Scene, Setting, Solid, stack, toy
from compose_zoo.recipes.denoiser import CAPTIONS

PAIRS = range(2048)
"""Their numbers; each gives two pictures."""
_SEED = 1 << 40
"""So far from the numbers of scenes that no pair is drawn from a scene's dice."""
_SHARED, _LEAST = 0.12, 40
"""The overlap is at least such a share of the smaller object, which shows so many pixels more."""
_TRIES, _BATCH, _FINER = 12, 32, 4


@dataclass(frozen=True)
class Crossed:
    """2 N pictures of N pairs; of each pair first the one in which the first covers the second.

    Attributes:
        pictures: (2 N, 3, H, W) uint8.
        backgrounds: The covered object alone, likewise.
        depth_fg: (2 N, H, W) inverse depth of the covering object in 1 / metre, 0 elsewhere.
        depth_bg: Of the scene with the covered one alone.
        tokens: (4 N CAPTIONS, L): as they are, then mirrored.
    """

    pictures: Tensor
    backgrounds: Tensor
    depth_fg: Tensor
    depth_bg: Tensor
    tokens: Tensor


def load(folder: Path, words: CLIPTokenizer, pairs: range = PAIRS) -> Crossed:
    """Read the pictures of pairs, making them first if need be."""
    kept = folder / f"crossed-{pairs.start}-{pairs.stop}.safetensors"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        save_file(vars(make(pairs, words)), partial)
        partial.replace(kept)
    return Crossed(**load_file(kept))


def make(pairs: range, words: CLIPTokenizer, side: int = 64) -> Crossed:
    """Draw pairs, see `Crossed`."""
    found: list[dict[str, Tensor]] = []
    said: tuple[list[str], list[str]] = ([], [])
    for start in range(pairs.start, pairs.stop, _BATCH):
        scenes = invent(range(start, min(start + _BATCH, pairs.stop)), side)
        found.append(_shown(scenes, side))
        for number, scene in enumerate(scenes, start):
            for plain, flipped in _captions(scene, number):
                said[0].append(plain)
                said[1].append(flipped)
    options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    tokens = words(said[0] + said[1], **options).input_ids
    parts = {name: torch.cat([part[name] for part in found]) for name in found[0]}
    return Crossed(**parts, tokens=tokens)


def invent(numbers: range, side: int = 64) -> list[Scene]:
    """Two objects each, of different shapes and colours, that overlap in the picture."""
    found: dict[int, Scene] = {}
    dice = {number: Generator().manual_seed(_SEED + number) for number in numbers}
    while len(found) < len(numbers):
        tries = [n for n in numbers if n not in found for _ in range(_TRIES)]
        some = [_pair(draw.empty(_SEED + n).setting, dice[n]) for n in tries]
        outlines = labels(stack(some), (side, side)).amodal
        for number, scene, (one, other) in zip(tries, some, outlines, strict=True):
            shared, least = int((one & other).sum()), int(min(one.sum(), other.sum()))
            if number not in found and shared > _SHARED * least and least - shared > _LEAST:
                found[number] = scene
    return [found[number] for number in numbers]


def _pair(setting: Setting, dice: Generator) -> Scene:
    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=dice))

    shapes = torch.randperm(len(SHAPES), generator=dice)[:2].tolist()
    colors = torch.randperm(len(COLORS), generator=dice)[:2].tolist()
    slope = 2 * math.tan(math.radians(setting.fov) / 2)
    near = between(3.2, 4.8)
    made: list[Solid] = []
    for shape, color, z in zip(shapes, colors, (near, near + between(0.0, 2.2)), strict=True):
        size, yaw = between(0.5, 0.85), between(-40, 40)
        made.append(toy(SHAPES[shape], list(COLORS)[color], 0.0, z, size=size, yaw=yaw))
    first, second = (draw.seen(solid, setting) for solid in made)
    aside = between(-0.3, 0.3)
    reach = between(-1.0, 1.0) * (first.radius + second.radius)
    places = (aside * slope * first.depth, (aside + reach) * slope * second.depth)
    solids = [replace(s, position=(x, *s.position[1:])) for s, x in zip(made, places, strict=True)]
    return Scene(solids=tuple(solids), setting=setting)


def _shown(scenes: list[Scene], side: int) -> dict[str, Tensor]:
    """Both orders of scenes."""
    size = (side, side)
    alone = [Scene(solids=(x,), setting=scene.setting) for scene in scenes for x in scene.solids]
    world = stack(alone)
    single, seen = picture(world, size).unflatten(0, (-1, 2)), labels(world, size)
    outline = seen.amodal[:, 0].unflatten(0, (-1, 2))
    depth = seen.inverse_depth[:, 0].unflatten(0, (-1, 2))
    fine = labels(world, (_FINER * side, _FINER * side)).amodal[:, :1].float()
    cover = F.avg_pool2d(fine, _FINER).unflatten(0, (-1, 2))
    both = picture(stack(scenes), size)[:, None]
    # Both objects as they stand, and over that the one in front.
    shown = both + cover * (single - both)
    front = torch.where(outline, depth, 0.0)
    return {
        "pictures": (shown * 255).round().to(torch.uint8).flatten(0, 1),
        "backgrounds": (single.flip(1) * 255).round().to(torch.uint8).flatten(0, 1),
        "depth_fg": front.half().flatten(0, 1),
        "depth_bg": depth.flip(1).half().flatten(0, 1),
    }


def _captions(scene: Scene, number: int) -> list[tuple[str, str]]:
    """Captions of both pictures, plain and for the mirrored one: they do not tell the order."""
    dice = Generator().manual_seed(_SEED + number)
    claims = [Claim(solid.shape, str(solid.color)) for solid in scene.solids]
    made: list[tuple[str, str]] = []
    for _ in range(2 * CAPTIONS):
        order = claims if float(torch.rand((), generator=dice)) < 0.5 else claims[::-1]
        pair = [phrase(order, None, scene.setting.environment, dice) for _ in range(2)]
        made.append((pair[0].text, mirrored(pair[1]).text))
    return made
