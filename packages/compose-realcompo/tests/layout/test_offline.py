"""Layouts of prompts keep what the prompts say."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_core.errors import UsageError
from compose_realcompo.layout import Layout, Placed, plan_offline
from compose_realcompo.layout.model import shared

NOUNS = ["cat", "red ball", "small wooden box", "lamp", "green torus", "tree", "blue book"]
NUMBERS = {1: "a", 2: "two", 3: "three", 5: "5", 7: "seven"}
WORDS = {
    "left": "to the left of", "right": "right of", "on": "on", "above": "above",
    "below": "under", "front": "in front of", "behind": "behind", "near": "next to",
}  # fmt: skip


def plural(noun: str, count: int) -> str:
    ending = "es" if noun.endswith(("x", "s")) else "s"
    return noun if count == 1 else noun + ending


def of(layout: Layout, noun: str) -> list[Placed]:
    return [placed for placed in layout.objects if placed.name.rstrip(" 0123456789") == noun]


def holds(name: str, a: Placed, b: Placed) -> bool:
    (ax, ay), (bx, by) = a.centre, b.centre
    return {
        "left": ax < bx,
        "right": ax > bx,
        "on": ay < by,
        "above": ay < by,
        "below": ay > by,
        "front": a.z > b.z,
        "behind": a.z < b.z,
        "near": ax != bx,
    }[name]


def check_boxes(layout: Layout, *, overlap: frozenset[frozenset[str]] = frozenset()) -> None:
    """Boxes are inside; only those of the given pairs of nouns may overlap."""
    for placed in layout.objects:
        x0, y0, x1, y1 = placed.box
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
        assert x1 - x0 > 0.01 and y1 - y0 > 0.01
        assert placed.phrase in layout.prompt
    for a, b in itertools.combinations(layout.objects, 2):
        pair = frozenset(p.name.rstrip(" 0123456789") for p in (a, b))
        if pair not in overlap:
            assert shared(a.box, b.box) == 0, (a, b)


@settings(max_examples=150, deadline=None)
@given(
    nouns=st.permutations(NOUNS),
    counts=st.lists(st.sampled_from([1, 1, 2, 3, 5, 7]), min_size=1, max_size=4),
    names=st.lists(st.sampled_from(sorted(WORDS)), min_size=3, max_size=3),
    seed=st.integers(0, 2**32),
)
def test_a_chain_of_relations(nouns, counts, names, seed):
    phrases = [f"{NUMBERS[c]} {plural(n, c)}" for n, c in zip(nouns, counts, strict=False)]
    prompt = phrases[0]
    for name, phrase in zip(names, phrases[1:], strict=False):
        prompt += f" {WORDS[name]} {phrase}"
    layout = plan_offline(prompt, seed=seed)
    pairs = list(zip(names, nouns, nouns[1:], strict=False))[: len(counts) - 1]
    deep = frozenset(frozenset((a, b)) for n, a, b in pairs if n in ("front", "behind"))
    check_boxes(layout, overlap=deep)
    for noun, count in zip(nouns, counts, strict=False):
        assert len(of(layout, noun)) == count
    for name, subject, other in pairs:
        for a, b in itertools.product(of(layout, subject), of(layout, other)):
            if name != "near" or len(of(layout, subject)) == len(of(layout, other)) == 1:
                assert holds(name, a, b), (prompt, name, a, b)


@settings(max_examples=150, deadline=None)
@given(
    ends=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(sorted(WORDS)), st.integers(0, 4)),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 1000),
)
def test_any_relations_hold_together_or_are_refused(ends, seed):
    """Whatever five things have to do with each other: all of it holds, or it is impossible."""
    chosen = NOUNS[:5]
    claims = [f"The {chosen[a]} is {WORDS[n]} the {chosen[b]}" for a, n, b in ends if a != b]
    prompt = f"{', '.join(f'a {noun}' for noun in chosen)}. {'. '.join(claims)}."
    try:
        layout = plan_offline(prompt, seed=seed)
    except UsageError as error:
        assert "contradicts" in error.what
        return
    deep = frozenset(
        frozenset((chosen[a], chosen[b])) for a, n, b in ends if n in ("front", "behind")
    )
    check_boxes(layout, overlap=deep)
    place = {placed.name: placed for placed in layout.objects}
    assert set(place) == set(chosen)
    for a, name, b in ends:
        if a != b and name != "near":
            assert holds(name, place[chosen[a]], place[chosen[b]]), prompt


@settings(max_examples=100, deadline=None)
@given(
    sides=st.lists(
        st.sampled_from(
            ["", "on the left", "on the right", "at the top", "at the bottom", "in the middle",
             "in the top left corner", "in the lower right corner"]
        ),
        min_size=1,
        max_size=7,
    ),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_sides(sides, seed):
    prompt = " and ".join(f"a {n} {s}".strip() for n, s in zip(NOUNS, sides, strict=False))
    layout = plan_offline(prompt, seed=seed)
    check_boxes(layout)
    assert len(layout.objects) == len(sides)
    for placed, side in zip(layout.objects, sides, strict=True):
        x, y = placed.centre
        assert x < 0.5 or "left" not in side
        assert x > 0.5 or "right" not in side
        assert y < 0.5 or "top" not in side
        assert y > 0.5 or ("bottom" not in side and "lower" not in side)
        assert "middle" not in side or (1 / 3 < x < 2 / 3 and 0.3 < y < 0.7)


@pytest.mark.parametrize("count", range(1, 31))
def test_every_number_of_boxes(count):
    layout = plan_offline(f"{count} red balls on grass")
    check_boxes(layout)
    single = ["red ball"] if count == 1 else [f"red ball {n}" for n in range(1, count + 1)]
    assert [placed.name for placed in layout.objects] == single
    assert {placed.phrase for placed in layout.objects} == {"red balls"}


def test_between():
    for prompt in ("a cat between a tree and a lamp", "a cat between two trees"):
        layout = plan_offline(prompt)
        (cat,) = of(layout, "cat")
        others = [p.centre[0] for p in layout.objects if p is not cat]
        assert min(others) < cat.centre[0] < max(others)
        check_boxes(layout)


def test_in_front_overlaps_a_little_and_is_nearer():
    near, far = plan_offline("a cat in front of a tree").objects
    assert near.z > far.z and near.box[3] > far.box[3]
    small = min((p.box[2] - p.box[0]) * (p.box[3] - p.box[1]) for p in (near, far))
    assert 0 < shared(near.box, far.box) < 0.2 * small


def test_in_a_container():
    layout = plan_offline("three apples in a bowl on a table")
    (bowl,), (table,) = of(layout, "bowl"), of(layout, "table")
    for apple in of(layout, "apple"):
        assert bowl.box[0] < apple.box[0] and apple.box[2] < bowl.box[2]
        assert bowl.box[1] < apple.box[1] and apple.box[3] < bowl.box[3]
        assert apple.z > bowl.z
    assert bowl.box[3] == table.box[1]  # it stands on it


def test_on_touches_and_above_does_not():
    on, table = plan_offline("a lamp on a table").objects
    assert on.box[3] == table.box[1]
    above, table = plan_offline("a lamp above a table").objects
    assert above.box[3] < table.box[1]


def test_small_is_smaller():
    small, other = plan_offline("a small ball and a ball").objects
    assert small.box[2] - small.box[0] < 0.85 * (other.box[2] - other.box[0])


def test_the_seed_decides():
    first = plan_offline("a cat and a dog", seed=1)
    assert first == plan_offline("a cat and a dog", seed=1)
    assert first != plan_offline("a cat and a dog", seed=2)


def test_equal_things_have_different_names():
    layout = plan_offline("a red ball left of a red ball")
    assert [p.name for p in layout.objects] == ["red ball 1", "red ball 2"]
    assert layout.objects[0].centre[0] < layout.objects[1].centre[0]


@pytest.mark.parametrize(
    "prompt", ["", "  ", "on grass", "empty snow", "nothing but snow", "!?", "three", "the", "of"]
)
def test_nothing_to_place(prompt):
    with pytest.raises(UsageError) as caught:
        plan_offline(prompt)
    assert caught.value.exit_code == 2
    assert caught.value.expected is not None
    if prompt.strip():
        assert repr(prompt) in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize(
    "prompt",
    [
        "a ball left of a cube. The cube is left of the ball.",
        "a ball on a cube. The cube is on the ball.",
        "a ball in front of a cube. The cube is in front of the ball.",
        "a box in a bag. The bag is in the box.",
        "a ball on the right. A cube on the left. The ball is left of the cube.",
    ],
)
def test_contradictions(prompt):
    with pytest.raises(UsageError, match="contradicts itself"):
        plan_offline(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat between a ball and it",
        "ball between ball a it",
        "a ball. A cat between it and the ball.",
    ],
)
def test_nothing_is_between_one_thing(prompt):
    with pytest.raises(UsageError, match=r"cannot be between one thing.*(\n.*)*two things"):
        plan_offline(prompt)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(
    "a the two three no red ball cat of on in left right to top middle and , . with is are "
    "between behind in it them one other box under near it's holding grass which wood 5".split()
), max_size=25))  # fmt: skip
def test_any_words_give_a_layout_or_an_error(words):
    try:
        layout = plan_offline(" ".join(words))
    except UsageError:
        return
    for placed in layout.objects:
        assert placed.phrase in layout.prompt
