"""Every dense label of a world, exact and crisp: one ray through the centre of each pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from compose_worlds.primitives import camera
from compose_worlds.primitives.render import Hits, meet, picture
from compose_worlds.primitives.world import CLASSES, World


@dataclass(frozen=True)
class Labels:
    """Labels of B pictures of N objects, H x W pixels.

    Attributes:
        depth: (B, 1, H, W) distance along the optical axis in metres, inf in the sky.
        background_depth: the same without any object: the true hidden background.
        object_depth: (B, N, H, W) depth of each object alone (hidden parts too), inf outside.
        amodal: (B, N, H, W) bool, each object's whole outline, hidden parts included.
        instance: (B, H, W) number of the object seen, -1 for the background.
        semantics: (B, H, W) number of the class seen, see `CLASSES`.
        normals: (B, 3, H, W) unit normals in the camera's frame (x right, y up, z towards the
            camera); zero in the sky.
        curvature: (B, 2, H, W) principal curvatures in 1 / metre, larger magnitude first,
            positive where convex; zero on planes and in the sky.
    """

    depth: Tensor
    background_depth: Tensor
    object_depth: Tensor
    amodal: Tensor
    instance: Tensor
    semantics: Tensor
    normals: Tensor
    curvature: Tensor

    @property
    def visible(self) -> Tensor:
        """(B, N, H, W) bool, what is seen of each object."""
        number = torch.arange(self.amodal.shape[1], device=self.instance.device)
        return self.instance[:, None] == number[None, :, None, None]

    @property
    def inverse_depth(self) -> Tensor:
        """(B, 1, H, W) 1 / depth in 1 / metre: near is bright, the sky is 0."""
        return 1 / self.depth

    @property
    def boxes(self) -> Tensor:
        """(B, N, 4) boxes x0, y0, x1, y1 of the outlines as fractions; NaN when out of sight."""
        return boxes(self.amodal)


def relative_depth(inverse: Tensor) -> Tensor:
    """Inverse depth stretched to [0, 1] per picture: (B, 1, H, W), the convention of MiDaS.

    Near is bright; a constant picture becomes 0.
    """
    low, high = inverse.amin((-1, -2), keepdim=True), inverse.amax((-1, -2), keepdim=True)
    return (inverse - low) / (high - low).clamp_min(1e-8)


def boxes(masks: Tensor) -> Tensor:
    """Tight boxes x0, y0, x1, y1 as fractions: (..., H, W) bool -> (..., 4), NaN when empty."""
    height, width = masks.shape[-2:]
    rows, columns = masks.any(-1), masks.any(-2)

    def span(line: Tensor, length: int) -> tuple[Tensor, Tensor]:
        first = line.to(torch.int8).argmax(-1)
        last = length - line.flip(-1).to(torch.int8).argmax(-1)
        return first / length, last / length

    x0, x1 = span(columns, width)
    y0, y1 = span(rows, height)
    box = torch.stack([x0, y0, x1, y1], -1)
    return torch.where(masks.flatten(-2).any(-1)[..., None], box, torch.full_like(box, math.nan))


def _per_object(world: World, distance: Tensor) -> Tensor:
    """Nearest distance of each object: (B, K, P) per solid -> (B, N, P) per object."""
    batch, _, rays = distance.shape
    out = distance.new_full((batch, max(world.objects, 1), rays), math.inf)
    member = world.member.clamp_min(0)[..., None].expand_as(distance)
    return out.scatter_reduce(1, member, distance, "amin")


def _semantics(world: World, hits: Hits) -> Tensor:
    kind = world.kind.gather(1, hits.winner.clamp_min(0))
    ground = torch.full_like(kind, CLASSES.index("ground"))
    wall = torch.full_like(kind, CLASSES.index("wall"))
    rest = torch.where(hits.on_wall, wall, ground)
    rest = torch.where(hits.t.isinf(), torch.full_like(rest, CLASSES.index("sky")), rest)
    return torch.where(hits.winner >= 0, kind, rest)


def labels(world: World, size: tuple[int, int] = (64, 64)) -> Labels:
    """All labels of a batch of worlds at width x height pixels (see `Labels`)."""
    hits = meet(world, camera.origin(world), camera.rays(world, size))
    objects = _per_object(world, hits.solids)
    shown = objects < hits.background[:, None]
    member = world.member.gather(1, hits.winner.clamp_min(0))
    instance = torch.where(hits.winner >= 0, member, torch.full_like(member, -1))

    def image(flat: Tensor) -> Tensor:
        return flat.unflatten(-1, (size[1], size[0]))

    return Labels(
        depth=image(hits.t)[:, None],
        background_depth=image(hits.background)[:, None],
        object_depth=image(torch.where(shown, objects, torch.full_like(objects, math.inf))),
        amodal=image(shown),
        instance=image(instance),
        semantics=image(_semantics(world, hits)),
        normals=image(camera.to_camera(world, hits.normal).transpose(1, 2)),
        curvature=image(hits.curvature.transpose(1, 2)),
    )


def edges(rgb: Tensor, seen: Labels) -> Tensor:
    """Texture and occlusion edges.

    Args:
        rgb: (B, 3, H, W) in [0, 1].
        seen: the labels of the same pictures.

    Returns:
        (B, 2, H, W) in [0, 1]: the Sobel magnitude of the luminance, and 1 where two surfaces
        meet (another object, or depth that jumps by more than 5 %).
    """
    weight = rgb.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    gray = (rgb * weight).sum(1, keepdim=True)
    kernel = rgb.new_tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]) / 4
    padded = torch.nn.functional.pad(gray, (1, 1, 1, 1), mode="replicate")
    gx = torch.nn.functional.conv2d(padded, kernel[None, None])
    gy = torch.nn.functional.conv2d(padded, kernel.t()[None, None])
    texture = torch.hypot(gx, gy).clamp_max(1)
    return torch.cat([texture, occlusions(seen)[:, None].to(rgb)], 1)


def occlusions(seen: Labels) -> Tensor:
    """Where two surfaces meet: (B, H, W) bool, another object or depth that jumps by over 5 %."""
    near = seen.inverse_depth[:, 0]
    found = torch.zeros_like(seen.instance, dtype=torch.bool)
    for axis in (-1, -2):
        a, b = _neighbours(seen.instance, axis)
        da, db = _neighbours(near, axis)
        jump = (a != b) | ((da - db).abs() > 0.05 * torch.maximum(da, db).clamp_min(1e-6))
        found.narrow(axis, 0, a.shape[axis]).logical_or_(jump & ((a >= 0) | (b >= 0)))
    return found


def creases(seen: Labels, degrees: float = 30.0) -> Tensor:
    """Where an object's own surface turns sharply from one pixel to the next: (B, H, W) bool."""
    found = torch.zeros_like(seen.instance, dtype=torch.bool)
    for axis in (-1, -2):
        a, b = _neighbours(seen.instance, axis)
        na, nb = _neighbours(seen.normals, axis)
        sharp = (na * nb).sum(1) < math.cos(math.radians(degrees))
        found.narrow(axis, 0, a.shape[axis]).logical_or_(sharp & (a == b) & (a >= 0))
    return found


def _neighbours(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    length = values.shape[axis] - 1
    return values.narrow(axis, 0, length), values.narrow(axis, 1, length)


def centres(world: World, aspect: float = 1.0) -> Tensor:
    """Where the objects' centres are seen: (B, N, 2) fractions, NaN for absent objects."""
    count = max(world.objects, 1)
    there = (world.shape >= 0).to(world.size)
    member = torch.nn.functional.one_hot(world.member.clamp_min(0), count).to(world.size)
    share = member * there[..., None] * (world.size**3)[..., None]
    middle = torch.einsum("bkn,bkc->bnc", share, world.position) / share.sum(1)[..., None]
    at, _ = camera.project(world, middle.nan_to_num(0.0), aspect)
    return torch.where((share.sum(1) > 0)[..., None], at, torch.full_like(at, math.nan))


def background(world: World, size: tuple[int, int] = (64, 64), *, samples: int = 4) -> Tensor:
    """The true hidden background, (B, 3, H, W): shadows and contact darkening are gone too."""
    return picture(world.empty(), size, samples=samples)
