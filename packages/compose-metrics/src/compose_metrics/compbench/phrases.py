"""Noun phrases, relations and counts of templated prompts, by rules instead of a tagger.

The prompts of T2I-CompBench follow a few templates ("a green bench and a blue bowl", "a cat on the
left of a sofa", "three lamps and two trains", "The brown dog was lying on the green mat."). Rules
over closed word lists (`words`) read them the same way on every machine and in every version,
which a statistical tagger does not. Free prose is outside their reach: a phrase of it may come out
too long, with a verb at its end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from compose_metrics.compbench.words import (
    ADJECTIVES,
    BOUNDARIES,
    DETERMINERS,
    INVARIANT,
    NUMBERS,
    PLURALS,
    TO_BE,
    VERBS,
    WORDINGS,
)

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9'-]*|[.,;:!?]")


@dataclass(frozen=True)
class Related:
    """Two things and how the prompt says that they stand to each other.

    Attributes:
        subject: the thing that stands in the relation, as described: "red traffic light".
        relation: a name of `words.RELATIONS`.
        other: the thing that it stands in relation to.
        wording: the words of the prompt: "on the left of".
    """

    subject: str
    relation: str
    other: str
    wording: str


@dataclass(frozen=True)
class Counted:
    """`number` things called `noun` (singular)."""

    noun: str
    number: int


@dataclass(frozen=True)
class _Token:
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        return self.text.lower()

    @property
    def is_word(self) -> bool:
        return self.text[0].isalnum()


def _tokens(text: str) -> list[_Token]:
    return [_Token(m.group(), m.start(), m.end()) for m in _TOKEN.finditer(text)]


def find_wording(
    text: str, wordings: Iterable[str] = WORDINGS, start: int = 0
) -> tuple[str, int, int] | None:
    """The first wording that the text contains as whole words, with its span; longest wins."""
    options = "|".join(re.escape(w) for w in sorted(wordings, key=len, reverse=True))
    found = re.compile(rf"\b(?:{options})\b", re.IGNORECASE).search(text, start)
    return None if found is None else (found.group().lower(), found.start(), found.end())


def _outside_relations(text: str) -> list[_Token]:
    """The tokens of a text, each relation wording as one full stop."""
    tokens, at = _tokens(text), 0
    while (found := find_wording(text, start=at)) is not None:
        _, start, at = found
        inside = [start <= t.start < at for t in tokens]
        stop = _Token(".", start, at)
        kept = [t for t, i in zip(tokens, inside, strict=True) if not i]
        tokens = sorted([*kept, stop], key=lambda t: t.start)
    return tokens


def _is_verb(tokens: Sequence[_Token], i: int, content: Sequence[str]) -> bool:
    """Whether token i is a verb: a listed one, or a participle that closes a phrase."""
    word = tokens[i].word
    before = tokens[i - 1].word if i else ""
    if word in VERBS or (before in TO_BE and word.endswith(("ing", "ed"))):
        return True
    after = tokens[i + 1] if i + 1 < len(tokens) else _Token(".", 0, 0)
    closes = not after.is_word or after.word in BOUNDARIES | DETERMINERS
    return bool(content) and closes and word.endswith("ed")


def _joins(tokens: Sequence[_Token], i: int, content: Sequence[str]) -> bool:
    """Whether token i ("and", or a comma) stands between two adjectives of one phrase."""
    if tokens[i].word not in ("and", ",") or i + 2 >= len(tokens) or not content:
        return False
    return all(w in ADJECTIVES for w in (*content, tokens[i + 1].word))


def _phrases(text: str) -> list[list[_Token]]:
    """The words of each noun phrase, its determiner first where it has one."""
    tokens = _outside_relations(text)
    phrases: list[list[_Token]] = [[]]
    for i, token in enumerate(tokens):
        content = [t.word for t in phrases[-1] if t.word not in DETERMINERS]
        if _joins(tokens, i, content):
            continue
        if not token.is_word or token.word in BOUNDARIES or _is_verb(tokens, i, content):
            phrases.append([])
        elif token.word in DETERMINERS:
            phrases.append([token])
        elif token.word.endswith("ly") and content:
            phrases.append([])
        else:
            phrases[-1].append(token)
    return [p for p in phrases if any(t.word not in DETERMINERS for t in p)]


def chunks(text: str) -> list[str]:
    """The noun phrases of a prompt, in order, as it words them: "a green bench", "the left"."""
    return [text[p[0].start : p[-1].end] for p in _phrases(text)]


def content(chunk: str) -> str:
    """A noun phrase without its determiner, in lower case: "red traffic light"."""
    words = [t.word for t in _tokens(chunk) if t.is_word]
    while len(words) > 1 and words[0] in DETERMINERS:
        words.pop(0)
    return " ".join(words)


def noun(chunk: str) -> str:
    """A noun phrase without determiner and leading description: "traffic light".

    The last word always stays: the noun of "an orange" is "orange".
    """
    words = content(chunk).split()
    while len(words) > 1 and (words[0] in ADJECTIVES or words[0] == "and"):
        words.pop(0)
    return " ".join(words)


def related(text: str, wordings: Iterable[str] = WORDINGS) -> Related | None:
    """The relation of a prompt: the phrases next to its first relation wording, or None."""
    found = find_wording(text, wordings)
    if found is None:
        return None
    wording, start, end = found
    before, after = chunks(text[:start]), chunks(text[end:])
    if not before or not after:
        return None
    return Related(content(before[-1]), WORDINGS[wording], content(after[0]), wording)


def singular(phrase: str) -> str:
    """The singular of a noun phrase, by the rules of English spelling."""
    *first, last = phrase.lower().split() or [""]
    return " ".join([*first, _singular(last)])


def _singular(word: str) -> str:
    if word in PLURALS:
        return PLURALS[word]
    if word in INVARIANT or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "oes")):
        return word[:-2]
    if word.endswith("uses") and not word.endswith("ouses"):
        return word[:-2]
    return word[:-1]


def counted(
    text: str,
    nouns: Collection[str] | None = None,
    *,
    longest: int = 3,
    anywhere: bool = True,
    unknown: bool = True,
    numbers: Collection[str] = frozenset(NUMBERS),
) -> list[Counted]:
    """What a prompt counts: each number word with the thing that follows it.

    Args:
        text: the prompt.
        nouns: names that things can have (singular). The longest run of words in the phrase
            that is one of them is the noun, the first of equally long ones.
        longest: how many words such a run may have.
        anywhere: whether the run may begin after a describing word ("two small red cubes").
        unknown: whether things of other names are kept (as their whole phrase) or left out.
        numbers: the words that count.
    """
    known = frozenset(n.lower() for n in nouns or ())
    found: list[Counted] = []
    for phrase in _phrases(text):
        number, *rest = [t.word for t in phrase]
        if number not in numbers:
            continue
        runs = (
            singular(" ".join(rest[start : start + n]))
            for n in range(min(longest, len(rest)), 0, -1)
            for start in range(len(rest) - n + 1 if anywhere else 1)
        )
        name = next((run for run in runs if run in known), None)
        if name is None and unknown:
            name = singular(" ".join(rest))
        if name is not None:
            found.append(Counted(name, NUMBERS[number]))
    return found


def without_adjectives(text: str) -> str:
    """The prompt without its describing words, "The hat was on top of the rack".

    A word is dropped where it describes: inside a noun phrase, before its last word.
    """
    kept, at = "", 0
    for phrase in _phrases(text):
        for token, following in zip(phrase, phrase[1:], strict=False):
            if token.word in ADJECTIVES:  # with what joins it to the next word
                kept, at = kept + text[at : token.start], following.start
    return kept + text[at:]
