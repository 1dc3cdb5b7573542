"""Layouts survive being written and read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose_core.errors import ComposeError, SceneError, UsageError
from compose_core.scene import load_scene, parse_scene
from compose_realcompo.layout import Layout, Placed, plan_offline, to_scene, write_scene
from compose_realcompo.layout.model import distinct
from compose_realcompo.layout.scenes import to_toml

BALL = Placed("a ball", "ball", (0.1, 0.2, 0.5, 0.9))


def test_what_is_written_is_what_is_read(tmp_path: Path):
    layout = plan_offline("three red balls in front of a blue cube on grass", seed=3)
    path = tmp_path / "new" / "scene.toml"
    scene = write_scene(layout, path, canvas=(640, 480), seed=5)
    assert load_scene(path) == scene == to_scene(layout, (640, 480), seed=5)
    assert (scene.width, scene.height, scene.seed) == (640, 480, 5)
    assert [layer.name for layer in scene.layers] == [o.name for o in layout.objects]
    assert [layer.box for layer in scene.layers] == [o.box for o in layout.objects]
    assert all(layer.prompt in scene.prompt for layer in scene.layers if layer.prompt)
    assert os.listdir(path.parent) == ["scene.toml"]


@given(
    st.text(min_size=1, max_size=50).filter(str.strip),
    st.tuples(*[st.floats(0, 0.4)] * 2, *[st.floats(0.5, 1)] * 2),
    st.floats(-1000, 1000),
)
def test_any_text_and_number_survives(phrase, box, z):
    try:
        phrase.encode()
    except UnicodeEncodeError:
        return
    scene = to_scene(Layout(f"see {phrase}", (Placed(phrase, phrase, box, z),)), (64, 64))
    assert parse_scene(to_toml(scene), "toml", ".") == scene


def test_nothing_is_overwritten_unless_asked(tmp_path: Path):
    path = tmp_path / "scene.toml"
    path.write_text("precious")
    layout = Layout("a ball", (BALL,))
    with pytest.raises(UsageError, match="there already"):
        write_scene(layout, path, canvas=(64, 64))
    assert path.read_text() == "precious"
    write_scene(layout, path, canvas=(64, 64), force=True)
    assert load_scene(path).prompt == "a ball"


def test_a_dangling_link_is_there_too(tmp_path: Path):
    (tmp_path / "scene.toml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="there already"):
        write_scene(Layout("a ball", (BALL,)), tmp_path / "scene.toml", canvas=(64, 64))


def test_failures_leave_nothing(tmp_path: Path):
    layout = Layout("a ball", (BALL,))
    with pytest.raises(UsageError, match="unknown kind"):
        write_scene(layout, tmp_path / "scene.yaml", canvas=(64, 64))
    (tmp_path / "file").write_text("")
    with pytest.raises(ComposeError, match="cannot be written"):
        write_scene(layout, tmp_path / "file" / "scene.toml", canvas=(64, 64))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ComposeError, match="cannot be written"):
        write_scene(layout, tmp_path / "folder.toml", canvas=(64, 64), force=True)
    with pytest.raises(SceneError, match="too large"):
        write_scene(layout, tmp_path / "scene.toml", canvas=(10**6, 10**6))
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.toml"]


@pytest.mark.parametrize(
    "box", [(0.5, 0, 0.5, 1), (0.6, 0, 0.5, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.1),
            (0, 0, float("nan"), 1)],
)  # fmt: skip
def test_boxes_are_checked(box):
    with pytest.raises(SceneError, match="sensible place"):
        Placed("a ball", "ball", box)


def test_layouts_are_checked():
    with pytest.raises(SceneError, match="some objects"):
        Layout("a ball", ())
    with pytest.raises(SceneError, match="same name"):
        Layout("a ball", (BALL, BALL))
    with pytest.raises(SceneError, match="does not occur"):
        Layout("a cube", (BALL,))


@given(st.lists(st.sampled_from(["a", "a 1", "a 2", "b", "a" * 120, "a 1 1"]), max_size=8))
def test_names_become_distinct(names):
    made = distinct(names)
    assert len(set(made)) == len(names) == len(made)
    assert all(0 < len(name) <= 100 for name in made)
