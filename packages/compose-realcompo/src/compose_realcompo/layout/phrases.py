"""Prompts cut into noun phrases and the marks between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from compose_realcompo.layout import lexicon as lex
from compose_realcompo.layout.words import Word, plural, singular, split

PRONOUNS = frozenset({"it", "them", "him", "they"})
_LONGEST = max(map(len, [*lex.MARKS, *lex.SIDES]))


@dataclass(frozen=True)
class Mark:
    """What stands between noun phrases.

    Attributes:
        kind: "relation", "side", "join", "skip", "aside" or "copula".
        name: which one; for sides the words.
        place: of sides: -1, 0, 1 from left to right and from top to bottom, and z; None: unsaid.
    """

    kind: str
    name: str
    place: tuple[int | None, int | None, float | None] = (None, None, None)


@dataclass(frozen=True)
class NounPhrase:
    """An object, a pronoun, or surroundings.

    Attributes:
        words: adjectives and noun in lower case, without article and number.
        head: the noun in lower case.
        count: the number that is said; None when none is.
        article: the determiner that goes right before it, "" for none.
        start: where it begins in the prompt, its article included and its number not.
        end: where it ends.
        core: where its first word begins.
        proper: whether it looks like the name of somebody.
    """

    words: tuple[str, ...]
    head: str
    count: int | None
    article: str
    start: int
    end: int
    core: int
    proper: bool = False

    @property
    def pronoun(self) -> bool:
        """Whether it stands for something said before."""
        return self.words[-1] in PRONOUNS

    @property
    def key(self) -> tuple[str, ...]:
        """What it says, the same for one and for many."""
        return tuple(singular(word) if word == self.head else word for word in self.words)


Item = Mark | NounPhrase


def cut(prompt: str) -> list[Item]:
    """The prompt as noun phrases and marks, in their order."""
    return _Cutter(prompt).items()


class _Cutter:
    """Walks over the words once."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        self.words = split(prompt)

    def items(self) -> list[Item]:
        found: list[Item] = []
        at = 0
        while at < len(self.words):
            mark, length = self.mark(at)
            if mark is not None:
                found.append(mark)
                at += length
                continue
            phrase, verb, after = self.noun(at)
            if phrase is not None and phrase.head in lex.PICTURES and self.text(after) == "of":
                after += 1  # "a photo of" opens the prompt and is no object
            elif phrase is not None:
                found.append(phrase)
            if verb is not None:
                found.append(verb)
            at = max(after, at + 1)
        return found

    def text(self, at: int) -> str:
        return self.words[at].text if at < len(self.words) else ""

    def mark(self, at: int) -> tuple[Mark | None, int]:
        """The longest mark that begins here, and how many words it has."""
        if at < len(self.words) and self.words[at].punctuation:
            return Mark("join", self.text(at)), 1
        for length in range(min(_LONGEST, len(self.words) - at), 0, -1):
            words = tuple(word.text for word in self.words[at : at + length])
            if words in lex.SIDES and words not in lex.MARKS:
                of = self.text(at + length) == "of"
                name = "side of" if of else "side"
                return Mark(name, " ".join(words), lex.SIDES[words]), length + of
            if words in lex.MARKS:
                return Mark(*lex.MARKS[words]), length
        return None, 0

    def noun(self, at: int) -> tuple[NounPhrase | None, Mark | None, int]:
        """The noun phrase that begins here, a verb after it, and where to go on."""
        count, article, begin = self.number(at)
        words, after = self.adjectives_and_noun(begin)
        if not words:
            return None, None, after
        if len(words) == 1 and begin == at and is_verb(words[0].text) and self.opens(after):
            return None, Mark("join", words[0].text), after  # "..., holding an umbrella"
        words, verb = self.without_verb(words, article, count, after)
        raw = self.prompt[words[0].start : words[-1].end]
        phrase = NounPhrase(
            words=tuple(word.text for word in words),
            head=words[-1].text,
            count=1 if count == 2 and words[-1].text in lex.PAIRED else count,
            article=article,
            start=self.words[begin - 1].start if article else words[0].start,
            end=words[-1].end,
            core=words[0].start,
            proper=not article and all(part[:1].isupper() for part in raw.split()),
        )
        if verb is None and self.text(after) == "of" and phrase.head not in lex.PICTURES:
            return self.with_of(phrase, after)
        return phrase, verb, after

    def number(self, at: int) -> tuple[int | None, str, int]:
        """How many, the determiner when it is the last word before the noun, and what is next."""
        count: int | None = None
        article = ""
        while at < len(self.words):
            quantity = next((q for q in lex.QUANTITIES if self.starts(at, q)), None)
            text = self.text(at)
            if quantity is not None:
                count, article = lex.QUANTITIES[quantity], ""
                at += len(quantity)
            elif (value := number(text)) is not None:
                count = value if count is None or count <= 1 else count * value
                article = ""
                at += 2 if self.text(at + 1) == "of" else 1
            elif text in lex.DETERMINERS:
                article = text
                count = 1 if text in ("a", "an", "another") else count
                at += 1
            else:
                break
        return count, article, at

    def starts(self, at: int, words: tuple[str, ...]) -> bool:
        return tuple(word.text for word in self.words[at : at + len(words)]) == words

    def adjectives_and_noun(self, at: int) -> tuple[list[Word], int]:
        found: list[Word] = []
        while at < len(self.words):
            if found and self.joins(found[-1].text, at):
                at += 1
            elif self.mark(at)[0] is not None or self.text(at) == "of":
                break
            elif self.opens(at) and not (found and self.text(at) in ("one", "ones")):
                break
            found.append(self.words[at])
            at += 1
        return found, at

    def opens(self, at: int) -> bool:
        """Whether a noun phrase begins here by its determiner or number."""
        return self.text(at) in lex.DETERMINERS or number(self.text(at)) is not None

    def joins(self, last: str, at: int) -> bool:
        """Whether a comma or "and" goes on with adjectives: "a red and blue ball"."""
        following = self.text(at + 1)
        if self.text(at) not in (",", "and", "&", "or") or last not in lex.ADJECTIVES:
            return False
        if not following or self.opens(at + 1) or self.mark(at + 1)[0] is not None:
            return False
        return last not in lex.NOUNS_TOO or following in lex.ADJECTIVES

    def without_verb(
        self, words: list[Word], article: str, count: int | None, after: int
    ) -> tuple[list[Word], Mark | None]:
        """Split a verb from the end: "a dog chasing | a ball"."""
        if len(words) < 2:
            return words, None
        for place in range(1, len(words) - 1):  # "a robot playing | chess"
            if is_verb(words[place].text) and words[place - 1].text not in lex.ADJECTIVES:
                return words[:place], Mark("aside", words[place].text)
        last, mark = words[-1].text, self.mark(after)[0]
        if words[-2].text in lex.ADJECTIVES:
            return words, None
        leads_on = mark is not None and mark.kind in ("relation", "skip", "side", "side of")
        if last == "riding":
            return words[:-1], Mark("relation", "on")
        if is_verb(last):
            return words[:-1], Mark("join", last) if self.opens(after) else Mark("aside", last)
        if leads_on and (last.endswith("ed") or last in lex.PARTICIPLES):
            return words[:-1], Mark("aside", last)
        one = count == 1 and plural(last) and last not in lex.PAIRED
        if one and article in ("a", "an") and (leads_on or self.opens(after)):
            return words[:-1], Mark("join", last) if self.opens(after) else Mark("aside", last)
        return words, None

    def with_of(
        self, phrase: NounPhrase, after: int
    ) -> tuple[NounPhrase | None, Mark | None, int]:
        """Go on after "of": "a cup of coffee" is one thing, "a row of five trees" five."""
        inner, verb, end = self.noun(after + 1)
        if inner is None:
            return phrase, verb, max(end, after + 1)
        if phrase.head in lex.GROUPS and inner.count is not None:
            return inner, verb, end
        return replace(phrase, end=inner.end), verb, end


def is_verb(text: str) -> bool:
    """Whether a word in -ing does something: "holding", but not "building"."""
    return text.endswith("ing") and text not in lex.ING_NOUNS


def number(text: str) -> int | None:
    """The number that a word says, None when it is none; huge ones are cut to a million."""
    if text.isascii() and text.isdigit():
        return int(text) if len(text) < 7 else 10**6
    return lex.NUMBERS.get(text)
