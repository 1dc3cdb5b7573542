"""Blocked-out solids of a scene file, rendered with every label.

Each proxy is rendered alone on the ground, so that its labels are complete where another solid
will hide it. A proxy's size is half its height: the radius of a sphere, the half edge of a cube.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compose_core.scene import Camera, Proxy
from compose_worlds.primitives import camera as pinhole
from compose_worlds.primitives.environments import ENVIRONMENTS
from compose_worlds.primitives.figure import Figure
from compose_worlds.primitives.labels import creases, labels, occlusions
from compose_worlds.primitives.names import known
from compose_worlds.primitives.poses import POSES
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import (
    COLORS,
    Scene,
    Setting,
    Solid,
    World,
    rest_height,
    stack,
    toy,
)

FIGURES: dict[str, str] = {"figure": "standing", **{f"{pose} figure": pose for pose in POSES}}
"""Shapes that stand for a posed figure, with the pose."""

_HEAT = 0.02
"""Standard deviation of a keypoint's heat as a fraction of the picture's height."""


def scene(camera: Camera, proxies: Sequence[Proxy], environment: str = "grass") -> Scene:
    """All proxies as one scene, for a look at what was blocked out.

    Raises:
        SceneError: a shape, colour or environment is unknown; the nearest known one is named.
    """
    solids = [s for n, proxy in enumerate(proxies) for s in _solids(proxy, n)]
    return Scene(solids=tuple(solids), setting=_setting(camera, environment))


def resolve(
    camera: Camera, proxies: Sequence[Proxy], width: int, height: int
) -> list[Mapping[str, NDArray[Any]]]:
    """Render the labels of proxies: the entry point of the group ``compose.proxies``.

    Args:
        camera: where they are seen from; it stands above the origin, so the middle column of
            the picture is x = 0 for any shape of the picture.
        proxies: solids (`SHAPES`) and figures (`FIGURES`).
        width: of the picture in pixels.
        height: of the picture in pixels; the field of view is vertical.

    Returns:
        For each proxy alone on the ground: ``mask`` (H, W) float32 in {0, 1}; ``depth`` (H, W)
        inverse depth in 1 / metre, near is larger, 0 in the sky; ``normals`` (H, W, 3), the sky
        facing the camera; ``curvature`` (H, W, 2) in 1 / metre; ``edges`` (H, W) in {0, 1},
        outlines and creases; ``segments`` (H, W) int64, numbers in
        `compose_worlds.primitives.world.CLASSES`; for figures also ``keypoints``
        (H, W, joints), a Gaussian at each joint in the picture, hidden or not.

    Raises:
        SceneError: a shape or colour is unknown; the nearest known one is named.
    """
    return [_render(camera, proxy, width, height) for proxy in proxies]


def _setting(camera: Camera, environment: str = "grass") -> Setting:
    known("environment", environment, list(ENVIRONMENTS))
    return Setting(
        environment=environment, height=camera.height, pitch=camera.pitch, fov=camera.fov
    )


def _render(camera: Camera, proxy: Proxy, width: int, height: int) -> dict[str, NDArray[Any]]:
    world = stack([Scene(solids=_solids(proxy, 0), setting=_setting(camera))])
    seen = labels(world, (width, height))
    sky = seen.depth[0, 0].isinf()
    facing = seen.normals.new_tensor([0.0, 0.0, 1.0])
    found = {
        "mask": seen.amodal[0, 0].float(),
        "depth": seen.inverse_depth[0, 0],
        "normals": torch.where(sky[..., None], facing, seen.normals[0].permute(1, 2, 0)),
        "curvature": seen.curvature[0].permute(1, 2, 0),
        "edges": (occlusions(seen) | creases(seen))[0].float(),
        "segments": seen.semantics[0],
    }
    if proxy.shape in FIGURES:
        found["keypoints"] = _heat(world, _figure(proxy), width, height)
    return {name: np.ascontiguousarray(values.numpy()) for name, values in found.items()}


def _solids(proxy: Proxy, member: int) -> tuple[Solid, ...]:
    known("shape of a proxy", proxy.shape, (*SHAPES, *FIGURES))
    known("colour of a proxy", proxy.color, COLORS)
    if proxy.shape in FIGURES:
        return _figure(proxy).solids(member)
    size = proxy.size / rest_height(proxy.shape, 1.0)
    at = toy(proxy.shape, proxy.color, 0.0, 0.0, size=size, yaw=proxy.rotation)
    return (replace(at, position=proxy.position, member=member),)


def _figure(proxy: Proxy) -> Figure:
    x, y, z = proxy.position
    return Figure(
        x=x,
        z=z,
        base=y - proxy.size,
        height=2 * proxy.size,
        yaw=proxy.rotation,
        pose=FIGURES[proxy.shape],
        shirt=proxy.color,
    )


def _heat(world: World, figure: Figure, width: int, height: int) -> Tensor:
    """(H, W, J): exp(-r^2 / 2 s^2) around each joint; 0 for joints outside the picture."""
    joints = torch.tensor([list(figure.joints().values())]).to(world.position)
    at, depth = pinhole.project(world, joints, width / height)
    x = (torch.arange(width) + 0.5) / height
    y = (torch.arange(height) + 0.5) / height
    dx = x[None, :, None] - at[0, :, 0] * (width / height)
    dy = y[:, None, None] - at[0, :, 1]
    inside = ((at >= 0) & (at < 1)).all(-1) & (depth > 0)
    return torch.exp(-(dx**2 + dy**2) / (2 * _HEAT**2)) * inside[0]
