"""Words of a prompt with their places in it, and their singular forms."""

from __future__ import annotations

import re
from dataclasses import dataclass

from compose_realcompo.layout.lexicon import IRREGULAR

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*|[^\s]")
_MARKS = frozenset("\"“”'‘’*_")  # they are around words, not between them
_QUOTED = re.compile(
    r"\b(?:saying|says|reading|reads|labell?ed|titled|named|called|words?|text)\s*"
    r'(?:"[^"]*"|“[^”]*”)',
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Word:
    """A word or a mark of punctuation.

    Attributes:
        text: in lower case.
        start: where it begins in the prompt, in characters.
        end: where it ends.
    """

    text: str
    start: int
    end: int

    @property
    def punctuation(self) -> bool:
        """Whether it is no word."""
        return not self.text[0].isalnum()


def split(prompt: str) -> list[Word]:
    """The words of a prompt; what a sign says ("saying ...") is left out.

    A possessive stays one word, and so does a compound with a hyphen.
    """
    silent = _QUOTED.sub(lambda found: " " * len(found.group()), prompt)
    return [
        Word(found.group().lower().replace("’", "'"), found.start(), found.end())
        for found in _WORD.finditer(silent)
        if found.group() not in _MARKS
    ]


def bare(text: str) -> str:
    """The text without quotation marks and the like."""
    return "".join(character for character in text if character not in _MARKS - {"'", "’"})


def singular(word: str) -> str:
    """The singular of a noun in lower case; a noun that is no plural stays as it is.

    English spelling does not tell all plurals from singulars; names are made of this and boxes
    counted by it, so being the same for the same word matters more than being right.
    """
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is", "'s")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zzes", "oes")):
        return word[:-2]
    if word.endswith("uses") and not word.endswith(("ouses", "auses")):
        return word[:-2]
    return word[:-1]


def plural(word: str) -> bool:
    """Whether a noun in lower case looks like a plural."""
    return singular(word) != word
