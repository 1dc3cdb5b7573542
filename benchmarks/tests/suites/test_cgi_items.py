"""Suites of compositional generative inference: items say what is so, and views hear it."""

from itertools import pairwise

import pytest
import torch

from compose_benchmarks.items import SIDE, digest, look
from compose_benchmarks.registry import find, suites
from compose_benchmarks.suites.cgi.wide import STRIDE, WIDTH
from compose_cgi.method import CGIMethod
from compose_core.backbones import load_model
from compose_core.testing.folders import tiny_stable_diffusion

NAMES = ("cgi-panorama", "cgi-scene", "cgi-figure")
N = 4


@pytest.fixture(scope="module", params=NAMES)
def some(request):
    suite = find(request.param)
    return suite, suite.items(N)


def test_items_are_the_same_every_time_and_for_every_n(some):
    suite, items = some
    assert digest(suite.items(2)) == digest(items[:2])
    assert len({item.seed for item in items}) == N


def test_scenes_are_held_out_and_belong_to_one_family_of_suites():
    starts = sorted({find(name).start for name in suites()})
    assert all(b - a >= 1_000_000 for a, b in pairwise(starts))
    assert {find(name).start for name in NAMES} <= set(starts)


def test_views_of_a_panorama_ask_for_what_their_layers_name():
    for number, item in enumerate(find("cgi-panorama").items(N)):
        assert item.scene.canvas == (WIDTH, SIDE) and item.named == (number % 2 == 0)
        claims = item.caption.claims
        assert len({c.shape for c in claims}) == len({c.color for c in claims}) == 3
        for k, (view, layer) in enumerate(zip(item.views, item.scene.layers, strict=True)):
            assert view.left == k * STRIDE and view.caption.text == layer.prompt
            assert view.caption.claims == (claims[k],)
            assert view.caption.environment == item.caption.environment
            assert bool(view.caption.environment) == item.named
            x0, x1 = layer.box[0] * WIDTH, layer.box[2] * WIDTH
            assert view.left < x0 < x1 < view.left + SIDE


@pytest.mark.parametrize("overlap, shown", [(0.25, (0, 1, 2)), (0.5, (0, 1, 1, 2))])
def test_whatever_the_overlap_each_view_hears_one_prompt(tmp_path, overlap, shown):
    model = load_model(tiny_stable_diffusion(tmp_path / "toy"))
    assert model.sample_size[0] * model.codec.factor == SIDE
    for item in find("cgi-panorama").items(N):
        method = CGIMethod(overlap=overlap)
        made = method.composition(item.scene, model, device="cpu", guidance=1.0)
        heard = [one.denoiser.encoded["text"] for one in made.graph.observations]
        assert len(heard) == len(shown)
        for text, k in zip(heard, shown, strict=True):
            words = item.views[k].caption.text
            assert torch.equal(text, model.text.encode(words)["text"])


def test_a_figure_is_a_head_on_a_body():
    for item in find("cgi-figure").items(N):
        body, head = sorted(item.scene.layers, key=lambda layer: layer.z)
        assert (body.name, head.name) == ("body", "head") and body.prompt is None
        top, below = item.caption.claims
        assert top.words() in head.prompt and f"{top.words()} on {below.words()}" in (
            item.scene.prompt
        )
        points = item.scene.conditions()
        centres = {
            name: next(x for x in points[name] if x.kind == "keypoints").points["centre"]
            for name in ("body", "head")
        }
        assert centres["head"][1] < centres["body"][1]
        assert abs(centres["head"][0] - centres["body"][0]) < 0.1
        box = look(item.drawn).boxes[0, item.objects.index(0)].tolist()
        x, y = centres["head"]
        assert box[0] < x < box[2] and box[1] < y < box[3]


def test_a_layered_scene_is_a_place_and_an_object():
    for item in find("cgi-scene").items(N):
        place, thing = item.scene.layers
        assert place.prompt.startswith("an empty") or place.prompt.startswith("empty")
        assert thing.prompt == item.scene.prompt and thing.z > place.z
        cells = [side * 16 for side in thing.box]
        assert all(cell == round(cell) for cell in cells) and 0 <= min(cells) <= max(cells) <= 16
        assert min(cells[2] - cells[0], cells[3] - cells[1]) >= 9
    assert find("cgi-scene").beside
