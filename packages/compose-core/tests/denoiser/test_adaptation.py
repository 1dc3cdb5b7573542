"""Adaptations side by side: rounds of requests, answered by kind, each as if alone."""

from collections.abc import Generator

import pytest
import torch

from compose_core.denoiser import Asked, Bound, Request, alone, together
from compose_core.encoded import Encoded
from compose_core.evaluate import Local
from compose_core.testing.models import TinyNetwork, stable_diffusion_schedule


class Double(Request):
    """Twice a number; remembers how many were answered at once."""

    groups: list[int] = []

    def __init__(self, value):
        self.value = value

    @classmethod
    def answer(cls, requests):
        cls.groups.append(len(requests))
        return [2 * one.value for one in requests]


class Square(Double):
    groups: list[int] = []

    @classmethod
    def answer(cls, requests):
        cls.groups.append(len(requests))
        return [one.value**2 for one in requests]


def counting(start, rounds, kind=Double) -> Generator:
    value = start
    for _ in range(rounds):
        value = yield kind(value)
    return value


@pytest.fixture(autouse=True)
def _fresh():
    Double.groups.clear()
    Square.groups.clear()


def test_alone_it_is_a_plain_call():
    assert alone(counting(3, 2)) == 12
    assert alone(counting(3, 0)) == 3
    assert Double.groups == [1, 1]


def test_requests_of_a_kind_are_answered_together_while_they_last():
    made = [counting(1, 3), counting(5, 1), counting(3, 2, Square), counting(7, 0)]
    assert together(made) == [8, 10, 81, 7]
    assert Double.groups == [2, 1, 1] and Square.groups == [1, 1]
    assert together([]) == []


def test_an_error_reaches_the_caller():
    def broken():
        yield Double(1)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        together([counting(1, 2), broken()])


def test_questions_of_several_are_one_tree_for_their_evaluator():
    schedule = stable_diffusion_schedule()
    level = schedule.levels(4)[1]
    dice = torch.Generator().manual_seed(0)
    part = Bound(TinyNetwork(), Encoded(text=torch.randn(1, 3, 8, generator=dice)))
    samples = [torch.randn(1, 4, 8, 8, generator=dice) for _ in range(3)]
    trees = []

    class Counting(Local):
        def __call__(self, questions):
            trees.append(questions)
            return super().__call__(questions)

    one, other = Counting(), Counting()
    requests = [
        Asked(part.queries(x, level, ()), who)
        for x, who in zip(samples, (one, other, one), strict=True)
    ]
    answers = Asked.answer(requests)
    assert len(trees) == 2
    for x, answer in zip(samples, answers, strict=True):
        found = part.combine(answer, x, level, ()).x0
        torch.testing.assert_close(found, part(x, level).x0)
