"""Whether a layout has as many objects as its caption says."""

from __future__ import annotations

from collections import Counter

from compose_core.errors import UsageError
from compose_realcompo.layout.chat import UnusableReply
from compose_realcompo.layout.reading import Thing, read
from compose_realcompo.layout.words import singular, split


def check_counts(phrases: list[str], prompt: str) -> None:
    """Compare how often things are placed with the numbers that the prompt says.

    Things are known apart by their nouns, and by adjectives where the phrases have them. A thing
    without a number from two may be missing: what is an object is a matter of judgement.

    Args:
        phrases: one for each box, words of the prompt.
        prompt: the caption.

    Raises:
        UnusableReply: a number differs.
    """
    try:
        things = read(prompt).things
    except UsageError:
        return  # too many for the grammar, which is not the authority here
    said = [_words(phrase) for phrase in phrases]
    for noun in dict.fromkeys(thing.key[-1] for thing in things):
        alike = [thing for thing in things if thing.key[-1] == noun]
        wanted = sum(thing.count for thing in alike)
        found = sum(noun in words for words in said)
        if found != wanted and any(thing.said for thing in alike):
            raise _miscount(noun, found, wanted)
        if len(alike) > 1:
            _check_kinds(alike, [words for words in said if noun in words])


def _check_kinds(things: list[Thing], said: list[frozenset[str]]) -> None:
    """Two red balls and a blue one: also each kind is counted, as far as phrases tell."""
    found: Counter[tuple[str, ...]] = Counter()
    for words in said:
        kinds = [thing.key for thing in things if set(thing.key) <= words]
        if not kinds:
            return
        found[max(kinds, key=len)] += 1
    wanted: Counter[tuple[str, ...]] = Counter()
    for thing in things:
        wanted[thing.key] += thing.count
    for key, count in wanted.items():
        if any(thing.said for thing in things) and found[key] != count:
            raise _miscount(" ".join(key), found[key], count)


def _words(phrase: str) -> frozenset[str]:
    return frozenset(singular(word.text) for word in split(phrase))


def _miscount(name: str, found: int, wanted: int) -> UnusableReply:
    return UnusableReply(
        "the number of objects is not that of the caption",
        got=f"{found} of {name!r}",
        expected=f"{wanted}, one entry for each",
    )
