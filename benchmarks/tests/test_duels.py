"""Picture by picture: counts are exact, and chance is what a coin gives."""

from dataclasses import replace

import pytest

from compose_benchmarks.board import board
from compose_benchmarks.duels import Duel, champion, duel, sign_test
from compose_core.errors import UsageError


def test_the_sign_test_is_that_of_a_coin():
    assert sign_test(0, 0) == 1 == sign_test(3, 3)
    assert sign_test(5, 0) == pytest.approx(2 / 32)
    assert sign_test(1, 7) == pytest.approx(2 * 9 / 256) == sign_test(7, 1)
    assert sign_test(300, 200) < 1e-4


def test_shares_and_their_intervals():
    one = Duel("m", 30, 10, 60)
    assert (one.n, one.share) == (100, 0.75)
    assert one.interval.low < 0.75 < one.interval.high and one.p < 0.05
    assert Duel("m", 0, 0, 5).share == 0.5 and Duel("m", 0, 0, 5).interval is None


def test_a_duel_counts_who_is_better(result):
    first, second = result("one", (1.0, 0.0, 0.5, 0.5)), result("two", (0.0, 1.0, 0.5, 0.25))
    assert duel(first, second, "objects@tiny-v1") == Duel("objects@tiny-v1", 2, 1, 1)
    assert duel(second, first, "objects@tiny-v1") == Duel("objects@tiny-v1", 1, 2, 1)
    assert duel(first, second, "fid@tiny-v1") is None
    with pytest.raises(UsageError, match="same scenes"):
        duel(first, result("three", (0.5,), items_sha256="e" * 64), "objects@tiny-v1")


def test_smaller_is_better_where_it_is(result, measured):
    values = {"a": (1.0, 3.0), "b": (2.0, 4.0)}
    records = [
        result(name, n=2, metrics=[measured(each, "lpips@tiny-v1", higher_is_better=False)])
        for name, each in values.items()
    ]
    assert duel(*records, "lpips@tiny-v1") == Duel("lpips@tiny-v1", 2, 0, 0)


def test_the_method_a_suite_is_named_after_is_compared_with_others(result):
    ranked = board([result("good", (1.0, 1.0)), result("poor", (0.0, 0.5))])
    assert champion(ranked).method.name == "good"
    named = replace(ranked, suite="poor-things")
    assert champion(named).method.name == "poor"
