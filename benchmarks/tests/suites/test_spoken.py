"""Suites that are told by phrases: every phrase stands in the caption, every box is true."""

import pytest

from compose_benchmarks.items import VISIBLE, look
from compose_benchmarks.registry import find, suites
from compose_core.backbones import load_model
from compose_core.testing.folders import tiny_stable_diffusion
from compose_realcompo.tokens import locate

NAMES = ("attributes", "spatial", "depth", "numeracy", "complex", "quality")


@pytest.fixture(scope="module", params=NAMES)
def items(request):
    return find(f"realcompo-{request.param}").items(6)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_model(tiny_stable_diffusion(tmp_path_factory.mktemp("m") / "m")).text.tokenizer


def test_they_are_announced_and_look_at_scenes_of_their_own():
    found = [find(f"realcompo-{name}") for name in NAMES]
    starts = [find(name).start for name in suites()]
    assert all(starts.count(suite.start) == 1 for suite in found)
    assert all(suite.n == 512 for suite in found)


def test_every_phrase_is_found_in_the_caption(items, tokenizer):
    for item in items:
        assert item.scene.prompt == item.caption.text
        phrases = [layer.prompt for layer in item.scene.layers]
        spans = locate(tokenizer, item.scene.prompt, phrases, 1000).spans
        assert all(spans)
        for solid, phrase in zip(item.drawn.solids, phrases, strict=True):
            assert phrase == f"{solid.color} {solid.shape}"


def test_there_is_a_layer_for_each_object_and_its_box_is_that_of_the_labels(items):
    for item in items:
        seen = look(item.drawn)
        assert len(item.scene.layers) == len(item.objects)
        for layer, box in zip(item.scene.layers, seen.boxes[0].tolist(), strict=True):
            assert layer.box == tuple(box)
            assert (box[2] - box[0]) * (box[3] - box[1]) * 64 * 64 >= VISIBLE * 0.9
