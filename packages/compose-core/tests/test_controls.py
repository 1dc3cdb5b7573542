"""Pictures for ControlNets: everything where the scene says, in the colours of the weights."""

import io
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from compose_core.controls import (
    OPENPOSE,
    Limb,
    Palette,
    Skeleton,
    Style,
    draw_control,
    read_style,
    write_style,
)
from compose_core.errors import ShapeError, UsageError, WeightsError
from compose_core.scene import Scene
from compose_core.scene.assets import Assets

CUBE = {"name": "cube", "prompt": "a red cube", "box": [0.0, 0.25, 0.5, 0.75]}
LABELS = np.zeros((64, 64), np.uint8)
LABELS[10:40, 5:25] = 1
LABELS[20:60, 35:60] = 2
CROSS = Skeleton(
    {"centre": (255, 255, 255), "left": (255, 0, 0), "right": (255, 0, 0)},
    (Limb("centre", "left", (255, 0, 0)), Limb("centre", "right", (255, 0, 0))),
    line=1 / 64,
    dot=2 / 64,
)


def png(values):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def scene(*layers, files=None):
    made = Scene.model_validate({"canvas": [64, 64], "prompt": "things", "layers": list(layers)})
    return made.with_assets(Assets(files)) if files else made


def levels(picture, x, y):
    return (picture[0, :, y, x] * 255).round().int().tolist()


def test_labels_have_hues_of_their_own_without_classes():
    layer = {"name": "rest", "prompt": "a cone", "segments": "labels.png"}
    shown = draw_control(scene(layer, files={"labels.png": png(LABELS)}), Style("segments"))
    assert shown.shape == (1, 3, 64, 64)
    assert tuple(levels(shown, 10, 30)) == Palette().of_number(1)
    assert tuple(levels(shown, 50, 30)) == Palette().of_number(2)
    assert levels(shown, 0, 0) == [0, 0, 0]
    assert len({Palette().of_number(n) for n in range(20)}) == 20


def test_words_choose_the_colour_where_there_are_classes():
    style = Style("segments", palette=Palette({"cube": (0, 255, 0), "cone": (255, 0, 255)}))
    assert levels(draw_control(scene(CUBE), style), 10, 32) == [0, 255, 0]
    assert levels(draw_control(scene({**CUBE, "weight": 0.0}), style), 10, 32) == [0, 0, 0]
    spoken = {**CUBE, "prompt": "a cube before a cone"}
    assert levels(draw_control(scene(spoken), style), 10, 32) == [255, 0, 255]
    layer = {"name": "rest", "prompt": "things", "segments": "labels.png"}
    shown = draw_control(scene(layer, files={"labels.png": png(LABELS)}), style)
    assert levels(shown, 50, 30) == [255, 0, 255]
    with pytest.raises(UsageError, match="names no class"):
        draw_control(scene({**CUBE, "name": "pet", "prompt": "a dog"}), style)
    with pytest.raises(UsageError, match="label number"):
        style.palette.of_number(3)


def test_nearer_layers_lie_over_farther_ones():
    style = Style("segments", palette=Palette({"cube": (0, 255, 0), "cone": (255, 0, 255)}))
    cone = {"name": "cone", "prompt": "a cone", "box": [0.25, 0.25, 0.75, 0.75]}
    for z, expected in ((1.0, [0, 255, 0]), (-1.0, [255, 0, 255])):
        layers = ({**CUBE, "z": z}, {**cone, "z": 0.0})
        assert levels(draw_control(scene(*layers), style), 24, 32) == expected


def test_bodies_are_drawn_as_openpose_draws_them():
    body = {
        "Left_Knee": [0.25, 0.5],
        "left ankle": [0.75, 0.5],
        "neck": [0.5, 0.9],
        "tail": [0.5, 0.1],
    }
    layer = {"name": "figure", "prompt": "a cube", "keypoints": "body.json"}
    given = scene(layer, files={"body.json": json.dumps(body).encode()})
    big = given.model_copy(update={"canvas": (256, 256)})
    drawn = draw_control(big, Style())
    # Point 12 is blue, 13 is 20 degrees on; the 12th limb, between them, has the hue of point 11.
    assert levels(drawn, 64, 128) == [0, 0, 255]
    assert levels(drawn, 192, 128) == [85, 0, 255]
    assert levels(drawn, 128, 128) == [0, round(0.6 * 85), round(0.6 * 255)]
    assert levels(drawn, 128, 25) == [255, 255, 255]  # a point of no known name is white
    assert drawn[0, :, 200:, 200:].sum() == 0


def test_the_area_of_a_dot_and_a_line_is_that_of_their_shapes():
    nan = float("nan")
    dot = CROSS.draw(torch.tensor([[[[0.4, 0.6], [nan, nan], [nan, nan]]]]), (128, 128))
    assert float(dot[0, 0].sum()) == pytest.approx(math.pi * 4**2, rel=0.03)
    ends = torch.tensor([[[[0.25, 0.5], [nan, nan], [0.75, 0.5]]]])
    line = CROSS.draw(ends, (128, 128))
    assert float(line[0, 0, :, 32:96].sum(0).mean()) == pytest.approx(4, rel=0.2)
    assert torch.isfinite(line).all()


def test_a_mirrored_skeleton_is_the_skeleton_of_mirrored_points():
    dice = torch.Generator().manual_seed(0)
    at = torch.rand(3, 2, 3, 2, generator=dice)
    mirrored = at.clone()
    mirrored[..., 0] = 1 - at[..., 0]
    shown = CROSS.draw(at, (32, 48))
    assert shown.shape == (3, 3, 32, 48) and 0 <= shown.min() and shown.max() <= 1
    torch.testing.assert_close(CROSS.draw(mirrored, (32, 48)), shown.flip(-1), atol=1e-4, rtol=0)


def test_a_style_is_read_as_it_was_written(tmp_path):
    assert read_style(tmp_path) is None
    styles = (
        Style("keypoints", skeleton=CROSS),
        Style(),
        Style("segments", palette=Palette({"cube": (0, 255, 0)})),
        Style("depth"),
    )
    for style in styles:
        write_style(style, tmp_path)
        assert read_style(tmp_path) == style


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"control": "pose"}',
        '{"control": "keypoints", "points": {"a": [0, 0]}}',
        '{"control": "keypoints", "points": {"a": [0, 0, 0]}, "limbs": [{"start": "a", '
        '"end": "b", "colour": [1, 2, 3]}]}',
        '{"control": "depth", "other": 1}',
    ],
)
def test_a_damaged_style_is_refused_by_its_file(text, tmp_path):
    (tmp_path / "control.json").write_text(text)
    with pytest.raises(WeightsError, match=r"control\.json cannot be read"):
        read_style(tmp_path)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UsageError, match="unknown control"):
        Style("pose")
    with pytest.raises(UsageError, match="share of the canvas"):
        Skeleton({}, (), line=-1.0)
    with pytest.raises(ShapeError, match="no groups"):
        OPENPOSE.draw(torch.zeros(1, 1, 17, 2), (8, 8))
