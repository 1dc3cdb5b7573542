"""Scenes of solids as batches of tensors, and the plain description they are stacked from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from compose_core.errors import SceneError
from compose_worlds.primitives.names import known
from compose_worlds.primitives.solids import SHAPES, SOLIDS

SEMANTICS: tuple[str, ...] = ("sky", "ground", "wall", *SHAPES)
"""Names of the semantic classes of drawn scenes, in the order of their numbers."""

CLASSES: tuple[str, ...] = (*SEMANTICS, "figure")
"""All semantic classes: those of `SEMANTICS`, then those of objects made of several solids."""

COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.09, 0.09),
    "green": (0.08, 0.56, 0.16),
    "blue": (0.12, 0.26, 0.88),
    "yellow": (0.96, 0.84, 0.08),
    "purple": (0.56, 0.16, 0.74),
    "orange": (0.97, 0.47, 0.05),
    "white": (0.96, 0.96, 0.95),
    "black": (0.05, 0.05, 0.06),
}
"""The named colours; a colour's position here is its number in every label."""

TOY: dict[str, tuple[float, float]] = {"capsule": (0.52, 1.1)}
"""Scale and aspect that make a solid of `size` 1 about as big as the others of `size` 1."""


@dataclass(frozen=True, kw_only=True)
class Solid:
    """One solid of a scene, in metres; ``x`` right, ``y`` up, ``z`` away from the camera.

    Attributes:
        shape: a name of `SHAPES`.
        color: a name of `COLORS` or an RGB triple in [0, 1].
        position: the centre; `toy` finds the height at which a solid stands.
        size: scale of the unit solid (see `compose_worlds.primitives.solids`).
        yaw: turn about the vertical in degrees.
        rotation: full 3x3 rotation as nested tuples; replaces `yaw` when given.
        aspect: half length over radius, for capsules.
        member: number of the object this solid is a part of; None makes it one of its own.
        gloss: strength of the highlight.
        kind: a name of `CLASSES` that takes the place of the shape in semantics.

    Raises:
        SceneError: a name is unknown or a length is not positive.
    """

    shape: str
    color: str | tuple[float, float, float]
    position: tuple[float, float, float]
    size: float = 0.6
    yaw: float = 0.0
    rotation: tuple[tuple[float, ...], ...] | None = None
    aspect: float = 1.1
    member: int | None = None
    gloss: float = 0.35
    kind: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be rendered."""
        known("shape", self.shape, SHAPES)
        known("class", self.kind or self.shape, CLASSES)
        if isinstance(self.color, str):
            known("colour", self.color, COLORS)
        if not (self.size > 0 and self.aspect > 0):
            raise SceneError(
                f"a {self.shape} has no extent",
                got=f"size {self.size:g}, aspect {self.aspect:g}",
                expected="both above 0",
            )

    @property
    def rgb(self) -> tuple[float, float, float]:
        """The colour as an RGB triple in [0, 1]."""
        return COLORS[self.color] if isinstance(self.color, str) else self.color

    def matrix(self) -> list[list[float]]:
        """Rotation from the solid's frame to the world."""
        if self.rotation is not None:
            return [list(row) for row in self.rotation]
        c, s = math.cos(math.radians(self.yaw)), math.sin(math.radians(self.yaw))
        return [[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything but the solids.

    Attributes:
        environment: a name of `compose_worlds.primitives.environments.ENVIRONMENTS`.
        height: camera height in metres.
        pitch: camera pitch in degrees, down is positive.
        fov: vertical field of view in degrees.
        light: direction towards the light (azimuth, elevation) in degrees; azimuth 0 is behind
            the camera, positive to the right.
        phase: shifts the ground's texture, in metres.
    """

    environment: str = "grass"
    height: float = 1.2
    pitch: float = 10.0
    fov: float = 50.0
    light: tuple[float, float] = (-35.0, 50.0)
    phase: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A scene: its solids and their setting."""

    solids: tuple[Solid, ...] = ()
    setting: Setting = Setting()

    @property
    def objects(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the solids of each object, in order of first appearance."""
        groups: dict[object, list[int]] = {}
        for i, solid in enumerate(self.solids):
            key = ("own", i) if solid.member is None else ("member", solid.member)
            groups.setdefault(key, []).append(i)
        return tuple(tuple(g) for g in groups.values())


def toy(
    shape: str,
    color: str | tuple[float, float, float],
    x: float,
    z: float,
    *,
    size: float = 0.6,
    yaw: float = 0.0,
    base: float = 0.0,
) -> Solid:
    """A solid that stands at (x, z) on the height `base`, about as big as others of its size."""
    scale, aspect = TOY.get(shape, (1.0, 1.1))
    position = (x, base + rest_height(shape, size), z)
    return Solid(
        shape=shape, color=color, position=position, size=size * scale, yaw=yaw, aspect=aspect
    )


def rest_height(shape: str, size: float) -> float:
    """Height of the centre of a toy of `size` above what it stands on, in metres."""
    scale, aspect = TOY.get(shape, (1.0, 1.1))
    rest = SOLIDS[SHAPES.index(shape)].rest + (aspect if shape == "capsule" else 0.0)
    return rest * size * scale


@dataclass(frozen=True)
class World:
    """B scenes of up to K solids, N objects as tensors; absent solids have shape -1.

    Attributes:
        shape: (B, K) numbers in `SHAPES`.
        position, size, aspect, rotation: (B, K, 3), (B, K), (B, K), (B, K, 3, 3).
        color, gloss: (B, K, 3), (B, K).
        member: (B, K) number of the object that the solid is a part of.
        kind: (B, K) number of its class in `CLASSES`.
        environment: (B,) numbers in `ENVIRONMENTS`.
        light: (B, 3) unit vectors towards the light.
        camera: (B, 3) height in metres, pitch and vertical field of view in radians.
        phase: (B,) texture shift.
    """

    shape: Tensor
    position: Tensor
    size: Tensor
    aspect: Tensor
    rotation: Tensor
    color: Tensor
    gloss: Tensor
    member: Tensor
    kind: Tensor
    environment: Tensor
    light: Tensor
    camera: Tensor
    phase: Tensor

    @property
    def batch(self) -> int:
        """Number of scenes."""
        return self.shape.shape[0]

    @property
    def objects(self) -> int:
        """Largest number of objects in a scene."""
        return int(self.member.max()) + 1 if self.member.numel() else 0

    def to(self, device: torch.device | str) -> World:
        """The same worlds on another device."""
        return World(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def double(self) -> World:
        """The same worlds in double precision: all that is rendered from them follows."""
        found: dict[str, Tensor] = {f.name: getattr(self, f.name) for f in fields(self)}
        return World(**{k: v.double() if v.is_floating_point() else v for k, v in found.items()})

    def without(self, objects: Tensor) -> World:
        """The same worlds without some objects: (B, N) bool, True removes."""
        gone = objects.gather(1, self.member.clamp_min(0)) & (self.member >= 0)
        return replace(self, shape=torch.where(gone, torch.full_like(self.shape, -1), self.shape))

    def empty(self) -> World:
        """The same settings without any solid: the true hidden background."""
        return replace(self, shape=torch.full_like(self.shape, -1))


def _light(setting: Setting) -> list[float]:
    azimuth, elevation = (math.radians(a) for a in setting.light)
    flat = math.cos(elevation)
    return [flat * math.sin(azimuth), math.sin(elevation), -flat * math.cos(azimuth)]


def stack(scenes: Sequence[Scene], device: torch.device | str = "cpu") -> World:
    """Stack scenes of different numbers of solids into one batch.

    Raises:
        SceneError: there is no scene, or its environment is unknown.
    """
    from compose_worlds.primitives.environments import ENVIRONMENTS

    if not scenes:
        raise SceneError("there is nothing to stack", got="no scene", expected="at least one")
    count = max(1, *(len(s.solids) for s in scenes))
    names = list(ENVIRONMENTS)
    for scene in scenes:
        known("environment", scene.setting.environment, names)

    def table(row: list[list[object]], filler: object) -> Tensor:
        return torch.tensor([r + [filler] * (count - len(r)) for r in row])

    members = [
        [next(n for n, g in enumerate(s.objects) if i in g) for i in range(len(s.solids))]
        for s in scenes
    ]
    eye = [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]
    world = World(
        shape=table([[SHAPES.index(o.shape) for o in s.solids] for s in scenes], -1).long(),
        position=table([[list(o.position) for o in s.solids] for s in scenes], [0.0, 0.0, 0.0]),
        size=table([[float(o.size) for o in s.solids] for s in scenes], 1.0),
        aspect=table([[float(o.aspect) for o in s.solids] for s in scenes], 1.0),
        rotation=table([[o.matrix() for o in s.solids] for s in scenes], eye),
        color=table([[list(o.rgb) for o in s.solids] for s in scenes], [0.0, 0.0, 0.0]),
        gloss=table([[float(o.gloss) for o in s.solids] for s in scenes], 0.0),
        member=table([list(m) for m in members], -1).long(),
        kind=table(
            [[CLASSES.index(o.kind or o.shape) for o in s.solids] for s in scenes], -1
        ).long(),
        environment=torch.tensor([names.index(s.setting.environment) for s in scenes]),
        light=torch.tensor([_light(s.setting) for s in scenes]),
        camera=torch.tensor(
            [
                [s.setting.height, math.radians(s.setting.pitch), math.radians(s.setting.fov)]
                for s in scenes
            ]
        ),
        phase=torch.tensor([float(s.setting.phase) for s in scenes]),
    )
    return world.to(device)
