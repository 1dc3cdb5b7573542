"""Which layer goes to which stream, and when depth looks inverted."""

import numpy as np
import pytest
import torch

from compose_cnc.streams import foreground, inverted, sides, stretched, take_streams

BOX = {"box": [0.25, 0.25, 0.75, 0.75], "depth": "disc"}
ALL = {"depth": "ground"}


@pytest.mark.parametrize(
    ("layers", "want"),
    [
        ([{**BOX, "z": 1.0}, ALL], "fg bg"),
        ([BOX], "fg"),
        ([ALL], "bg"),
        ([BOX, {"prompt": "a ball", "z": 1.0}], "bg fg"),
        ([BOX, BOX], "bg fg"),
        ([{**BOX, "z": 1.0}, {**BOX, "z": 1.0}, BOX, ALL], "fg fg bg bg"),
        ([{"exemplar": "snow"}, {**BOX, "z": 1.0}], "bg fg"),
        ([{"exemplar": "snow", "box": [0.0, 0.0, 1.0, 1.0]}], "fg"),
    ],
)
def test_layers_find_their_stream(scene, layers, want):
    made = scene(*layers)
    deep = [x.name for x in made.layers if x.depth]
    assert " ".join(sides(made, deep)[str(i)] for i in range(len(layers))) == want


def test_the_foreground_is_cut_and_stretched(scene):
    made = scene({**BOX, "z": 1.0}, ALL)
    depths = {"0": np.full((64, 64), 0.5, np.float32), "1": np.eye(64, dtype=np.float32)}
    found = take_streams(made, depths, made.regions(64, 64))
    inside = found.fg[0, 0, 16:48, 16:48]
    assert (inside == 1).all() and found.fg.sum() == 3 * inside.numel()
    assert torch.equal(found.bg[0, 2], torch.eye(64)) and found.strength is None
    whole = take_streams(made, depths, made.regions(64, 64), cut=False)
    assert (whole.fg == 0.5).all()


def test_depths_of_one_stream_are_merged_by_the_nearest(scene):
    made = scene({**BOX, "z": 2.0}, {**BOX, "z": 1.0}, ALL)
    rows = np.linspace(0, 1, 64, dtype=np.float32)[:, None].repeat(64, 1)
    found = take_streams(made, {"0": rows, "1": rows.T, "2": rows}, made.regions(64, 64))
    assert torch.equal(found.bg[0, 0], torch.tensor(np.maximum(rows, rows.T)))
    assert any("experimental" in x for x in found.remarks)


def test_the_strength_is_that_of_the_nearest(scene):
    made = scene({**BOX, "z": 1.0, "weight": 0.5}, {**ALL, "weight": 2.0})
    depths = {x.name: np.eye(64, dtype=np.float32) for x in made.layers}
    found = take_streams(made, depths, made.regions(64, 64)).strength
    assert found[0, 0, 32, 32] == 0.5 and found[0, 0, 0, 0] == 2


def test_without_depth_there_are_no_streams(scene):
    found = take_streams(scene({"exemplar": "snow"}), {}, {})
    assert found.fg is None and found.bg is None and not found.remarks


def test_stretching_keeps_what_is_stretched_and_what_is_constant():
    map = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))
    once = stretched(map)
    assert once.min() == 0 and once.max() == 1 and torch.equal(stretched(once), once)
    assert torch.equal(stretched(torch.full((4, 4), 0.3)), torch.full((4, 4), 0.3))
    assert not foreground(map, torch.zeros(5, 6)).any()


def test_inversion_is_guessed_from_the_rim_or_the_ground():
    near = np.hypot(*(np.indices((48, 64)) - np.array([24, 32])[:, None, None])) < 12
    rows = np.linspace(0, 1, 48)[:, None].repeat(64, 1).astype(np.float32)
    assert not inverted(near * 0.6 + 0.2, near) and "around" in inverted(0.8 - near * 0.6, near)
    assert not inverted(rows) and "bottom" in inverted(1 - rows)
    assert not inverted(np.full((48, 64), 0.5)) and not inverted(rows, np.ones((48, 64)))
