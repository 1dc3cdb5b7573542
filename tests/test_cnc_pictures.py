"""The grids of Compose and Conquer: what they are drawn from, and that each can be drawn."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("compose_benchmarks")
FOLDER = str(Path(__file__).resolve().parent.parent / "scripts" / "docs")


@pytest.fixture(scope="module")
def grids():
    if FOLDER not in sys.path:
        sys.path.insert(0, FOLDER)
    return importlib.import_module("cnc_pictures")


class Stand:
    """In the place of the models: grey pictures, and what was asked for."""

    def __init__(self):
        self.asked = []

    def draw(self, prompt, seeds, **conditions):
        self.asked.append({"prompt": prompt, **conditions})
        return [torch.full((3, 64, 64), 0.5)] * len(seeds)

    def estimate(self, rgb):
        return rgb.mean(0)

    def merged(self, prompt, seed, depth):
        return depth.expand(3, -1, -1)


@pytest.mark.parametrize("name", ["capabilities", "order", "louder", "lambdas", "versions"])
def test_every_grid_is_drawn(grids, name):
    stand = Stand()
    image = grids.GRIDS[name](stand)
    assert min(image.size) > 200 and stand.asked


def test_objects_that_are_ordered_overlap(grids):
    for one in grids.PAIRS:
        both = one.mask * one.turned.mask
        smaller = min(one.mask.sum(), one.turned.mask.sum())
        assert both.sum() > 0.1 * smaller, one.words


def test_a_scene_is_taken_apart_at_its_first_object(grids):
    for one in grids.PAIRS:
        assert bool((one.near[one.mask == 0] == 0).all()) and float(one.near.max()) == 1
        assert bool((one.whole - one.turned.whole).abs().max() < 1e-5)  # the same scene
        assert float((one.far - one.turned.far).abs().max()) > 0.1


def test_every_sweep_has_the_same_depth_in_both_streams(grids):
    stand = Stand()
    grids.lambdas(stand)
    for asked in stand.asked:
        assert asked["depth_fg"] is asked["depth_bg"]
        assert len(asked["lambda_bg"]) == len(grids.LAMBDAS)
