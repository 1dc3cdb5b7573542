"""Suites for ControlNets: what is drawn of a layer lies on what the scene has there."""

import pytest
import torch

from compose_benchmarks.items import look
from compose_benchmarks.registry import find
from compose_benchmarks.suites.guided import outermost
from compose_core.controls import Palette, Style, draw_control
from compose_zoo.recipes import controlnet_tiny_keypoints as dots
from compose_zoo.recipes import controlnet_tiny_segments as segments

N = 4


def instance(seen):
    """(1, H, W) number of the object seen, 255 for none."""
    visible = seen.visible[0]
    number = visible.float().argmax(0).to(torch.uint8)
    return torch.where(visible.any(0), number, 255).to(torch.uint8)[None]


def test_keypoints_of_a_scene_are_drawn_as_in_training():
    for item in find("realcompo-keypoints").items(N):
        shown = draw_control(item.scene, Style("keypoints", skeleton=dots.SKELETON))
        trained = dots.condition(instance(look(item.drawn)))
        assert (shown - trained).abs().mean() < 0.02  # groups may lie over each other otherwise
        only = {layer.keypoints is not None for layer in item.scene.layers}
        assert only == {True} and all(layer.box is None for layer in item.scene.layers)


def test_segments_of_a_scene_have_the_colours_of_training():
    style = Style("segments", palette=Palette(segments.PALETTE))
    for item in find("realcompo-segments").items(N):
        shown = draw_control(item.scene, style)
        for solid, mask in zip(item.drawn.solids, look(item.drawn).visible[0], strict=True):
            colour = torch.tensor(segments.PALETTE[solid.shape]) / 255
            torch.testing.assert_close(shown[0][:, mask], colour[:, None].expand(3, mask.sum()))


def test_outermost_points_of_a_diamond_are_its_corners():
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    found = outermost((x - 20).abs() + (y - 12).abs() <= 6)
    corners = {"centre": (20, 12), "left": (14, 12), "right": (26, 12), "top": (20, 6)}
    for name, (a, b) in corners.items():
        assert found[name] == pytest.approx(((a + 0.5) / 32, (b + 0.5) / 32))
