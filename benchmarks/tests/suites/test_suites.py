"""Items say of their scenes what is true of them."""

from itertools import pairwise

import pytest

from compose_benchmarks.items import EXTENT, GROUND, SIDE, VISIBLE, digest, look
from compose_benchmarks.registry import contenders, find, suites
from compose_benchmarks.scorers import words
from compose_core.errors import ComposeError, UsageError
from compose_worlds.primitives.cache import HELD_OUT
from compose_worlds.primitives.environments import ENVIRONMENTS

NAMES = (
    "quality",
    "reconstruction",
    "regional-attributes",
    "regional-complex",
    "regional-depth",
    "regional-numeracy",
    "regional-spatial",
)
N = 6


@pytest.fixture(scope="module", params=NAMES)
def some(request):
    suite = find(request.param)
    return suite, suite.items(N)


def test_the_suites_of_this_package_are_announced():
    assert set(NAMES) <= set(suites())


def test_unknown_suites_are_answered_with_known_ones():
    with pytest.raises(UsageError, match="no suite") as caught:
        find("qualty")
    assert "did you mean 'quality'" in str(caught.value)


def test_scenes_were_never_trained_on_and_belong_to_one_suite():
    starts = sorted(find(name).start for name in NAMES)
    assert all(b - a >= 1_000_000 for a, b in pairwise(starts))
    assert starts[0] > HELD_OUT + 500_000  # the first half million chose settings


def test_items_are_the_same_every_time_and_for_every_n(some):
    suite, items = some
    assert digest(suite.items(N)) == digest(items)
    assert digest(suite.items(2)) == digest(items[:2])
    assert len({item.seed for item in items}) == N


def test_layouts_are_those_of_the_labels(some):
    _, items = some
    for item in items:
        seen = look(item.drawn)
        place, *layers = item.scene.layers
        assert place.box == (0, 0, 1, 1) and place.prompt in GROUND.values()
        assert len(layers) == len(item.drawn.solids) == len(item.objects)
        for i, layer in enumerate(layers):
            outline = seen.amodal[0, i].nonzero() + 0.5
            x0, y0, x1, y1 = (side * SIDE for side in layer.box)
            assert x0 < outline[:, 1].min() and outline[:, 1].max() < x1
            assert y0 < outline[:, 0].min() and outline[:, 0].max() < y1
            assert int(seen.visible[0, i].sum()) >= VISIBLE
            assert min(layer.box[2] - layer.box[0], layer.box[3] - layer.box[1]) >= EXTENT
            solid = item.drawn.solids[i]
            assert solid.color in layer.prompt and solid.shape in layer.prompt
        nearest = seen.object_depth[0].flatten(1).amin(1).tolist()
        by_z = sorted(range(len(layers)), key=lambda i: layers[i].z)
        assert [nearest[i] for i in by_z] == sorted(nearest, reverse=True)


def test_captions_name_every_object_and_the_place(some):
    _, items = some
    for item in items:
        claims = item.caption.claims
        assert sum(claim.count for claim in claims) == len(item.objects)
        for number, claim in enumerate(claims):
            mine = [s for s, o in zip(item.drawn.solids, item.objects, strict=True) if o == number]
            assert {(s.shape, s.color) for s in mine} == {(claim.shape, claim.color)}
            assert len(mine) == claim.count
        assert item.scene.prompt == item.caption.text
        assert item.scene.prompt.endswith(ENVIRONMENTS[item.drawn.setting.environment].phrase)
        assert words(item) in item.scene.prompt


@pytest.mark.parametrize("name", ["regional-spatial", "regional-depth", "regional-complex"])
def test_relations_are_true_and_varied(name):
    said = set()
    for item in find(name).items(16):
        (relation,) = item.caption.relations
        said.add(relation.name)
        seen = look(item.drawn)
        a, b = (item.objects.index(claim) for claim in (relation.subject, relation.other))
        outline = seen.amodal[0]
        x = [float(outline[i].nonzero()[:, 1].float().mean()) for i in (a, b)]
        depth = seen.object_depth[0].flatten(1).amin(1)
        truth = {
            "left of": x[0] < x[1],
            "right of": x[0] > x[1],
            "behind": bool(depth[a] > depth[b]),
            "in front of": bool(depth[a] < depth[b]),
        }
        assert truth[relation.name]
    assert len(said) == 2


def test_methods_appear_by_themselves():
    able, unable = contenders(find("quality").items(1)[0].scene)
    assert {"plain", "regional"} <= set(able) and not set(able) & set(unable)


def test_too_few_scenes_are_an_error():
    from dataclasses import replace

    picky = replace(find("quality"), choose=lambda source, drawn, claims: None)
    with pytest.raises(ComposeError, match="too few scenes"):
        picky.items(1)
    with pytest.raises(UsageError):
        picky.items(0)
