"""What a scene says twice, or against itself: sentences for warnings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from compose_core.images import Array
from compose_core.scene.layer import Camera, Proxy
from compose_core.scene.model import Scene


def doubled(scene: Scene) -> list[str]:
    """Layers that say more than once where they are, and what rules, see `Scene.regions`."""
    return [
        f"layer {layer.name!r} has a box and a {other}: the {other} says where it is, not the box"
        for layer in scene.layers
        if layer.box is not None
        and (other := "mask" if layer.mask else "proxy" if layer.proxy else "")
    ]


def contradicted(scene: Scene, regions: Mapping[str, Array]) -> Iterator[str]:
    """Proxies that cover a nearer one: layers are ordered by z alone, whatever their position.

    Args:
        scene: the scene.
        regions: see `Scene.regions`; only proxies that overlap are compared.
    """
    camera = scene.camera or Camera()
    solids = [(layer, layer.proxy) for layer in scene.ordered if layer.proxy is not None]
    for place, (behind, near) in enumerate(solids):
        for front, far in solids[place + 1 :]:
            overlap = (regions[behind.name] * regions[front.name]).max() > 0.5
            if overlap and distance(camera, far) > distance(camera, near):
                yield (
                    f"layer {front.name!r} covers layer {behind.name!r}, although its proxy is "
                    "farther from the camera: give the nearer one the larger z"
                )


def distance(camera: Camera, proxy: Proxy) -> float:
    """From the camera to the centre of a proxy, in metres."""
    return math.dist((0.0, camera.height, 0.0), proxy.position)
