"""A simple articulated figure: capsules and a sphere, posed by joint angles.

In its own frame the figure is 1 high when it stands upright and looks along -z, towards a camera
at the origin; its left is at +x, on the right of the picture. Forward kinematics: a limb points
along R (0, -1, 0) with R = R_z(spread) R_x(swing) R_y(twist), its lower half along
R R_x(bend) (0, -1, 0), both after the lean of the trunk (for arms).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from compose_core.errors import SceneError, ShapeError
from compose_worlds.primitives import camera
from compose_worlds.primitives.names import known
from compose_worlds.primitives.poses import POSES, Limb, Pose
from compose_worlds.primitives.render import meet
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import Solid, World

RGB = tuple[float, float, float]
Point = tuple[float, float, float]

JOINTS: tuple[str, ...] = (
    "head",
    "neck",
    *("right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle"),
)
"""Names of the joints in the order of OpenPose; a joint's position here is its number."""

BONES: tuple[tuple[str, str], ...] = (
    ("head", "neck"),
    *(
        (f"{s}_{a}", f"{s}_{b}")
        for s in ("right", "left")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
    ),
    *(
        (f"{s}_{a}", f"{s}_{b}")
        for s in ("right", "left")
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ),
    *(("neck", f"{s}_{a}") for s in ("right", "left") for a in ("shoulder", "hip")),
)
"""Pairs of joints that a drawing of the skeleton connects."""

# Lengths as parts of the height.
_HIP, _HIP_HALF, _TRUNK = 0.455, 0.062, 0.33
_NECK, _HEAD = 0.115, 0.10
_SHOULDER_DROP, _SHOULDER_HALF = 0.04, 0.13
_ARM, _FOREARM, _THIGH, _SHIN, _FOOT = 0.155, 0.145, 0.215, 0.20, 0.075

_SKIN = 1.3
"""How far before a joint its skin may be met, over the radius of the thickest solid."""


class _Part(NamedTuple):
    """A capsule from `a` to `b` in the figure's frame; equal ends make a sphere."""

    a: Tensor
    b: Tensor
    radius: float
    paint: str


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure that stands somewhere.

    Attributes:
        x, z: where on the ground, in metres.
        base: height of what it stands on.
        height: in metres, when standing upright.
        yaw: turn about the vertical in degrees; 0 looks towards the camera.
        pose: the angles of its joints, or a name of `POSES`.
        shirt, trousers, skin, shoes: names of `COLORS` or RGB triples in [0, 1].

    Raises:
        SceneError: the height is not positive or the pose is unknown.
    """

    x: float = 0.0
    z: float = 4.0
    base: float = 0.0
    height: float = 1.5
    yaw: float = 0.0
    pose: Pose | str = "standing"
    shirt: str | RGB = "red"
    trousers: str | RGB = (0.20, 0.24, 0.36)
    skin: str | RGB = (0.93, 0.73, 0.58)
    shoes: str | RGB = (0.24, 0.18, 0.15)

    def __post_init__(self) -> None:
        """Refuse what could not be built."""
        if not self.height > 0:
            raise SceneError("a figure has no height", got=self.height, expected="more than 0")
        if isinstance(self.pose, str):
            known("pose", self.pose, POSES)

    def joints(self) -> dict[str, Point]:
        """Where the joints are in the world, in metres, in the order of `JOINTS`."""
        joints, parts = _build(POSES[self.pose] if isinstance(self.pose, str) else self.pose)
        return {name: _point(self._place(joints[name], parts)) for name in JOINTS}

    def solids(self, member: int) -> tuple[Solid, ...]:
        """Its solids, all parts of object number `member`; the lowest touches the ground."""
        _, parts = _build(POSES[self.pose] if isinstance(self.pose, str) else self.pose)
        return tuple(self._solid(part, parts, member) for part in parts)

    def _place(self, local: Tensor, parts: list[_Part]) -> Tensor:
        lowest = min(float(torch.minimum(p.a[1], p.b[1])) - p.radius for p in parts)
        turned = _turn("y", self.yaw) @ local * self.height
        up = self.base - lowest * self.height
        return turned + turned.new_tensor([self.x, up, self.z])

    def _solid(self, part: _Part, parts: list[_Part], member: int) -> Solid:
        a, b = self._place(part.a, parts), self._place(part.b, parts)
        half = float((b - a).norm()) / 2
        radius = part.radius * self.height
        ball = half < 1e-6
        return Solid(
            shape="sphere" if ball else "capsule",
            color=getattr(self, part.paint),
            position=_point((a + b) / 2),
            size=radius,
            rotation=None if ball else _along(b - a),
            aspect=1.0 if ball else half / radius,
            member=member,
            gloss=0.12,
            kind="figure",
        )


def _point(vector: Tensor) -> Point:
    x, y, z = vector.tolist()
    return x, y, z


def _turn(axis: str, degrees: float) -> Tensor:
    """Rotation matrix about a coordinate axis."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return torch.tensor(rows[axis], dtype=torch.float64)


def _along(direction: Tensor) -> tuple[tuple[float, ...], ...]:
    """A rotation that takes y to `direction`."""
    y = direction / direction.norm()
    helper = y.new_tensor([1.0, 0, 0] if abs(float(y[0])) < 0.9 else [0, 0, 1.0])
    x = torch.linalg.cross(y, helper)
    x = x / x.norm()
    return tuple(map(tuple, torch.stack([x, y, torch.linalg.cross(x, y)], 1).tolist()))


