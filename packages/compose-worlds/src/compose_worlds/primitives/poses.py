"""Poses: the joint angles of a figure, some by name and any number by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch


class Limb(NamedTuple):
    """Angles of an arm or a leg in degrees; all zero hangs straight down.

    Attributes:
        swing: forwards.
        spread: outwards, away from the other side.
        bend: of the elbow or knee; both only bend the way people's do.
        twist: turns the plane of the bend from forwards to outwards.
    """

    swing: float = 0.0
    spread: float = 0.0
    bend: float = 0.0
    twist: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Pose:
    """The angles of all joints in degrees; left and right are the figure's own.

    Attributes:
        lean: of the trunk, forwards.
        nod: of the head, forwards.
        left_arm, right_arm, left_leg, right_leg: the limbs.
    """

    lean: float = 0.0
    nod: float = 0.0
    left_arm: Limb = Limb(spread=10, bend=10)
    right_arm: Limb = Limb(spread=10, bend=10)
    left_leg: Limb = Limb(spread=4)
    right_leg: Limb = Limb(spread=4)


POSES: dict[str, Pose] = {
    "standing": Pose(),
    "walking": Pose(
        lean=5,
        left_arm=Limb(swing=-32, spread=6, bend=14),
        right_arm=Limb(swing=34, spread=6, bend=28),
        left_leg=Limb(swing=30, spread=2, bend=6),
        right_leg=Limb(swing=-24, spread=2, bend=18),
    ),
    "waving": Pose(right_arm=Limb(spread=108, bend=62, twist=90)),
    "sitting": Pose(
        lean=3,
        left_arm=Limb(swing=34, spread=10, bend=34),
        right_arm=Limb(swing=34, spread=10, bend=34),
        left_leg=Limb(swing=88, spread=8, bend=88),
        right_leg=Limb(swing=88, spread=8, bend=88),
    ),
    "cheering": Pose(
        nod=-10,
        left_arm=Limb(spread=140, bend=18, twist=90),
        right_arm=Limb(spread=140, bend=18, twist=90),
        left_leg=Limb(spread=14),
        right_leg=Limb(spread=14),
    ),
}
"""Poses by name; "sitting" leaves the seat to the scene."""


def draw_pose(generator: torch.Generator) -> Pose:
    """Draw a pose: every angle on its own, uniform within what looks natural."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    def arm() -> Limb:
        return Limb(between(-40, 60), between(5, 140), between(0, 110), between(-20, 90))

    def leg() -> Limb:
        return Limb(between(-25, 50), between(2, 18), between(0, 45))

    return Pose(
        lean=between(-5, 15),
        nod=between(-12, 18),
        left_arm=arm(),
        right_arm=arm(),
        left_leg=leg(),
        right_leg=leg(),
    )
