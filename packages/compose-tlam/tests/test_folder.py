"""Labels in folders: what is written is read; every bad file is named."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compose_core.errors import ComposeError, SceneError
from compose_tlam.folder import read_folder, read_scale, write_folder
from compose_tlam.labels import PRIMITIVES
from compose_tlam.stack import LabelStack
from compose_tlam.testing import random_stack


@given(st.integers(0, 40), st.sampled_from([1.0, 0.6]))
def test_what_is_written_is_read(tmp_path_factory, seed, present):
    folder = tmp_path_factory.mktemp("labels")
    stack = random_stack((1, 5, 7), torch.Generator().manual_seed(seed), present=present)
    write_folder(folder, stack, (0.01, 0.5))
    found = read_folder(folder, PRIMITIVES)
    steps = {"depth": 1 / 65535, "edges": 1 / 65535, "normals": 0.02, "curvature": 16 / 255}
    for name, layer in stack.layers.items():
        other = found.layers[name]
        assert torch.equal(other.valid, layer.valid)
        if name == "semantics":
            assert torch.equal(other.value[other.valid], layer.value[layer.valid])
            continue
        gap = (other.value - layer.value).abs().amax(1)[layer.valid]
        assert gap.numel() == 0 or float(gap.max()) <= steps[name]
    assert read_scale(folder) == (0.01, 0.5)


def save(path, values):
    Image.fromarray(values).save(path)


def test_any_subset_may_be_there_and_8_bits_will_do(tmp_path):
    save(tmp_path / "depth.png", np.full((4, 4), 255, np.uint8))
    found = read_folder(tmp_path, PRIMITIVES)
    assert set(found.layers) == {"depth"} and float(found.layers["depth"].value.min()) == 1
    assert read_scale(tmp_path) is None


def test_bad_files_are_named(tmp_path):
    with pytest.raises(SceneError, match="no labels in this folder"):
        read_folder(tmp_path, PRIMITIVES)
    save(tmp_path / "semantics.png", np.full((4, 4), 77, np.uint8))
    with pytest.raises(SceneError, match="semantics.png") as caught:
        read_folder(tmp_path, PRIMITIVES)
    assert "77" in str(caught.value)
    save(tmp_path / "semantics.png", np.zeros((4, 4), np.uint8))
    save(tmp_path / "depth.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(SceneError, match="differ in size"):
        read_folder(tmp_path, PRIMITIVES)
    (tmp_path / "depth.png").unlink()
    save(tmp_path / "normals.png", np.full((4, 4, 3), 255, np.uint8))
    with pytest.raises(SceneError, match="normals.png holds vectors that are not of unit"):
        read_folder(tmp_path, PRIMITIVES)
    (tmp_path / "normals.png").write_bytes(b"not a picture")
    with pytest.raises(SceneError, match="normals.png"):
        read_folder(tmp_path, PRIMITIVES)
    (tmp_path / "normals.png").unlink()
    save(tmp_path / "dept.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(SceneError, match="named after no label"):
        read_folder(tmp_path, PRIMITIVES)


@pytest.mark.parametrize("said", ["{", '{"inverse_depth": [2, 1]}', '{"inverse_depth": 3}', "{}"])
def test_bad_scales_are_refused(tmp_path, said):
    (tmp_path / "labels.json").write_text(said)
    with pytest.raises(SceneError, match="labels.json"):
        read_scale(tmp_path)


def test_labels_that_are_missing_everywhere_stay_so(tmp_path, draw):
    stack = draw(1, 4, 4, present=1.0).without("edges")
    write_folder(tmp_path, stack)
    found = read_folder(tmp_path, PRIMITIVES)
    assert isinstance(found, LabelStack) and not bool(found.layers["edges"].valid.any())
    assert json.dumps(sorted(p.name for p in tmp_path.iterdir())).count("valid") == 1


def test_what_was_there_of_other_labels_is_removed(tmp_path, draw):
    write_folder(tmp_path, draw(1, 8, 8, present=0.5), (0.1, 2.0))
    (tmp_path / "notes.txt").write_text("mine")
    only = LabelStack(PRIMITIVES, {"depth": draw(1, 8, 8, present=1.0).layers["depth"]})
    write_folder(tmp_path, only)
    assert {p.name for p in tmp_path.iterdir()} == {"depth.png", "notes.txt"}
    found = read_folder(tmp_path, PRIMITIVES)
    assert set(found.layers) == {"depth"} and bool(found.layers["depth"].valid.all())


def test_short_normals_are_refused_and_nothing_is_none(tmp_path):
    values = np.full((8, 8, 3), 128, np.uint8)
    save(tmp_path / "normals.png", values)
    assert not bool(read_folder(tmp_path, PRIMITIVES).layers["normals"].valid.any())
    values[..., 2] = 128 + 51  # 0.4
    save(tmp_path / "normals.png", values)
    with pytest.raises(SceneError, match="not of unit length"):
        read_folder(tmp_path, PRIMITIVES)


def test_a_model_of_fewer_labels_reads_the_same_folder(tmp_path, draw):
    write_folder(tmp_path, draw(1, 8, 8, present=1.0))
    assert set(read_folder(tmp_path, PRIMITIVES.only("semantics")).layers) == {"semantics"}
    (tmp_path / "edges.png").rename(tmp_path / "edgs.png")
    with pytest.raises(SceneError, match="named after no label"):
        read_folder(tmp_path, PRIMITIVES.only("semantics"))
    (tmp_path / "edgs.png").rename(tmp_path / "edges.PNG")
    with pytest.raises(SceneError, match="named after no label"):
        read_folder(tmp_path, PRIMITIVES)


def test_a_folder_that_cannot_be_is_said_before_anything_is_written(tmp_path, draw):
    (tmp_path / "file").write_text("")
    with pytest.raises(ComposeError, match="cannot be written there"):
        write_folder(tmp_path / "file", draw(1, 8, 8))
