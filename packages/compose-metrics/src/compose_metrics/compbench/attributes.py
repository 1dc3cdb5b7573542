"""Attribute binding (colour, shape, texture): each noun phrase is asked for by itself.

For every noun phrase of the prompt a question answerer is asked "a green bench?"; the score of a
picture is the product of the probabilities of yes (Huang et al. 2023, disentangled BLIP-VQA).

- phrases: upstream asks for the first 8 only; fixed, for all.
- no phrase: upstream gives 1; fixed stops with an error that names the prompt.
- digits: upstream rounds to 4 decimals.
- "the bottom" and the like: upstream asks as if it were a thing; fixed skips it, as both skip
  "top", "the side", "the left" and "the right".

The rules of `phrases` stand for the tagger in both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, final, get_args

from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_metrics.compbench.judgement import Compat, Fault, Judged, Judgement, paired
from compose_metrics.compbench.phrases import chunks
from compose_metrics.compbench.protocols import VQAScorer
from compose_metrics.metric import Keys

Attribute = Literal["color", "shape", "texture"]
PLACES = frozenset(("top", "the side", "the left", "the right"))
MORE_PLACES = PLACES | frozenset(
    ("the top", "the bottom", "bottom", "side", "one side", "the front", "front", "left", "right")
)
MOST = 8
CANONICAL = "blip-vqa-base"


def phrases(text: str, compat: Compat = "fixed") -> list[str]:
    """The noun phrases of a prompt that are asked about.

    Raises:
        UsageError: There is none (fixed only).
    """
    if compat == "upstream":
        return [c for c in chunks(text) if c not in PLACES][:MOST]
    found = [c for c in chunks(text) if c.lower() not in MORE_PLACES]
    if not found:
        raise UsageError("a prompt names no thing to ask about", got=repr(text))
    return found


def bound(probabilities: Sequence[float], asked: Sequence[str], compat: Compat) -> Judgement:
    """The judgement from the probabilities of yes, one for each phrase asked."""
    score = math.prod(probabilities)
    score = round(score, 4) if compat == "upstream" else score
    if not asked:
        return Judgement(score, Fault.UNREAD, "no noun phrase in the prompt")
    worst = min(range(len(asked)), key=lambda i: probabilities[i])
    told = ", ".join(f"{a!r} {p:.2f}" for a, p in zip(asked, probabilities, strict=True))
    doubted = probabilities[worst] < 0.5
    fault = Fault.BINDING if doubted else Fault.NONE
    return Judgement(score, fault, f"{asked[worst]!r} doubted: {told}" if doubted else told)


def judge(
    scorer: VQAScorer, pictures: Tensor, texts: Sequence[str], compat: Compat = "fixed"
) -> list[Judgement]:
    """Judgements of pictures (B, 3, H, W) with a prompt each; all questions in one call.

    Raises:
        ShapeError: Pictures and prompts do not pair up, or the scorer gives no probabilities.
        UsageError: A prompt without noun phrase (fixed only).
    """
    pictures = paired(pictures, texts)
    asked = [phrases(text, compat) for text in texts]
    owner = [b for b, group in enumerate(asked) for _ in group]
    questions = [f"{phrase}?" for group in asked for phrase in group]
    if not questions:
        return [bound((), (), compat) for _ in texts]
    answers = scorer.answer(pictures[owner], questions).flatten().tolist()
    if len(answers) != len(questions) or not all(0 <= p <= 1 for p in answers):
        raise ShapeError(
            "the answers are not probabilities, one per question",
            got=f"{len(answers)} answers to {len(questions)} questions",
            expected="P(yes) in [0, 1]",
        )
    given = iter(answers)
    return [bound([next(given) for _ in group], group, compat) for group in asked]


@final
class AttributeBinding(Judged):
    """Mean score of attribute binding in one of the three categories.

    Args:
        attribute: `"color"`, `"shape"` or `"texture"`; they differ in their prompts only.
        scorer: answers the questions; BLIP-VQA base at 480 pixels in the literature.
        compat: `"fixed"` or `"upstream"`.
    """

    def __init__(
        self, attribute: Attribute, scorer: VQAScorer, *, compat: Compat = "fixed"
    ) -> None:
        if attribute not in get_args(Attribute):
            raise UsageError("unknown attribute", got=attribute, expected=get_args(Attribute))
        super().__init__(attribute, CANONICAL, scorer.source, compat)
        self.scorer = scorer

    def judge(self, pictures: Tensor, texts: Sequence[str]) -> list[Judgement]:
        """Judgements without keeping them, see `attributes.judge`."""
        return judge(self.scorer, pictures, texts, self.compat)

    def update(self, pictures: Tensor, texts: Sequence[str], *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1] with a prompt each."""
        self.take(self.judge(pictures, texts), keys, pictures)
