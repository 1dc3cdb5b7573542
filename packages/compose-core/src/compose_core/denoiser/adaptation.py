"""Adaptations that ask: several that run side by side share the answers' network calls.

What a denoiser needs to know while it adapts (predictions of a look-ahead, a derivative) it may
`yield` as a `Request` instead of finding it out by itself. Alone it gets its answer at once; of
several, the requests of one kind are answered together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast, final

from compose_core.evaluate import Answers, Questions

__all__ = ["Adaptation", "Asked", "Request", "alone", "together"]


class Request(ABC):
    """Something that an adaptation needs to know."""

    @classmethod
    @abstractmethod
    def answer(cls, requests: Sequence[Any]) -> Sequence[Any]:
        """The answers of several of this class, in their order, each as it would be alone."""


Adaptation: TypeAlias = Generator[Request, Any, Any]
"""Yields requests, is sent their answers, returns a state."""


@final
@dataclass(frozen=True, eq=False)
class Asked(Request):
    """Questions of networks, and who answers them.

    Attributes:
        questions: A tree of them.
        evaluator: `Step.evaluator`.
    """

    questions: Questions
    evaluator: Callable[[Questions], Answers]

    @classmethod
    def answer(cls, requests: Sequence[Asked]) -> list[Answers]:
        """All questions for one evaluator in one tree."""
        found: list[Any] = [None] * len(requests)
        groups: dict[int, list[int]] = {}
        for n, one in enumerate(requests):
            groups.setdefault(id(one.evaluator), []).append(n)
        for group in groups.values():
            tree = tuple(requests[n].questions for n in group)
            answers = cast("tuple[Answers, ...]", requests[group[0]].evaluator(tree))
            for n, answer in zip(group, answers, strict=True):
                found[n] = answer
        return found


def alone(adaptation: Adaptation) -> Any:
    """The state that one adaptation comes to."""
    return together([adaptation])[0]


def together(adaptations: Sequence[Adaptation]) -> list[Any]:
    """The states that several come to; the requests of each round are answered by kind."""
    states: list[Any] = [None] * len(adaptations)
    waiting: dict[int, Request] = {}

    def go(n: int, answer: Any) -> None:
        try:
            waiting[n] = adaptations[n].send(answer)
        except StopIteration as end:
            states[n] = end.value

    for n in range(len(adaptations)):
        go(n, None)
    while waiting:
        kinds: dict[type[Request], list[int]] = {}
        asked = dict(waiting)
        waiting.clear()
        for n, request in asked.items():
            kinds.setdefault(type(request), []).append(n)
        for kind, numbers in kinds.items():
            answers = kind.answer([asked[n] for n in numbers])
            for n, answer in zip(numbers, answers, strict=True):
                go(n, answer)
    return states
