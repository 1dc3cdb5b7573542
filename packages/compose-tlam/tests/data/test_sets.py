"""Data sets in their real formats, as small files: encodings, missing codes, bad input."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from compose_core.errors import SceneError
from compose_tlam.data.cityscapes import Cityscapes
from compose_tlam.data.nyu import NYU
from compose_tlam.data.taskonomy import Taskonomy

FIRST = torch.tensor([0])


def save(path, values, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(values)
    Image.fromarray(array.astype(np.uint16 if mode == "I;16" else np.uint8)).save(path)


def rooms(folder, *, classes=None, split=True):
    """One view of Taskonomy, 4 x 6 pixels; `split` names folders as the large release does."""
    size = (4, 6)
    depth = np.full(size, 1024)
    depth[0, 0] = 65535
    normals = np.full((*size, 3), 127)
    normals[..., 2] = 254
    curvature = np.full((*size, 3), 127)
    semantics = np.full(size, 3) if classes is None else classes
    semantics[1, 1] = 0
    files = {
        "rgb": ("rgb", "rgb", np.full((*size, 3), 200)),
        "depth": ("depth_zbuffer", "depth_zbuffer", depth),
        "normal": ("normal", "normal", normals),
        "curvature": ("principal_curvature", "principal_curvature", curvature),
        "edges": ("edge_texture", "edge_texture", np.full(size, 2621)),
        "semantics": ("segment_semantic", "segmentsemantic", semantics),
    }
    for kind, (home, domain, values) in files.items():
        deep = kind in ("depth", "edges")
        place = folder / (f"hall_{home}/{home}" if split else f"{home}/hall")
        save(place / f"point_12_view_3_domain_{domain}.png", values, "I;16" if deep else None)
    return folder


@pytest.mark.parametrize("split", [True, False])
def test_taskonomy_as_its_readme_says(tmp_path, split):
    made = Taskonomy(rooms(tmp_path, split=split), size=None)
    assert len(made) == 1 and Taskonomy(tmp_path, buildings=["hall"]).size == (256, 256)
    pictures, stack, regions = made(FIRST)
    assert pictures.shape == (1, 3, 4, 6) and float(pictures.max()) == pytest.approx(
        0.5686, abs=1e-3
    )
    depth, edges = stack.layers["depth"], stack.layers["edges"]
    assert not bool(depth.valid[0, 0, 0]) and int(depth.valid.sum()) == 23
    assert float(depth.value[0, 0, 1, 1]) == pytest.approx(math.log(1025) / math.log(65536))
    assert float(edges.value[0, 0, 0, 0]) == pytest.approx(2621 / 65535 / 0.08 * 2 - 1, abs=1e-5)
    classes = stack.layers["semantics"]
    assert int(classes.value[0, 0, 0]) == 2 and not bool(classes.valid[0, 1, 1])
    assert torch.allclose(stack.layers["normals"].value[0, :, 2, 2], torch.tensor([0.0, 0, 1]))
    assert not bool(stack.layers["normals"].valid[0, 0, 0])
    first = float(stack.layers["curvature"].value[0, 0, 2, 2])
    assert first == pytest.approx((127 - 123.572) / 31.922, abs=1e-5)
    assert regions.shape == (1, 4, 6)


def test_taskonomy_names_the_file_and_the_value(tmp_path):
    made = Taskonomy(rooms(tmp_path, classes=np.full((4, 6), 18)), size=None)
    with pytest.raises(SceneError, match=r"domain_segmentsemantic.png.*(\n.*)*18 in"):
        made(FIRST)
    next(tmp_path.rglob("*domain_normal.png")).unlink()
    with pytest.raises(SceneError, match="lacks labels: normals"):
        Taskonomy(tmp_path)
    with pytest.raises(SceneError, match="no pictures of Taskonomy"):
        Taskonomy(tmp_path / "nowhere")


def test_taskonomy_refuses_damaged_files(tmp_path):
    rooms(tmp_path)
    path = next(tmp_path.rglob("*domain_rgb.png"))
    path.write_bytes(path.read_bytes()[:45])
    with pytest.raises(SceneError, match="domain_rgb.png"):
        Taskonomy(tmp_path, size=None)(FIRST)


def streets(folder, ids=7):
    name, size = "aachen/aachen_000000_000019", (6, 8)
    save(folder / f"leftImg8bit/train/{name}_leftImg8bit.png", np.full((*size, 3), 100))
    classes = np.full(size, ids)
    classes[0, 0] = 255
    save(folder / f"gtFine/train/{name}_gtFine_labelIds.png", classes)
    instances = np.full(size, 7)
    instances[:, 4:] = 26001
    save(folder / f"gtFine/train/{name}_gtFine_instanceIds.png", instances, "I;16")
    disparity = np.full(size, 256 * 20 + 1)
    disparity[2, 2] = 0
    save(folder / f"disparity/train/{name}_disparity.png", disparity, "I;16")
    camera = {
        "extrinsic": {"baseline": 0.2},
        "intrinsic": {"fx": 2000.0, "fy": 2000.0},
    }
    path = folder / f"camera/train/{name}_camera.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(camera))
    return folder


def test_cityscapes_depth_comes_from_disparity_and_normals_from_depth(tmp_path):
    made = Cityscapes(streets(tmp_path), size=None)
    pictures, stack, regions = made(FIRST)
    assert pictures.shape == (1, 3, 6, 8)
    depth = stack.layers["depth"]
    # 0.2 m x 2000 px / 20 px
    assert float(depth.value[0, 0, 0, 0]) == pytest.approx(math.log(21) / math.log(257))
    assert not bool(depth.valid[0, 2, 2]) and not bool(stack.layers["semantics"].valid[0, 0, 0])
    normals = stack.layers["normals"]
    assert torch.allclose(normals.value[0, :, 4, 4], torch.tensor([0.0, 0, 1]), atol=1e-4)
    assert len(regions.unique()) == 3  # two instances, and the pixel without a class
    small = Cityscapes(tmp_path, size=(3, 4))(FIRST)
    assert small[0].shape == (1, 3, 3, 4) and small[1].shape == (1, 3, 4)


def test_cityscapes_takes_an_estimator_and_refuses_strange_ids(tmp_path):
    made = Cityscapes(streets(tmp_path), size=None, estimator=lambda x: x[:, :1] * 0 + 5.0)
    assert bool(made(FIRST)[1].layers["depth"].valid.all())
    with pytest.raises(SceneError, match=r"labelIds.png(.*\n)*.*41 in"):
        Cityscapes(streets(tmp_path, ids=41), size=None)(FIRST)
    next(streets(tmp_path).rglob("*camera.json")).write_text("{}")
    with pytest.raises(SceneError, match="camera"):
        Cityscapes(tmp_path, size=None)(FIRST)
    with pytest.raises(SceneError, match="no pictures of Cityscapes"):
        Cityscapes(tmp_path, "val")


@pytest.fixture
def room(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    with h5py.File(path, "w") as file:  # axes reversed, as MATLAB writes them: (N, C, W, H)
        images = np.zeros((2, 3, 8, 6), np.uint8)
        images[:, :, :, 0] = 255  # the first row
        file["images"] = images
        file["depths"] = np.full((2, 8, 6), 3.0, np.float32)
        labels = np.full((2, 8, 6), 5, np.uint16)
        labels[:, 0, :] = 0  # the first column
        file["labels"] = labels
        file["instances"] = np.ones((2, 8, 6), np.uint8)
    return path


def test_nyu_turns_its_axes_and_derives_what_is_not_there(room):
    made = NYU(room, size=None)
    pictures, stack, _ = made(torch.tensor([0, 1]))
    assert pictures.shape == (2, 3, 6, 8) and float(pictures[:, :, 0].min()) == 1
    classes = stack.layers["semantics"]
    assert not bool(classes.valid[:, :, 0].any()) and bool(classes.valid[:, :, 1:].all())
    assert int(classes.value[0, 3, 3]) == 4
    assert torch.allclose(stack.layers["normals"].value[0, :, 3, 3], torch.tensor([0.0, 0, 1]))
    assert float(stack.layers["curvature"].value.abs().max()) < 1e-3
    assert set(stack.layers) == {"semantics", "depth", "normals", "curvature", "edges"}
    assert NYU(room, size=(3, 4))(FIRST)[1].shape == (1, 3, 4)


def test_nyu_maps_classes_and_refuses_what_is_not_there(room, tmp_path):
    coarse = [-1] * 894
    coarse[4] = 1
    made = NYU(room, numbers=[1], size=None, classes=coarse)
    assert made.labels.named("semantics").count == 2 and len(made) == 1
    assert int(made(FIRST)[1].layers["semantics"].value[0, 3, 3]) == 1
    with pytest.raises(SceneError, match="class numbers"):
        NYU(room, size=None, classes=[0, 1])(FIRST)
    with pytest.raises(SceneError, match="no such pictures"):
        NYU(room, numbers=[2])
    other = tmp_path / "other.mat"
    other.write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(SceneError, match="cannot be read"):
        NYU(other)


def test_nyu_with_damaged_parts_names_file_and_picture(room):
    h5py = pytest.importorskip("h5py")
    with h5py.File(room, "a") as file:
        del file["instances"]
        file["instances"] = np.ones((1, 8, 6), np.uint8)  # one picture less
    with pytest.raises(SceneError, match=r"labeled.mat is damaged(?s:.)*instances of picture 1"):
        NYU(room, size=None)(torch.tensor([1]))
    with h5py.File(room, "a") as file:
        del file["depths"]
        file.create_group("depths")
    with pytest.raises(SceneError, match=r"not the labelled file(?s:.)*no depths"):
        NYU(room, size=None)
