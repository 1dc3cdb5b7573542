"""Whether a detector's label is the thing that a prompt names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from compose_metrics.compbench.judgement import Compat
from compose_metrics.compbench.phrases import noun, singular
from compose_metrics.compbench.words import ADJECTIVES

PEOPLE = frozenset(("girl", "boy", "man", "woman"))
SYNONYMS = {
    "ship": "boat",
    "goldfish": "fish",
    "painting": "picture",
    "television": "tv",
    "couch": "sofa",
    "aeroplane": "airplane",
    "plane": "airplane",
    "bike": "bicycle",
}
"""Names of one thing; both are the same on either side."""


def canonical(name: str) -> str:
    """One name for all that mean the same thing: people are "person", a couch is a "sofa"."""
    *described, head = singular(name).split() or [""]
    head = "person" if head in PEOPLE else SYNONYMS.get(head, head)
    return " ".join([*described, head])


def meant(name: str, vocabulary: Collection[str]) -> str:
    """What a detector of this vocabulary calls a thing.

    The whole described thing is looked for first ("red traffic light"), then what is left of it
    without its first words ("traffic light", "light"), each up to number and synonyms; where all
    are unknown it is called by its noun.
    """
    known = {canonical(label) for label in vocabulary}
    words = name.split()
    candidates = (canonical(" ".join(words[n:])) for n in range(len(words)))
    return next((c for c in candidates if c in known), canonical(noun(name)))


def matching(
    name: str,
    labels: Sequence[str],
    compat: Compat = "fixed",
    vocabulary: Collection[str] | None = None,
) -> list[int]:
    """Numbers of the labels that are the thing.

    Upstream, label and name have to be one string, but for girl, boy, man and woman, which are
    "person". Fixed, see `meant`; without a vocabulary the labels stand for it.
    """
    if compat == "upstream":
        wanted = "person" if name in PEOPLE else name
        return [i for i, label in enumerate(labels) if label == wanted]
    wanted = meant(name, labels if vocabulary is None else vocabulary)
    return [i for i, label in enumerate(labels) if canonical(label) == wanted]


def tagged(phrase: str, *, last: bool) -> str:
    """The one word that upstream takes for a phrase: its first noun, or its last."""
    *described, head = phrase.split()
    nouns = [w for w in described if w not in ADJECTIVES] + [head]
    return nouns[-1] if last else nouns[0]
