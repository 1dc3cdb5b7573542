"""Pairs that overlap, in both orders, and who is seen in front."""

import pytest
import torch

from compose_benchmarks.gallery import Gallery
from compose_benchmarks.items import look
from compose_benchmarks.judges import Eyes
from compose_benchmarks.registry import find
from compose_benchmarks.suites.order_seen import order_seen
from compose_benchmarks.suites.overlapping import CLEAR, NEAR, OVERLAP
from compose_core.conditions import Depth, Mask
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import Scene, stack

SUITE = find("cnc-ordering")
N = 18


@pytest.fixture(scope="module")
def items():
    return SUITE.items(N)


def both(item, kind):
    """Of the layer in front, then of the other."""
    found = item.scene.conditions()
    return [
        torch.tensor(next(x.values for x in found[layer.name] if isinstance(x, kind)))
        for layer in reversed(item.scene.ordered)
    ]


def test_items_come_in_pairs_that_differ_in_order_alone(items):
    for one, two in zip(items[::2], items[1::2], strict=True):
        assert one.source == two.source and one.seed == two.seed
        assert one.scene.prompt == two.scene.prompt and one.drawn == two.drawn
        assert dict(one.scene.assets) == dict(two.scene.assets)
        assert [x.z for x in one.scene.layers] == [x.z for x in two.scene.layers][::-1]
        rest = [[x.model_copy(update={"z": 0.0}) for x in i.scene.layers] for i in (one, two)]
        assert rest[0] == rest[1]
        assert {one.ahead, two.ahead} == {0, 1}


def test_an_odd_number_is_the_beginning_of_an_even_one(items):
    assert [x.to_json() for x in SUITE.items(3)] == [x.to_json() for x in items[:3]]


def test_words_do_not_tell_the_order(items):
    for item in items:
        first, second = item.caption.claims
        assert first.shape != second.shape and first.color != second.color
        assert not item.caption.relations
        for word in ("front", "behind", "before", "on top"):
            assert word not in item.scene.prompt
        assert all(layer.prompt is None for layer in item.scene.layers)


def test_outlines_overlap_and_each_has_a_part_of_its_own(items):
    for item in items:
        near, far = (mask > 0.5 for mask in both(item, Mask))
        shared = (near & far).sum()
        assert shared >= OVERLAP * min(near.sum(), far.sum())
        assert min((near & ~far).sum(), (far & ~near).sum()) >= 40
        amodal = look(item.drawn).amodal[0]
        assert torch.equal(near, amodal[item.ahead])


def test_strata_are_what_the_files_say(items):
    """A third is near; of the others one order follows the values and one is against them."""
    for item in items:
        front, back = both(item, Depth)
        near, far = (mask > 0.5 for mask in both(item, Mask))
        gap = float((front - back)[near & far].mean())
        if item.stratum == "near":
            assert abs(gap) < NEAR + 1e-4
        else:
            assert abs(gap) > CLEAR - 1e-4
            assert (gap > 0) == (item.stratum == "agreeing")
        assert float((front - back)[~near & ~far].abs().max()) < 1e-3, "one ground, one scale"
    strata = [item.stratum for item in items]
    assert all(strata.count(name) == N // 3 for name in ("near", "agreeing", "contradicting"))


def judged(items, pictures):
    gallery = Gallery(
        suite=SUITE, items=items, pictures=(pictures * 255).round().to(torch.uint8), eyes=Eyes()
    )
    return {result.metric.partition("@")[0]: result for result in order_seen(gallery)}


@pytest.mark.weights
def test_renders_are_in_their_order_and_not_in_the_other():
    items = SUITE.items(60)
    found = judged(items, picture(stack([item.drawn for item in items]), (64, 64)))
    assert found["order-agreeing"].value >= 0.95
    assert found["order-contradicting"].value <= 0.05
    assert found["order"].n == 60 and found["order-near"].n == 20
    assert found["order-undecided"].value <= 0.05
    assert not found["order-undecided"].higher_is_better


@pytest.mark.weights
def test_collages_can_be_in_any_order():
    """One object pasted over the other: what no single depth map could show is judged as well."""
    items = SUITE.items(60)
    pasted, reverse = [], []
    for item in items:
        alone = [Scene(solids=(x,), setting=item.drawn.setting) for x in item.drawn.solids]
        shown, outlines = picture(stack(alone), (64, 64)), look(item.drawn).amodal[0]
        for ahead, out in ((item.ahead, pasted), (1 - item.ahead, reverse)):
            out.append(torch.where(outlines[ahead], shown[ahead], shown[1 - ahead]))
    right, wrong = judged(items, torch.stack(pasted)), judged(items, torch.stack(reverse))
    for name in ("order", "order-near", "order-agreeing", "order-contradicting"):
        assert right[name].value >= 0.9 and wrong[name].value <= 0.1, name


@pytest.mark.weights
def test_an_empty_picture_shows_no_order():
    items = SUITE.items(6)
    bare = stack([Scene(setting=item.drawn.setting) for item in items])
    found = judged(items, picture(bare, (64, 64)))
    assert found["order"].value == 0 and found["order-undecided"].value == 1
