"""What the networks of the zoo say of exact renders: the best that a method could do."""

from dataclasses import replace

import pytest
import torch

from compose_benchmarks import scorers
from compose_benchmarks.gallery import Gallery
from compose_benchmarks.items import GROUND, SIDE
from compose_benchmarks.judges import Eyes
from compose_benchmarks.registry import find
from compose_benchmarks.suites.cgi import figure_seen, layers_seen, wide_seen
from compose_benchmarks.suites.cgi.layers import Emptiness, Ground
from compose_core import zoo
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import Scene, stack

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(
        not {"judge-tiny", "clip-tiny"} <= set(zoo.known()), reason="the judges are not in the zoo"
    ),
]

N = 16


@pytest.fixture(scope="module")
def eyes():
    return Eyes()


def rendered(drawn, side):
    """(B, 3, side, side) uint8."""
    return (picture(stack(list(drawn)), (side, side)) * 255).round().to(torch.uint8)


def values(results):
    return {one.metric: one.value for one in results}


def test_renders_of_figures_have_both_parts(eyes):
    suite = find("cgi-figure")
    items = suite.items(N)
    pictures = rendered([item.drawn for item in items], SIDE)
    gallery = Gallery(suite=suite, items=items, pictures=pictures, eyes=eyes)
    found = values([*figure_seen.parts(gallery), *scorers.relation(gallery)])
    assert min(found["head@tiny-v1"], found["body@tiny-v1"]) >= 0.8, found
    assert found["relation@tiny-v1"] >= 0.8, found
    mixed = replace(gallery, pictures=pictures.roll(1, 0))
    assert values(figure_seen.parts(mixed))["head@tiny-v1"] <= 0.1


def test_views_that_are_renders_keep_what_was_asked(eyes):
    """Three renders side by side: the middle of each view shows its object, and seams are seen."""
    suite = find("cgi-panorama")
    items = suite.items(N)
    row = []
    for item in items:
        one = rendered([item.drawn], SIDE)[0]
        wide = torch.cat([one, one[..., :32], one], 2)
        row.append(wide)
    gallery = Gallery(suite=suite, items=items, pictures=torch.stack(row), eyes=eyes)
    found = values([*wide_seen.together(gallery), *wide_seen.seams(gallery)])
    assert found["place@tiny-v1"] > 0.6  # the middle view shows a seam
    assert found["seam"] > 1.5
    first = [replace(item, views=item.views[:1]) for item in items]
    alone = replace(gallery, items=tuple(first))
    shown = values(wide_seen.views(alone))
    assert shown["views@tiny-v1"] > 0.9 and shown["views-exact@tiny-v1"] > 0.85


def test_empty_places_are_empty_and_read_as_what_they_are(eyes):
    items = find("cgi-scene").items(N)
    grounds = rendered([Scene(setting=item.drawn.setting) for item in items], SIDE)
    empty, read = Emptiness(eyes.judge), Ground(eyes.clip, tuple(GROUND.values()))
    empty.update(grounds)
    read.update(grounds, [GROUND[item.drawn.setting.environment] for item in items])
    assert empty.compute().value == 1.0
    assert read.compute().value > 0.9


def test_layers_that_are_the_picture_keep_background_and_object(eyes):
    suite = find("cgi-scene")
    items = suite.items(N)
    pictures = rendered([item.drawn for item in items], SIDE)
    grounds = rendered([Scene(setting=item.drawn.setting) for item in items], SIDE)
    beside = [
        dict(zip([layer.name for layer in item.scene.layers], (ground, whole), strict=True))
        for item, ground, whole in zip(items, grounds, pictures, strict=True)
    ]
    gallery = Gallery(suite=suite, items=items, pictures=pictures, eyes=eyes, beside=tuple(beside))
    found = values([*layers_seen.backgrounds(gallery), *layers_seen.identity(gallery)])
    assert found["background-change"] < 6  # shadows
    assert found["same-object@tiny-v1"] > 0.9
    assert found["object-likeness@tiny-v1"] == pytest.approx(1, abs=1e-4)
    assert layers_seen.identity(replace(gallery, beside=({},) * N)) == []
