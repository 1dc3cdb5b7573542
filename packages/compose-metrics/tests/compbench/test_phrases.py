import pytest
import torch

from compose_metrics.compbench.names import canonical, matching, meant, tagged
from compose_metrics.compbench.phrases import (
    Counted,
    chunks,
    content,
    counted,
    noun,
    related,
    singular,
    without_adjectives,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a green chair and a blue vase", ["a green chair", "a blue vase"]),
        ("rubber boots and a wooden desk", ["rubber boots", "a wooden desk"]),
        ("an oval sink and a tall oak tree.", ["an oval sink", "a tall oak tree"]),
        (
            "a triangular slice of pie and a round tin",
            ["a triangular slice", "pie", "a round tin"],
        ),
        ("The red cup was on top of the brown shelf.", ["The red cup", "the brown shelf"]),
        ("The black cup is on the left of the white jar.", ["The black cup", "the white jar"]),
        ("The grey cat was lying on the soft rug.", ["The grey cat", "the soft rug"]),
        (
            "The soft rug covered the rough wooden floor.",
            ["The soft rug", "the rough wooden floor"],
        ),
        ("The striped towel leaned against the wall.", ["The striped towel", "the wall"]),
        ("a black and white dog and a red ball", ["a black and white dog", "a red ball"]),
        ("A long, narrow kitchen with blue tiles", ["A long, narrow kitchen", "blue tiles"]),
        ("two red spheres and a blue cube on grass", ["two red spheres", "a blue cube", "grass"]),
        ("", []),
    ],
)
def test_chunks(text, expected):
    assert chunks(text) == expected


def test_every_pair_of_the_attribute_template_is_found():
    adjectives, nouns = ("red", "oblong", "fluffy", "gold"), ("cup", "orange", "traffic light")
    for a in adjectives:
        for b in adjectives:
            for x in nouns:
                for y in nouns:
                    assert chunks(f"a {a} {x} and a {b} {y}") == [f"a {a} {x}", f"a {b} {y}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat on the left of a sofa", ("cat", "left of", "sofa")),
        ("a cat to the right of a sofa", ("cat", "right of", "sofa")),
        ("a traffic light next to a cell phone", ("traffic light", "near", "cell phone")),
        ("a cup on side of a key", ("cup", "near", "key")),
        ("a cup on the top of a key", ("cup", "above", "key")),
        ("a cup on the bottom of a key", ("cup", "below", "key")),
        ("a girl hidden by a cow", ("girl", "behind", "cow")),
        ("The red cup was on top of the brown shelf.", ("red cup", "above", "brown shelf")),
        ("a red cube in front of a blue cone in snow", ("red cube", "in front of", "blue cone")),
    ],
)
def test_relations(text, expected):
    found = related(text)
    assert (found.subject, found.relation, found.other) == expected


@pytest.mark.parametrize("text", ["a cat and a sofa", "a cat nearby", "near a cat", ""])
def test_no_relation(text):
    assert related(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two boys", [("boy", 2)]),
        ("three mice, two women and one bowl", [("mouse", 3), ("woman", 2), ("bowl", 1)]),
        ("five sheep grazed in the pasture", [("sheep", 5)]),
        ("four apples were picked from the tree", [("apple", 4)]),
        ("two red spheres and a blue cube", [("red sphere", 2), ("blue cube", 1)]),
        ("the cat", []),
    ],
)
def test_counts(text, expected):
    assert counted(text) == [Counted(*e) for e in expected]


def test_counts_prefer_names_that_are_known():
    text = "eight sofas provided comfortable seating and a great view"
    assert counted(text, ["sofa"], unknown=False) == [Counted("sofa", 8)]
    assert counted("two traffic lights", ["light", "traffic light"]) == [
        Counted("traffic light", 2)
    ]


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("buses", "bus"), ("boxes", "box"), ("glasses", "glass"), ("tomatoes", "tomato"),
        ("peaches", "peach"), ("strawberries", "strawberry"), ("cookies", "cookie"),
        ("houses", "house"), ("vases", "vase"), ("toruses", "torus"), ("knives", "knife"),
        ("microwaves", "microwave"), ("mice", "mouse"), ("fish", "fish"), ("bees", "bee"),
        ("keys", "key"), ("cell phones", "cell phone"), ("bus", "bus"), ("glass", "glass"),
    ],
)  # fmt: skip
def test_singular(plural, one):
    assert singular(plural) == one
    assert singular(one) == one


def test_adjectives_go_where_they_describe():
    assert without_adjectives("The red hat was on top of the brown rack.") == (
        "The hat was on top of the rack."
    )
    assert without_adjectives("a black and white cat") == "a cat"
    assert without_adjectives("a long, narrow kitchen") == "a kitchen"
    assert without_adjectives("an orange and a green orange") == "an orange and a orange"


def test_nouns_keep_their_last_word():
    assert noun("a big red traffic light") == "traffic light"
    assert noun("a red orange") == "orange"
    assert noun("the orange") == "orange"
    assert content("The Red Cup") == "red cup"
    assert tagged("red traffic light", last=False) == "traffic"
    assert tagged("red traffic light", last=True) == "light"
    assert tagged("red orange", last=False) == "orange"


def test_names_of_one_thing():
    assert canonical("girls") == canonical("man") == "person"
    assert canonical("couch") == canonical("sofas") == "sofa"
    assert canonical("televisions") == "tv"
    labels = ["person", "red cup", "cup", "sofa"]
    assert matching("boy", labels) == [0]
    assert matching("red cups", labels) == [1]
    assert matching("blue cup", labels) == [2]
    assert matching("couch", labels) == [3]
    assert matching("couch", labels, "upstream") == []
    assert matching("boy", labels, "upstream") == [0]


def test_a_described_thing_is_not_another_of_its_kind():
    vocabulary = ("red cup", "blue cup")
    assert meant("red cup", vocabulary) == "red cup"
    assert matching("red cup", ["blue cup"], "fixed", vocabulary) == []
    assert meant("small red cup", vocabulary) == "red cup"


def test_captions_of_the_primitives_world_are_read_in_full():
    captions = pytest.importorskip("compose_worlds.primitives.captions")
    generator = torch.Generator().manual_seed(0)
    shapes, colors = ("sphere", "cube", "torus"), ("red", "blue", "gray")
    known = [f"{c} {s}" for c in colors for s in shapes]
    for n in range(60):
        claims = [
            captions.Claim(shapes[n % 3], colors[n // 3 % 3], 1 + n % 4),
            captions.Claim(shapes[n // 2 % 3], colors[n // 5 % 3], 1 + n // 4 % 4),
        ]
        name = list(captions.RELATIONS)[n % 4]  # "on" is too short a word for the rules
        relation = captions.Relation(0, name, 1) if n % 2 else None
        text = captions.phrase(claims, relation, "snow", generator).text
        read = counted(text, known, unknown=False)
        assert read == [Counted(f"{c.color} {c.shape}", c.count) for c in claims], text
        if relation is not None:
            found = related(text)
            assert (found.relation, singular(found.subject)) == (
                name,
                f"{claims[0].color} {claims[0].shape}",
            )
