"""Options that make no sense are refused when they are given."""

import math

import pytest

from compose_cnc.method import CnCMethod
from compose_cnc.options import changes, idle
from compose_core.errors import UsageError

BALL = {"name": "ball", "box": [0.0, 0.0, 0.5, 1.0], "exemplar": "lava", "z": 1.0}
WALL = {"name": "wall", "exemplar": "snow"}


@pytest.mark.parametrize(
    "options",
    [
        {"lambdas": {"ball": "1"}},
        {"lambdas": {"ball": -1.0}},
        {"lambdas": {"ball": math.inf}},
        {"intervals": {"ball": 0.5}},
        {"intervals": {"ball": (0.0, 0.5, 1.0)}},
        {"intervals": {"ball": ("0", "1")}},
        {"intervals": {"ball": (0.0, math.nan)}},
        {"intervals": {"ball": (-0.5, 0.5)}},
        {"apart": math.nan},
        {"apart": 1.5},
        {"soften": -1.0},
        {"exemplar_guidance": math.nan},
        {"base_share": "all"},
    ],
)
def test_options_that_are_no_numbers_are_refused(options):
    with pytest.raises(UsageError):
        CnCMethod("cnc-tiny", **options)


@pytest.mark.parametrize(
    ("interval", "want"),
    [
        ((0.0, 1.0), [(0.0, "ball wall")]),
        ((0.0, 0.5), [(0.0, "ball wall"), (0.5, "wall")]),
        ((0.5, 1.0), [(0.0, "wall"), (0.5, "ball wall")]),
        ((0.2, 0.4), [(0.0, "wall"), (0.2, "ball wall"), (0.4, "wall")]),
    ],
)
def test_when_who_takes_part(scene, interval, want):
    found = changes(scene(BALL, WALL), {"ball": interval})
    assert [(start, " ".join(x.name for x in now.layers)) for start, now in found] == want


def test_nothing_changes_for_a_layer_of_weight_0(scene):
    off = scene({**BALL, "weight": 0.0}, WALL)
    ((start, now),) = changes(off, {"ball": (0.2, 0.4)})
    assert start == 0 and [x.name for x in now.layers] == ["wall"]
    assert now.assets == off.assets


@pytest.mark.parametrize(
    ("interval", "steps", "none"),
    [((0.0, 0.01), 4, 0), ((0.01, 0.25), 4, 1), ((0.25, 0.3), 4, 0), ((0.3, 0.5), 10, 0)],
)
def test_an_interval_between_two_steps_is_said(interval, steps, none):
    assert len(idle({"ball": interval}, steps)) == none
