"""What the tests of this package share."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from compose_core.testing.devices import device  # noqa: F401 (a fixture)
from compose_tlam.testing import random_stack, tiny_painter


@pytest.fixture
def dice():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def draw():
    """A stack of noise; the same for the same shape and seed."""

    def make(*shape, seed=0, **options):
        return random_stack(shape, torch.Generator().manual_seed(seed), **options)

    return make


SIDE = 16


def block(camera, proxies, width, height):
    """A renderer of upright boards: half as wide and high as the picture, at their z."""
    found = []
    for proxy in proxies:
        x, _, z = proxy.position
        rows = np.arange(height)[:, None].repeat(width, 1)
        ground = rows >= height // 2
        depth = np.where(ground, 0.1 + 0.02 * (rows - height // 2), 0.0).astype(np.float32)
        mask = np.zeros((height, width), np.float32)
        left = int((0.25 + x) * width)
        mask[height // 4 : 3 * height // 4, max(left, 0) : max(left + width // 2, 0)] = 1
        solid = mask > 0.5
        depth = np.where(solid, np.float32(1 / z), depth)
        normals = np.zeros((height, width, 3), np.float32)
        normals[..., 2] = 1
        normals[ground & ~solid] = (0, 1, 0)
        segments = np.where(solid, 4, np.where(ground, 1, 0)).astype(np.int64)
        curvature = np.zeros((height, width, 2), np.float32)
        curvature[solid] = 1.5
        found.append(
            {
                "mask": mask,
                "depth": depth,
                "normals": normals,
                "curvature": curvature,
                "edges": mask,
                "segments": segments,
            }
        )
    return found


@pytest.fixture
def renderer(monkeypatch):
    """Proxies are drawn by `block`, whatever is installed."""
    import compose_core.scene.resolve as resolve
    import compose_tlam.edit as edit

    entry = SimpleNamespace(load=lambda: block)
    for module in (resolve, edit):
        monkeypatch.setattr(module, "entry_points", lambda group: [entry])
    return block


@pytest.fixture
def scene(renderer):
    """A scene of boards, by the z of each."""
    from compose_core.scene import build

    def make(*boards, size=SIDE, **more):
        layers = [
            {
                "name": f"board {n}",
                "proxy": {"shape": "cube", "position": [x, 0.5, z], "size": 0.5},
            }
            for n, (x, z) in enumerate(boards)
        ]
        return build(
            {"version": 1, "canvas": [size, size], "prompt": "a room", "layers": layers, **more}
        )

    return make


@pytest.fixture
def painter():
    return tiny_painter().eval()
