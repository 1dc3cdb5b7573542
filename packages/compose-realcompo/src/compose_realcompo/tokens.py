"""From a phrase to its tokens in a prompt, by the tokenizer's own offsets.

Word numbers are no token numbers: rare words are cut into several tokens, and punctuation is a
token of its own. A fast tokenizer says which characters each token came from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from compose_core.errors import UsageError

__all__ = ["Absent", "Located", "locate", "with_phrases"]

Absent = Literal["append", "refuse"]
"""What becomes of a phrase that the prompt does not hold."""


class Located(NamedTuple):
    """Where phrases are.

    Attributes:
        spans: The positions of each phrase's tokens, counted from the mark of the beginning (0);
            empty where the phrase was cut off or says nothing.
        remarks: What could not be found as asked, each a sentence.
    """

    spans: tuple[tuple[int, ...], ...]
    remarks: tuple[str, ...]


def with_phrases(prompt: str, phrases: Sequence[str], absent: Absent = "append") -> str:
    """The prompt, with the phrases that it lacks at its end.

    Raises:
        UsageError: One is lacking and that is to be refused.
    """
    missing = [p for p in dict.fromkeys(phrases) if p.strip() and not _occurrences(prompt, p)]
    if missing and absent == "refuse":
        raise UsageError(
            "the prompt does not name what a layer asks for",
            got=f"{', '.join(map(repr, missing))} not in {prompt!r}",
            expected="every phrase of a layer in the prompt of the scene",
            remedy="write it there, or let it be appended (absent='append')",
        )
    return ", ".join([*([prompt] if prompt.strip() else []), *missing])


def locate(tokenizer: Any, prompt: str, phrases: Sequence[str], length: int) -> Located:
    """The tokens of each phrase in the prompt.

    A phrase is found without regard to case and as whole words, its plural included. Where the
    same phrase stands several times, its first region takes the first occurrence, its second the
    second; regions beyond the last occurrence share the last ("three red balls" has one).

    Args:
        tokenizer: A fast tokenizer.
        prompt: What is encoded; see `with_phrases`.
        phrases: One for each region.
        length: How many tokens the text encoder sees, the two marks included.

    Raises:
        UsageError: A phrase is not in the prompt, or the tokenizer knows no offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UsageError(
            "this tokenizer does not say where its tokens come from",
            got=type(tokenizer).__name__,
            expected="a fast tokenizer",
        )
    said = tokenizer(prompt, return_offsets_mapping=True, truncation=True, max_length=length)
    offsets = [(int(a), int(b)) for a, b in said.offset_mapping]
    used: dict[str, int] = {}
    taken = _everywhere(prompt, phrases)
    spans: list[tuple[int, ...]] = []
    remarks: list[str] = []
    for phrase in phrases:
        key = " ".join(phrase.lower().split())
        if not key:
            spans.append(())
            continue
        places = _occurrences(prompt, phrase)
        # "a blue cube and a cube": the cube that is not said to be blue is the other one.
        free = [x for x in places if not any(_within(x, longer) for longer in taken)]
        places = free or places
        if not places:
            raise UsageError(
                "a phrase is not in the prompt", got=phrase, expected=f"a part of {prompt!r}"
            )
        start, stop = places[min(used.get(key, 0), len(places) - 1)]
        used[key] = used.get(key, 0) + 1
        span = tuple(i for i, (a, b) in enumerate(offsets) if a < stop and b > start and a < b)
        if not span or offsets[span[-1]][1] < stop:
            remarks.append(f"{phrase!r} lies beyond the end of what the text encoder sees")
        spans.append(span)
    return Located(tuple(spans), tuple(dict.fromkeys(remarks)))


def _everywhere(prompt: str, phrases: Sequence[str]) -> list[tuple[int, int]]:
    """Characters of all occurrences of all phrases."""
    keys = {" ".join(phrase.lower().split()) for phrase in phrases}
    return [place for key in keys for place in _occurrences(prompt, key)]


def _within(place: tuple[int, int], longer: tuple[int, int]) -> bool:
    """Whether a place is a part of another, longer one."""
    return longer != place and longer[0] <= place[0] and place[1] <= longer[1]


def _occurrences(prompt: str, phrase: str) -> list[tuple[int, int]]:
    """Characters (start, stop) of each occurrence as whole words, or their plural."""
    words = [re.escape(word) for word in phrase.split()]
    if not words:
        return []
    last = words[-1]
    ends = [rf"{last}(?:e?s)?"]
    ends += [rf"{last[:-1]}ies"] if last.endswith("y") else []
    ends += [rf"{last.rstrip('e')[:-1]}ves"] if last.endswith(("f", "fe")) else []
    words[-1] = f"(?:{'|'.join(ends)})"
    pattern = r"(?<!\w)" + r"\s+".join(words) + r"(?!\w)"
    return [match.span() for match in re.finditer(pattern, prompt, re.IGNORECASE)]
