"""The judge against a person."""

import numpy as np
import pytest
import torch

from compose_core import zoo
from compose_worlds.judge import JudgeNet
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS
from compose_zoo.recipes import hand


def test_agreement_counts_objects_not_names() -> None:
    """Two red cubes of which the judge sees one are half found; an unclear one excuses a claim."""
    seen = [["red cube", "red cube"], ["blue cone", hand.UNCLEAR], []]
    found = [["red cube"], ["blue cone", "green torus"], ["white sphere"]]
    shares = hand.agreement(seen, found)
    assert (shares["object"].hits, shares["object"].n) == (2, 3)
    assert (shares["claim"].hits, shares["claim"].n) == (1, 2)
    assert (shares["picture"].hits, shares["picture"].n) == (0, 2)


def test_a_judge_that_says_what_the_person_says_is_perfect() -> None:
    seen = [["red cube", "blue cone"], ["white torus"]]
    found = [list(reversed(seen[0])), seen[1]]
    assert all(share.value == 1 for share in hand.agreement(seen, found).values())


def test_a_sheet_is_cut_as_it_was_laid_out() -> None:
    pictures, seen = hand.load()
    assert pictures.shape == (64, 3, 64, 64) and len(seen) == 64
    again = torch.from_numpy(np.array(hand.sheet(pictures)))
    assert torch.equal(again[:64, 64:128].permute(2, 0, 1).float() / 127.5 - 1, pictures[1])


def test_labels_use_the_words_of_the_world() -> None:
    names = {f"{color} {shape}" for color in COLORS for shape in SHAPES} | {hand.UNCLEAR}
    assert {name for row in hand.load()[1] for name in row} <= names


@pytest.mark.weights
def test_the_judge_agrees_with_the_person_as_published() -> None:
    shares = hand.judge_by_hand(JudgeNet.load(zoo.resolve("judge-tiny")))
    published = {s.name: s.value for s in zoo.find("judge-tiny").scores}
    for name, share in shares.items():
        assert share.value == pytest.approx(published[f"by hand: {name}"], abs=0.02)
