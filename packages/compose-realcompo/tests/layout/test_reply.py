"""Answers of language models become layouts, or one clear complaint."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_realcompo.layout import template
from compose_realcompo.layout.chat import UnusableReply
from compose_realcompo.layout.reply import parse_reply

PROMPT = "Two cats to the left of a Red Ball on grass"
CANVAS = (512, 256)
CAT_1, CAT_2 = [0.05, 0.2, 0.25, 0.8], [0.3, 0.2, 0.5, 0.8]
BALL = [0.6, 0.3, 0.9, 0.9]


def entry(phrase, box, z=0, **more):
    return {"phrase": phrase, "box": box, "z": z, **more}


GOOD = [entry("cats", CAT_1), entry("cats", CAT_2), entry("a Red Ball", BALL)]


def text(objects=None, **more) -> str:
    return json.dumps({"objects": GOOD if objects is None else objects, **more})


def boxes(answer: str, prompt: str = PROMPT) -> list[list[float]]:
    return [list(placed.box) for placed in parse_reply(answer, prompt, CANVAS).objects]


@pytest.mark.parametrize(
    "answer",
    [
        text(),
        f"  \n{text()}   \n",
        f"```json\n{text()}\n```",
        f"Here you are:\n```\n{text()}\n```\nI hope it helps [a lot] {{really}}.",
        f"Thinking [1] about {{the caption}}: {text()} Done!",
        json.dumps({"objects": GOOD}, indent=4),
        json.dumps(GOOD),
        text(comment="as you wished"),
        text([{k: v for k, v in e.items() if k != "z"} for e in GOOD]),
        text([e | {"phrase": e["phrase"].upper()} for e in GOOD]),
        text([entry("cat", CAT_1), entry("a cat", CAT_2), entry("the red ball", BALL)]),
    ],
    ids=["alone", "spaces", "fenced", "fenced in prose", "prose", "lines", "list", "more keys",
         "no z", "case", "singular"],
)  # fmt: skip
def test_the_same_layout_in_many_forms(answer: str):
    layout = parse_reply(answer, PROMPT, CANVAS)
    assert [list(placed.box) for placed in layout.objects] == [CAT_1, CAT_2, BALL]
    assert all(placed.phrase in PROMPT for placed in layout.objects)
    assert len({placed.name for placed in layout.objects}) == 3


def test_a_single_object_is_one():
    """The regular expression of the authors made two phrases of it."""
    for answer in (text([entry("a fox", BALL)]), json.dumps(entry("a fox", BALL))):
        (fox,) = parse_reply(answer, "a fox", CANVAS).objects
        assert (fox.phrase, fox.name, list(fox.box)) == ("a fox", "fox", BALL)


def test_slightly_outside_is_clamped():
    answer = text([entry("a fox", [-0.05, 0.1, 0.5, 1.08])])
    assert boxes(answer, "a fox") == [[0, 0.1, 0.5, 1]]


def test_pixels_are_divided():
    pixels = [[round(a * 512), round(b * 256), round(c * 512), round(d * 256)]
              for a, b, c, d in (CAT_1, CAT_2, BALL)]  # fmt: skip
    objects = [e | {"box": box} for e, box in zip(GOOD, pixels, strict=True)]
    for found, wanted in zip(boxes(text(objects)), (CAT_1, CAT_2, BALL), strict=True):
        assert found == pytest.approx(wanted, abs=1 / 256)


def with_box(box):
    return text([entry("a fox", box)])


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("None", "no complete JSON"),
        ("No objects", "no complete JSON"),
        ("", "no complete JSON"),
        ("[1]", "no complete JSON"),
        (text([entry("a fox", BALL)])[:-9], "no complete JSON"),
        ('{"objects": ' * 50_000, "too long"),
        ("[" * 100_000, "no complete JSON"),
        ("{" * 1000, "no complete JSON"),
        ('{"objects": [], "objects": []}', "no complete JSON"),
        ("null", "no complete JSON"),
        (text([]), "names no object"),
        ("[]", "names no object"),
        ('{"objects": null}', "no list"),
        ('{"objects": "a fox"}', "no list"),
        ('{"objects": ["a fox"]}', "no list"),
        ('{"layout": []}', "no list"),
        (text([entry("a fox", BALL)] * 31), "too many objects"),
        (text([entry(7, BALL)]), "has no phrase"),
        (text([entry(" ", BALL)]), "has no phrase"),
        (text([{"box": BALL}]), "has no phrase"),
        (with_box([0.1, 0.1, 0.5]), "four numbers"),
        (with_box([0.1, 0.1, "0.5", 0.5]), "four numbers"),
        (with_box([0, 0, True, True]), "four numbers"),
        (with_box({"x": 1}), "four numbers"),
        (with_box(None), "four numbers"),
        ('{"objects": [{"phrase": "a fox", "box": [0, 0, NaN, 1]}]}', "no complete JSON"),
        ('{"objects": [{"phrase": "a fox", "box": [0, 0, 1e999, 1]}]}', "four numbers"),
        (f'{{"objects": [{{"phrase": "a fox", "box": [0, 0, {10**400}, 1]}}]}}', "four numbers"),
        (with_box([0.5, 0.1, 0.4, 0.9]), "is empty"),
        (with_box([0.5, 0.1, 0.5, 0.9]), "is empty"),
        (with_box([0.1, 0.1, 1.5, 0.9]), "leaves the canvas"),
        (with_box([-0.4, 0.1, 0.5, 0.9]), "leaves the canvas"),
        (with_box([10, 10, 900, 200]), "leaves the canvas"),
        (text([entry("a fox", BALL, z="near")]), "no sensible number"),
        (text([entry("a fox", BALL, z=None)]), "no sensible number"),
        (text([entry("a fox", BALL, z=1e9)]), "no sensible number"),
        (text([entry("a wolf", BALL)]), "does not occur"),
        (text([entry("...", BALL)]), "does not occur"),
        (text([entry("a fo", BALL)]), "does not occur"),
    ],
)  # fmt: skip
def test_what_cannot_be_used(answer: str, complaint: str):
    with pytest.raises(UnusableReply, match=complaint):
        parse_reply(answer, "a fox on grass", CANVAS)


def test_mixed_pixels_and_fractions_are_refused():
    with pytest.raises(UnusableReply, match="leaves the canvas"):
        parse_reply(text([GOOD[0], GOOD[1], entry("a Red Ball", [300, 70, 460, 230])]), PROMPT,
                    CANVAS)  # fmt: skip


def test_overlap_needs_depth():
    prompt = "a fox in front of a tree"
    same = [entry("a fox", BALL), entry("a tree", BALL)]
    with pytest.raises(UnusableReply, match=r"objects 1 \('a fox'\) and 2 \('a tree'\) overlap"):
        parse_reply(text(same), prompt, CANVAS)
    fox, tree = parse_reply(text([same[0] | {"z": 1}, same[1]]), prompt, CANVAS).objects
    assert fox.z > tree.z


@pytest.mark.parametrize(
    ("prompt", "phrases", "complaint"),
    [
        ("three cats", ["cats", "cats"], "2 of 'cat'"),
        ("three cats", ["cats"] * 4, "4 of 'cat'"),
        ("three cats and a dog", ["a dog"], "0 of 'cat'"),
        ("two red balls and a blue ball", ["red balls", "a blue ball", "a blue ball"], "1 of"),
    ],
)
def test_numbers_are_those_of_the_caption(prompt, phrases, complaint):
    places = [[0.2 * n, 0.1, 0.2 * n + 0.15, 0.9] for n in range(5)]
    objects = [entry(p, box) for p, box in zip(phrases, places, strict=False)]
    with pytest.raises(UnusableReply, match="number of objects") as caught:
        parse_reply(text(objects), prompt, CANVAS)
    assert complaint in str(caught.value)


def test_phrases_may_be_appended():
    answer = text([entry("a fox", BALL), entry("a small hare", CAT_1)])
    layout = parse_reply(answer, "a fox on grass.", CANVAS, absent="append")
    assert layout.prompt == "a fox on grass, a small hare"
    assert [placed.phrase for placed in layout.objects] == ["a fox", "a small hare"]


def test_the_examples_of_the_template_follow_its_own_rules():
    for caption, canvas, answer in template.examples():
        layout = parse_reply(answer, caption, canvas)
        assert layout.prompt == caption


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.text('{}[]",:0.1 objectsphrasebox\n`', max_size=200))
def test_any_text_is_a_layout_or_a_complaint(answer):
    with pytest.raises(UnusableReply):
        parse_reply(answer, "a fox", CANVAS)


numbers = st.floats() | st.integers() | st.booleans() | st.none()


@settings(max_examples=300, deadline=None)
@given(st.lists(numbers | st.floats(-0.2, 1.2), min_size=3, max_size=5), numbers)
def test_any_numbers_give_a_good_box_or_a_complaint(box, z):
    try:
        layout = parse_reply(text([entry("a fox", box, z)]), "a fox", CANVAS)
    except UnusableReply:
        return
    x0, y0, x1, y1 = layout.objects[0].box
    assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
