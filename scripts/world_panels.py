"""One procedural scene and everything that is known about it, as pictures."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from compose_worlds.primitives import labels as measured
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import Scene, Setting, World, stack, toy
from sheet import Tile

# Calm colours that stay apart for the usual kinds of colour blindness (Okabe and Ito, 2008).
PALETTE = torch.tensor(
    [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0]]
)


def world() -> World:
    """A small still life in which things hide one another."""
    toys = (
        toy("cylinder", "blue", -0.95, 4.8, size=0.6),
        toy("sphere", "red", -0.35, 3.9, size=0.62),
        toy("cube", "yellow", 0.72, 4.4, size=0.68, yaw=28.0),
        toy("torus", "purple", 0.35, 3.2, size=0.42),
        toy("cone", "white", -1.0, 3.4, size=0.42),
    )
    return stack([Scene(solids=toys, setting=Setting(environment="grass", fov=46.0))])


def panels(size: int) -> list[Tile]:
    """Render the scene and each of its labels as a square tile."""
    scene, shape = world(), (size, size)
    rgb = picture(scene, shape)
    known = measured.labels(scene, shape)
    edges = measured.edges(rgb, known)
    near = measured.relative_depth(known.inverse_depth)
    shown = {
        "picture": rgb[0],
        "depth, near is bright": near[0].expand(3, -1, -1),
        "whole outlines, hidden parts too": _outlines(known.amodal[0]),
        "semantics": _classes(known.semantics[0]),
        "normals": known.normals[0] / 2 + 0.5,
        "principal curvature": _curvature(known.curvature[0]),
        "edges: texture, occlusion": _two_inks(edges[0]),
        "the hidden background": measured.background(scene, shape)[0],
    }
    return [Tile(_image(values), caption) for caption, values in shown.items()]


def _image(values: Tensor) -> Image.Image:
    pixels = (values.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels.contiguous().numpy(), "RGB")


def _colors(count: int) -> Tensor:
    return (PALETTE[torch.arange(count) % len(PALETTE)] / 255)[:, :, None, None]


def _outlines(masks: Tensor) -> Tensor:
    """Lay (N, H, W) masks over white, half transparent, so that overlaps show."""
    page = torch.ones(3, *masks.shape[1:])
    for color, mask in zip(_colors(len(masks)), masks, strict=True):
        page = torch.where(mask, 0.45 * page + 0.55 * color, page)
    return page


def _classes(numbers: Tensor) -> Tensor:
    """Give every class its colour; sky, ground and wall are pale."""
    pale = torch.tensor([[0.86, 0.92, 0.97], [0.87, 0.91, 0.82], [0.93, 0.90, 0.86]])
    table = torch.cat([pale, PALETTE / 255])
    return table[numbers % len(table)].permute(2, 0, 1)


def _curvature(values: Tensor) -> Tensor:
    """Squash 1 / metre into colours: convex is warm, concave is cool, flat is pale."""
    warm, cool = torch.tensor([0.84, 0.37, 0.0]), torch.tensor([0.0, 0.45, 0.70])
    strength = (values / 4).tanh().mean(0)
    paper = torch.full((3, 1, 1), 0.94)
    ink = torch.where(strength > 0, warm[:, None, None], cool[:, None, None])
    return paper + strength.abs() * (ink - paper)


def _two_inks(values: Tensor) -> Tensor:
    """Texture in grey, occlusion in blue, on white."""
    texture, occlusion = values
    blue = torch.tensor([0.0, 0.45, 0.70])[:, None, None]
    page = (1 - (2.5 * texture).clamp(0, 0.8)).expand(3, -1, -1)
    return torch.where(occlusion > 0, blue, page)