def _build(pose: Pose) -> tuple[dict[str, Tensor], list[_Part]]:
    """Joints and parts in the figure's frame, at height 1."""
    vector = _turn("x", 0.0).new_tensor
    trunk = _turn("x", -pose.lean)
    hip = vector([0.0, _HIP, 0.0])
    neck = hip + trunk @ vector([0.0, _TRUNK, 0.0])
    head = neck + trunk @ _turn("x", -pose.nod) @ vector([0.0, _NECK, 0.0])
    joints = {"head": head, "neck": neck}
    parts = [
        _Part(head, head, _HEAD, "skin"),
        _Part(neck, head, 0.04, "skin"),
        _Part(
            hip + trunk @ vector([0.0, 0.03, 0.0]),
            neck - trunk @ vector([0, 0.07, 0]),
            0.088,
            "shirt",
        ),
    ]
    shoulders: list[Tensor] = []
    for side, name in ((-1.0, "right"), (1.0, "left")):
        arm, leg = (pose.right_arm, pose.right_leg) if side < 0 else (pose.left_arm, pose.left_leg)
        shoulder = neck + trunk @ vector([side * _SHOULDER_HALF, -_SHOULDER_DROP, 0.0])
        shoulders.append(shoulder)
        elbow, wrist, _ = _limb(shoulder, trunk, arm, side, (_ARM, _FOREARM), 1.0)
        start = hip + vector([side * _HIP_HALF, 0.0, 0.0])
        knee, ankle, shin = _limb(start, _turn("x", 0.0), leg, side, (_THIGH, _SHIN), -1.0)
        toe = ankle + shin @ vector([0.0, 0.0, -_FOOT])
        joints |= {f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_wrist": wrist}
        joints |= {f"{name}_hip": start, f"{name}_knee": knee, f"{name}_ankle": ankle}
        parts += [
            _Part(shoulder, elbow, 0.043, "shirt"),
            _Part(elbow, wrist, 0.036, "skin"),
            _Part(wrist, wrist, 0.046, "skin"),
            _Part(start, knee, 0.056, "trousers"),
            _Part(knee, ankle, 0.042, "trousers"),
            _Part(ankle, toe, 0.043, "shoes"),
        ]
    parts.append(_Part(shoulders[0], shoulders[1], 0.05, "shirt"))
    return joints, parts


def _limb(
    start: Tensor,
    frame: Tensor,
    limb: Limb,
    side: float,
    lengths: tuple[float, float],
    bends: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Middle and end of a limb and the frame of its lower half; `bends` +1 forwards, -1 back."""
    upper = frame @ _turn("z", side * limb.spread) @ _turn("x", limb.swing)
    upper = upper @ _turn("y", -side * limb.twist)
    lower = upper @ _turn("x", bends * limb.bend)
    middle = start + upper @ upper.new_tensor([0.0, -lengths[0], 0.0])
    return middle, middle + lower @ lower.new_tensor([0.0, -lengths[1], 0.0]), lower


@dataclass(frozen=True)
class Keypoints:
    """Where joints are seen.

    Attributes:
        at: (B, J, 2) fractions of the picture, x to the right and y down; outside [0, 1] when
            out of the picture.
        depth: (B, J) along the optical axis in metres.
        visible: (B, J) bool, whether the skin around the joint is what is seen there.
    """

    at: Tensor
    depth: Tensor
    visible: Tensor


def keypoints(world: World, joints: Tensor, aspect: float = 1.0) -> Keypoints:
    """Project joints of figures and find out which are seen.

    A joint is visible when the first solid on the ray to it is one that holds the joint, met not
    much farther before the joint than the thickest solid of its object is thick.

    Args:
        world: B scenes that hold the figures' solids.
        joints: (B, J, 3) in metres, see `Figure.joints`.
        aspect: width over height of the picture.

    Raises:
        ShapeError: `joints` has another shape.
    """
    if joints.ndim != 3 or joints.shape[0] != world.batch or joints.shape[2] != 3:
        raise ShapeError(
            "wrong shape of joints", got=tuple(joints.shape), expected=f"({world.batch}, J, 3)"
        )
    at, depth = camera.project(world, joints, aspect)
    eye = camera.origin(world)
    way = joints - eye
    hits = meet(world, eye, way)
    gap = (1 - hits.t).abs() * way.norm(dim=-1)
    skin = _SKIN * _thickest(world).gather(1, hits.winner.clamp_min(0))
    there = (hits.winner >= 0) & _holds(world, joints, hits.winner) & (gap <= skin)
    inside = ((at >= 0) & (at < 1)).all(-1) & (depth > 0)
    return Keypoints(at, depth, there & inside)


def _thickest(world: World) -> Tensor:
    """Largest radius among the solids of the same object: (B, K)."""
    member = world.member.clamp_min(0)
    largest = torch.zeros_like(world.size).scatter_reduce(1, member, world.size, "amax")
    return largest.gather(1, member)


def _holds(world: World, point: Tensor, solid: Tensor) -> Tensor:
    """Whether the spheres and capsules with these numbers (B, J) hold the points (B, J, 3)."""
    index = solid.clamp_min(0)
    rows = torch.arange(world.batch, device=index.device)[:, None]
    local = torch.einsum(
        "bjc,bjcd->bjd", point - world.position[rows, index], world.rotation[rows, index]
    )
    local = local / world.size[rows, index][..., None]
    shape = world.shape[rows, index]
    reach = torch.where(shape == SHAPES.index("capsule"), world.aspect[rows, index], 0.0)
    y = local[..., 1] - torch.maximum(torch.minimum(local[..., 1], reach), -reach)
    distance = torch.stack([local[..., 0], y, local[..., 2]], -1).norm(dim=-1)
    round_ = (shape == SHAPES.index("capsule")) | (shape == SHAPES.index("sphere"))
    return round_ & (distance <= 1.01)
