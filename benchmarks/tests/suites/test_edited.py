"""Edited labels: what is put in is what the world would show, what is taken out is nowhere."""

import pytest
import torch

from compose_benchmarks.edits import Edited, OthersKept, Wanted
from compose_benchmarks.judges import Look
from compose_benchmarks.suites import edited
from compose_benchmarks.suites.edited import INSERTED, REMOVED
from compose_benchmarks.suites.painted import labels_of
from compose_core.scene.capability import check
from compose_metrics.result import Source
from compose_tlam.labels import PRIMITIVES
from compose_tlam.method import TLAMMethod
from compose_tlam.scene import from_scene
from compose_worlds.judge import Found


@pytest.fixture(scope="module", params=range(3))
def put(request):
    return INSERTED.items(3)[request.param]


@pytest.fixture(scope="module")
def taken_out():
    return REMOVED.items(3)


def test_a_solid_put_in_is_the_solid_that_the_world_shows(put):
    source = INSERTED._source(put.source)
    truth = labels_of(source.drawn, source.seen)
    found = from_scene(put.scene, PRIMITIVES).stack
    here = source.seen.visible[0, -1]
    for name in ("semantics", "normals", "depth", "curvature"):
        a, b = truth.layers[name], found.layers[name]
        assert bool(b.valid[0][here].all()), name
        gap = (a.value.float() - b.value.float()).abs().reshape(-1, *here.shape).amax(0)
        assert float((gap[here] < 0.05).float().mean()) > 0.97, name
    same = truth.layers["semantics"].value == found.layers["semantics"].value
    assert float(same.float().mean()) > 0.99
    assert put.drawn == source.drawn
    assert check(put.scene, TLAMMethod.accepts, TLAMMethod.needs, "tlam") == []


def test_without_the_edit_the_labels_are_those_of_the_scene_without_it(put):
    bare = edited._bare(put.drawn)
    before = labels_of(bare, edited.look(bare)).layers["semantics"].value
    after = from_scene(put.scene, PRIMITIVES).stack.layers["semantics"].value
    here = INSERTED._source(put.source).seen.visible[0, -1]
    assert float((before == after)[0][~here].float().mean()) > 0.99
    assert float((before == after)[0][here].float().mean()) < 0.05


def test_a_solid_taken_out_is_not_in_labels_or_scene(taken_out):
    for one in taken_out:
        source = REMOVED._source(one.source)
        here = source.seen.visible[0, -1]
        number = int(source.seen.semantics[0][here][0])
        left = from_scene(one.scene, PRIMITIVES).stack.layers["semantics"]
        others = {solid.shape for solid in one.drawn.solids}
        if source.drawn.solids[-1].shape not in others:
            assert not bool((left.value[0] == number).any())
        assert one.drawn.solids == source.drawn.solids[:-1]
        assert len(one.caption.claims) == len(one.drawn.solids)


class Sees:
    """A judge that sees what it is told to see."""

    source = Source("told", "b" * 64, False)

    def __init__(self, *found):
        self.found = found

    def look(self, pictures):
        return [Look(self.found, torch.zeros(8, 8)) for _ in pictures]


def solid(shape, *box):
    return Found(shape, "red", box, (0.0, 0.0), 1.0, 1, torch.zeros(8, 8, dtype=torch.bool))


def share(metric, told):
    metric.update(torch.zeros(2, 3, 8, 8), [told] * 2)
    return float(metric.compute().value)


ASKED = Wanted("cube", (0.0, 0.0, 0.5, 0.5))


@pytest.mark.parametrize(
    ("found", "there", "gone"),
    [
        (("cube", 0.0, 0.0, 0.5, 0.5), 1, 0),
        (("cone", 0.0, 0.0, 0.5, 0.5), 0, 0),
        (("cube", 0.1, 0.0, 0.6, 0.5), 1, 0),
        (("cube", 0.28, 0.0, 0.78, 0.5), 0, 0),
        (("cube", 0.4, 0.0, 0.9, 0.5), 0, 1),
        (("cube", 0.6, 0.6, 0.9, 0.9), 0, 1),
    ],
)
def test_an_edit_is_seen_by_shape_and_place(found, there, gone):
    judge = Sees(solid(*found))
    assert share(Edited(judge), ASKED) == there
    assert share(Edited(judge, gone=True), ASKED) == gone
    assert share(OthersKept(judge), [ASKED, Wanted("cone", (0.6, 0.6, 0.9, 0.9))]) == there / 2


def test_where_nothing_is_seen_nothing_was_put_in():
    assert share(Edited(Sees()), ASKED) == 0
    assert share(Edited(Sees(), gone=True), ASKED) == 1
