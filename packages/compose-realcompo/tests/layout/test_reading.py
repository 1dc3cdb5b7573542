"""What the grammar understands of prompts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_core.errors import UsageError
from compose_realcompo.layout.reading import Reading, read
from compose_realcompo.layout.words import singular


def said(prompt: str) -> list[tuple[str, int]]:
    return [(thing.name, thing.count) for thing in read(prompt).things]


def related(reading: Reading) -> list[tuple[str, str, tuple[str, ...]]]:
    names = [thing.name for thing in reading.things]
    return [
        (names[r.subject], r.name, tuple(names[o] for o in r.others)) for r in reading.relations
    ]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("three red balls", [("red ball", 3)]),
        ("10 balls", [("ball", 10)]),
        ("a dozen eggs", [("egg", 12)]),
        ("a pair of glasses", [("glasses", 1)]),
        ("a row of five trees", [("tree", 5)]),
        ("some toys on grass", [("toys", 1)]),
        ("a cup of coffee", [("cup of coffee", 1)]),
        ("a red and blue ball", [("red and blue ball", 1)]),
        ("a big, old tree and a cat", [("big, old tree", 1), ("cat", 1)]),
        ("an orange and a lemon", [("orange", 1), ("lemon", 1)]),
        ("a dog chasing a cat", [("dog", 1), ("cat", 1)]),
        ("a dog chases a cat", [("dog", 1), ("cat", 1)]),
        ("a house with a red roof", [("house", 1)]),
        ("a cat with green eyes", [("cat", 1)]),
        ("a table with two chairs", [("table", 1), ("chair", 2)]),
        ("a photo of a dog, 4k, highly detailed", [("dog", 1)]),
        ("a fox, in the style of Van Gogh", [("fox", 1)]),
        ("a ball that is red and shiny", [("ball", 1)]),
        ("three apples and a blue one", [("apple", 3), ("blue apple", 1)]),
        ("a sign saying 'two cats' ", [("sign", 1), ("cat", 2)]),
        ('a sign saying "two cats"', [("sign", 1)]),
        ("a camera lens on a book", [("camera lens", 1), ("book", 1)]),
        ("a robot playing chess", [("robot", 1)]),
        ("a kitchen with an oven", [("oven", 1)]),
        ('a "big" table', [("big table", 1)]),
        ("a red building", [("red building", 1)]),
        ("no red cube on grass and a blue cone", [("blue cone", 1)]),
        ("Ein Zwölfzylinder", [("ein zwölfzylinder", 1)]),
        ("a large grüner Fuchs", [("large grüner fuchs", 1)]),
    ],
)
def test_things_and_numbers(prompt: str, expected: list[tuple[str, int]]):
    assert said(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a cat on a mat", [("cat", "on", ("mat",))]),
        ("a cat between a dog and a bird", [("cat", "between", ("dog", "bird"))]),
        ("a cat between two trees", [("cat", "between", ("tree", "tree"))]),
        ("two trees with a cat between them", [("cat", "between", ("tree", "tree"))]),
        ("behind a cube, a ball", [("ball", "behind", ("cube",))]),
        ("behind a cube is a ball", [("ball", "behind", ("cube",))]),
        ("a ball, and behind it a cube", [("cube", "behind", ("ball",))]),
        ("a cube with a ball on it", [("ball", "on", ("cube",))]),
        ("a ball. A cube is next to it.", [("cube", "near", ("ball",))]),
        ("a ball and a cube. The cube is left of the ball.", [("cube", "left", ("ball",))]),
        (
            "two cats and a dog are to the left of a tree",
            [("cat", "left", ("tree",)), ("dog", "left", ("tree",))],
        ),
        ("a fish in a bowl", [("fish", "in", ("bowl",))]),
        ("a cup on the left side of a laptop", [("cup", "left", ("laptop",))]),
        ("a man riding a horse on the beach", [("man", "on", ("horse",))]),
        ("a cat sitting on a red sofa", [("cat", "on", ("red sofa",))]),
        ("a lamp at a desk", [("lamp", "near", ("desk",))]),
        ("a cat and a dog on a sofa", [("cat", "on", ("sofa",)), ("dog", "on", ("sofa",))]),
        ("a ball and a cube next to it", [("cube", "near", ("ball",))]),
        ("a cat on the left and a dog on a sofa", [("dog", "on", ("sofa",))]),
        (
            "a hen left of a cat and a dog on a sofa",
            [("hen", "left", ("cat",)), ("dog", "on", ("sofa",))],
        ),
        ("a cat next to", []),
        ("two cats next to each other", []),
    ],
)
def test_relations(prompt: str, expected: list[tuple[str, str, tuple[str, ...]]]):
    assert related(read(prompt)) == expected


@pytest.mark.parametrize(
    ("prompt", "places"),
    [
        ("a cat on the left and a dog on the right", [(-1, None, None), (1, None, None)]),
        ("on the left, a cat, on the right, a dog", [(-1, None, None), (1, None, None)]),
        ("in the top left corner is a sun", [(-1, -1, None)]),
        ("a bird at the bottom of the picture", [(None, 1, None)]),
        ("a dog in the middle of the garden", [(0, 0, None)]),
        ("a house in the background", [(None, None, -1.0)]),
        ("a star in the upper right-hand corner", [(1, -1, None)]),
        ("a star in the top-right corner", [(1, -1, None)]),
    ],
)
def test_sides(prompt: str, places: list[tuple[int | None, int | None, float | None]]):
    assert [thing.place for thing in read(prompt).things] == places


@pytest.mark.parametrize(
    "prompt",
    ["on grass", "in the snow", "in a desert", "on a wooden floor", "in a room", "at dusk",
     "under a blue sky", "in the evening", "on the beach at sunset", "on the moon"],
)  # fmt: skip
def test_places_are_no_objects(prompt: str):
    assert said(f"a red ball {prompt}") == [("red ball", 1)]
    assert read(f"a red ball {prompt}").relations == ()


def test_every_phrase_is_of_the_prompt_and_holds_no_number():
    reading = read("Three  red   balls, THE old man and his dog")
    assert [thing.phrase for thing in reading.things] == ["red   balls", "THE old man", "his dog"]
    assert [thing.name for thing in reading.things] == ["red ball", "old man", "dog"]


def test_too_many():
    with pytest.raises(UsageError, match="too many") as caught:
        read("31 balls")
    assert "31 ball" in str(caught.value) and "30" in str(caught.value)
    assert read("thirty balls").things[0].count == 30
    with pytest.raises(UsageError):
        read("99999999999999999999999 balls")


@pytest.mark.parametrize(
    ("many", "one"),
    [("balls", "ball"), ("toruses", "torus"), ("boxes", "box"), ("houses", "house"),
     ("buses", "bus"), ("glasses", "glass"), ("cherries", "cherry"), ("children", "child"),
     ("bus", "bus"), ("iris", "iris"), ("glass", "glass"), ("potatoes", "potato"),
     ("shoes", "shoe"), ("wolves", "wolf"), ("vases", "vase"), ("sheep", "sheep")],
)  # fmt: skip
def test_singular(many: str, one: str):
    assert singular(many) == one


@pytest.mark.parametrize("seed", range(40))
def test_captions_of_the_worlds_are_understood_exactly(seed: int):
    captions = pytest.importorskip("compose_worlds.primitives.captions")
    environments = pytest.importorskip("compose_worlds.primitives.environments").ENVIRONMENTS
    world = pytest.importorskip("compose_worlds.primitives.world")
    generator = torch.Generator().manual_seed(seed)

    def pick(options):
        return options[int(torch.randint(len(options), (), generator=generator))]

    for count in (1, 2, 3, 4):
        claims = [
            captions.Claim(pick(captions.SHAPES), colour, pick((1, 2, 3, 4)), pick(captions.SIZES))
            for colour in list(world.COLORS)[:count]
        ]
        relation = captions.Relation(1, pick(tuple(captions.RELATIONS)), 0) if count > 1 else None
        place = pick(("", *environments))
        told = captions.phrase(claims, relation, place, generator)
        check(told, claims, relation)
        sides = [pick(("left", "right", "")) for _ in claims]
        beside = captions.sided(claims, sides, place, generator)
        check(beside, claims, None)
        side = {-1: "left", 1: "right", None: ""}
        assert [side[thing.place[0]] for thing in read(beside.text).things] == sides
        assert read(captions.scenery(pick(tuple(environments)), generator).text).things == ()
        vague = read(captions.vague(count, "grass", generator).text)
        assert len(vague.things) == 1 and vague.things[0].count in (1, count)


def check(caption, claims, relation):
    reading = read(caption.text)
    wanted = {(" ".join(w for w in (c.size, c.color, c.shape) if w), c.count) for c in claims}
    assert {(t.name, t.count) for t in reading.things} == wanted, caption.text
    names = {"left of": "left", "right of": "right", "in front of": "front"}
    if relation is None:
        assert reading.relations == ()
        return
    (found,) = reading.relations
    assert found.name == names.get(relation.name, relation.name)
    assert claims[relation.subject].color in reading.things[found.subject].key
    assert claims[relation.other].color in reading.things[found.others[0]].key


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str):
    try:
        reading = read(text)
    except UsageError:
        return
    assert all(thing.phrase in text and thing.count >= 1 for thing in reading.things)
