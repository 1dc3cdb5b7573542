"""A tiny pipeline, a scene, and a call that takes little time."""

import numpy as np
import pytest
import torch

from compose_core.pipeline import ComposePipeline
from compose_core.scene import build
from compose_core.testing.folders import tiny_stable_diffusion


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tiny_stable_diffusion(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="session")
def pipe(folder):
    pipe = ComposePipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def scene():
    layers = [
        {"name": "ball", "prompt": "a red sphere", "box": [0.1, 0.3, 0.5, 0.9], "z": 1.0},
        {"name": "cube", "prompt": "a blue cube", "box": [0.4, 0.2, 0.9, 0.8]},
    ]
    return build({"version": 1, "canvas": [64, 64], "prompt": "toys", "seed": 3, "layers": layers})


@pytest.fixture(scope="session")
def seeded():
    """Generators of given seeds; a single one bare."""

    def make(*seeds):
        made = [torch.Generator().manual_seed(s) for s in seeds]
        return made if len(made) > 1 else made[0]

    return make


@pytest.fixture(scope="session")
def run(seeded):
    """Pictures (B, 3, H, W) of two steps; options change the call."""

    def pictures(pipe, what="a red sphere", **options):
        given = {"num_inference_steps": 2, "output_type": "pt", "generator": seeded(0)}
        return pipe(what, **{**given, **options}).images

    return pictures


@pytest.fixture(scope="session")
def close():
    """Refuse arrays that differ by more than a bound somewhere."""

    def check(a, b, bound=1e-4):
        assert np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max() < bound

    return check
