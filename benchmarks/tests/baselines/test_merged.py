"""One map of several: the nearest surface, or layers pasted by z."""

import numpy as np
import pytest
import torch

from compose_benchmarks.baselines.controlnet import ControlNetMethod
from compose_benchmarks.baselines.merged import one_exemplar, one_map
from compose_core.errors import UsageError


def map_of(scene, merge):
    found = one_map(scene, merge)
    assert found.shape == (1, 3, 64, 64) and torch.equal(found[:, 0], found[:, 2])
    return found[0, 0].numpy()


def test_the_nearest_is_seen_whatever_its_z(scene, maps):
    ground, box, mask = maps
    for z in (1.0, -1.0):
        near = map_of(scene(front={"z": z}), "nearest")
        # The farthest layer fills the picture; values of the files are those of one ground.
        wanted = np.where(mask, np.maximum(ground, box), ground)
        if z < 0:
            wanted = np.maximum(ground, box)
        np.testing.assert_allclose(near, wanted, atol=1e-4)


def test_pasted_layers_are_ordered_by_z(scene, maps):
    ground, box, mask = maps
    ahead = map_of(scene(), "pasted")
    np.testing.assert_allclose(ahead, np.where(mask, box, ground), atol=1e-4)
    behind = map_of(scene(front={"z": -1.0}), "pasted")
    np.testing.assert_allclose(behind, ground, atol=1e-4)


def test_only_layers_with_depth_count(scene, maps):
    _, box, _ = maps
    alone = map_of(scene(back={"depth": None, "prompt": "grass"}), "nearest")
    np.testing.assert_allclose(alone, box, atol=1e-4)
    bare = scene(back={"depth": None, "prompt": "grass"}, front={"depth": None})
    assert one_map(bare) is None


def test_the_nearest_exemplar_speaks_for_all(scene):
    shown = {"exemplar": "red.png"}, {"exemplar": "blue.png"}
    red = np.array([1, 0, 0], np.float32)
    assert one_exemplar(scene()) is None
    assert (one_exemplar(scene(shown[0], shown[1])) == red).all()
    assert (one_exemplar(scene(None, shown[1])) == red[::-1]).all()


def test_ways_to_merge_are_known():
    with pytest.raises(UsageError, match="merge depth"):
        ControlNetMethod(merge="farthest")
