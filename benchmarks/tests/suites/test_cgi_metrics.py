"""Metrics of views and layers, against their formulas."""

from types import SimpleNamespace

import pytest
import torch

from compose_benchmarks.promises import Placed
from compose_benchmarks.suites.cgi.layers import BackgroundKept, Emptiness, Inside, Same
from compose_benchmarks.suites.cgi.parts import PartPlaced
from compose_benchmarks.suites.cgi.seams import Seams, jump
from compose_benchmarks.suites.cgi.views_seen import ViewsKept
from compose_core.errors import ShapeError
from compose_metrics.result import Source
from compose_worlds.judge import Found
from compose_worlds.primitives.captions import Claim, phrase

OWNERS = (torch.arange(8) >= 4).long().expand(1, 4, 8)


def found(shape, color, box):
    mask = torch.zeros(1, 1, dtype=torch.bool)
    return Found(
        shape=shape, color=color, box=box, centre=(0.5, 0.5), depth=3.0, pixels=9, mask=mask
    )


class Eye:
    """A judge that says what it was told, in turn."""

    source = Source(id="tiny-v1", sha256="0" * 64, reference=False)

    def __init__(self, *looks):
        self.looks = list(looks)

    def look(self, pictures):
        return [SimpleNamespace(found=tuple(self.looks.pop(0))) for _ in pictures]


def test_a_ramp_has_no_seam_and_a_step_has_one():
    ramp = torch.linspace(-1, 1, 8).repeat_interleave(4).expand(1, 3, 16, 32)
    assert float(jump(ramp, OWNERS)) == pytest.approx(1, rel=1e-5)
    step = ramp + 0.5 * (torch.arange(32) >= 16)
    slope = 2 / 7
    floor = 1 / 255
    # Sums over four rows of cells that lie beside the border.
    wanted = (4 * (slope + 0.5) + floor) / (4 * slope + floor)
    assert float(jump(step, OWNERS)) == pytest.approx(wanted, rel=1e-5)


def test_seams_do_not_depend_on_contrast_turning_or_mirroring():
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 3, 16, 32, generator=generator) - 0.5
    owners = OWNERS.expand(3, -1, -1)
    usual = jump(noise, owners)
    torch.testing.assert_close(jump(noise.flip(3), owners.flip(2)), usual)
    turned = jump(noise.transpose(2, 3), owners.transpose(1, 2))
    torch.testing.assert_close(turned, usual)
    torch.testing.assert_close(jump(2 * noise, owners), usual, atol=0.02, rtol=0)
    flat = torch.zeros(1, 3, 16, 32)
    assert float(jump(flat, OWNERS)) == 1


def test_noise_has_a_ratio_of_about_one():
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(64, 3, 64, 160, generator=generator) * 2 - 1
    owners = torch.bucketize(torch.arange(0, 160, 4), torch.tensor([64, 96]), right=True)
    metric = Seams()
    metric.update(noise, owners.expand(64, 16, -1))
    said = metric.compute()
    assert said.interval.low < 1.02 and said.interval.high > 0.98


def test_a_box_is_compared_along_both_axes():
    picture = torch.zeros(1, 3, 16, 16)
    picture[..., 4:8, 4:8] = 1.0
    owners = torch.zeros(1, 4, 4, dtype=torch.long)
    owners[:, 1, 1] = 1
    assert float(jump(picture, owners)) > 100
    with pytest.raises(ShapeError, match="no seam"):
        jump(picture, torch.zeros_like(owners))
    with pytest.raises(ShapeError, match="do not fit"):
        jump(picture, torch.zeros(1, 5, 4, dtype=torch.long))


def test_views_are_kept_one_by_one():
    ball, cube = ("sphere", "red"), ("cube", "blue")
    box = (0.2, 0.2, 0.8, 0.8)
    looks = [[found(*ball, box)], [found(*ball, box), found(*cube, box)]]
    captions = [[phrase([Claim(*ball)], None, ""), phrase([Claim(*cube)], None, "")]]
    values = {}
    for how in ("there", "exact"):
        metric = ViewsKept(Eye(*looks), how)
        metric.update(torch.zeros(1, 2, 3, 8, 8), captions)
        values[how] = metric.compute().value
    assert values == {"there": 1.0, "exact": 0.5}


def test_backgrounds_are_compared_where_the_object_is_not():
    picture = torch.zeros(2, 3, 8, 8)
    ground = picture.clone()
    ground[0, :, :4] = 2 / 127.5
    picture[:, :, 4:] = 1.0
    outside = torch.zeros(2, 8, 8, dtype=torch.bool)
    outside[:, :4] = True
    metric = BackgroundKept()
    metric.update(picture, ground, outside)
    torch.testing.assert_close(
        metric.compute().per_sample, torch.tensor([2.0, 0.0], dtype=torch.float64)
    )


def test_an_object_is_the_same_if_its_kind_is():
    box = (0.2, 0.2, 0.6, 0.6)
    ball, other = found("sphere", "red", box), found("cube", "red", (0.7, 0.7, 0.9, 0.9))
    near = found("cube", "red", (0.1, 0.2, 0.6, 0.6))
    pictures = torch.zeros(4, 3, 8, 8)
    judge = Eye([ball, other], [ball], [], [other], [ball], [near], [ball], [other])
    metric = Same(judge)
    metric.update(pictures, pictures, [box] * 4)
    assert metric.compute().per_sample.tolist() == [1.0, 0.0, 0.0, 0.0]
    empty = Emptiness(Eye([], [ball]))
    empty.update(pictures[:2])
    assert empty.compute().value == 0.5


def test_an_object_is_inside_if_nearly_all_of_its_box_is():
    region, claim = (0.2, 0.2, 0.8, 0.8), Claim("sphere", "red")
    looks = (
        [found("sphere", "red", (0.3, 0.3, 0.85, 0.8))],
        [found("sphere", "red", (0.5, 0.3, 1.0, 0.8))],
        [found("cube", "red", (0.3, 0.3, 0.6, 0.6))],
    )
    metric = Inside(Eye(*looks))
    metric.update(torch.zeros(3, 3, 8, 8), [claim] * 3, [region] * 3)
    assert metric.compute().per_sample.tolist() == [1.0, 0.0, 0.0]


def test_a_part_is_there_if_kind_and_place_are_right():
    box = (0.2, 0.2, 0.6, 0.6)
    wanted = Placed("sphere", "red", box)
    looks = (
        [found("sphere", "red", (0.2, 0.2, 0.6, 0.5))],
        [found("sphere", "blue", box)],
        [found("sphere", "red", (0.5, 0.5, 0.9, 0.9))],
    )
    metric = PartPlaced(Eye(*looks), "head")
    metric.update(torch.zeros(3, 3, 8, 8), [wanted] * 3)
    assert metric.compute().per_sample.tolist() == [1.0, 0.0, 0.0]
    assert metric.compute().metric == "head@tiny-v1"
