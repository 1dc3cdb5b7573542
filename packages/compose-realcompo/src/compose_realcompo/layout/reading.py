"""What a prompt says: things, how many, and how they stand to each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from compose_core.errors import UsageError
from compose_realcompo.layout import lexicon as lex
from compose_realcompo.layout.model import MAX_OBJECTS
from compose_realcompo.layout.phrases import Item, Mark, NounPhrase, cut
from compose_realcompo.layout.words import bare, plural, singular

Place = tuple[int | None, int | None, float | None]

_ENDS = frozenset(".;!?")
_KNOWN = frozenset("the this that these those".split())


@dataclass(frozen=True)
class Thing:
    """Something that the prompt names, once or several times.

    Attributes:
        phrase: words of the prompt, exactly as they stand there.
        name: the noun with its adjectives in lower case, singular when the number is said.
        key: its words, the same for one and for many.
        count: how many boxes it gets.
        said: whether the prompt says how many in a number from two.
        place: the part of the picture: -1, 0, 1 from left to right and from top to bottom, z.
    """

    phrase: str
    name: str
    key: tuple[str, ...]
    count: int = 1
    said: bool = False
    place: Place = (None, None, None)

    @property
    def scale(self) -> float:
        """Width and height against those of a thing of no said size."""
        return min((lex.SIZES.get(word, 1.0) for word in self.key), default=1.0)


@dataclass(frozen=True)
class Relation:
    """Thing number ``subject`` stands in a relation of `lexicon.RELATIONS` to others.

    "between" has two others, which are the same number when it is between several equal ones;
    all other relations have one. "at" and "by" are read as "near".
    """

    name: str
    subject: int
    others: tuple[int, ...]


@dataclass(frozen=True)
class Reading:
    """All that was understood of a prompt."""

    prompt: str
    things: tuple[Thing, ...]
    relations: tuple[Relation, ...]


def read(prompt: str) -> Reading:
    """Understand a prompt, as far as a small grammar goes; what it does not know is left out.

    Raises:
        UsageError: more than `MAX_OBJECTS` boxes would be needed.
    """
    reader = _Reader(prompt, _without_parts(cut(prompt)))
    for at, item in enumerate(reader.items):
        reader.take(at, item)
    total = sum(thing.count for thing in reader.things)
    if total > MAX_OBJECTS:
        raise UsageError(
            "the prompt names too many objects",
            got=", ".join(f"{t.count} {t.name}" for t in reader.things if t.count > 1)
            or f"{total} objects",
            expected=f"at most {MAX_OBJECTS}",
            remedy='leave the number out ("balls on grass") to have one box for all of them',
        )
    return Reading(prompt, tuple(reader.things), tuple(dict.fromkeys(reader.relations)))


def _without_parts(items: Sequence[Item]) -> list[Item]:
    """Decide what "on the left of" means: of the picture a side, of a thing a relation."""
    result: list[Item] = []
    place = 0
    while place < len(items):
        item = items[place]
        place += 1
        if isinstance(item, Mark) and item.kind == "side of":
            of = items[place] if place < len(items) else None
            name = {(-1, None): "left", (1, None): "right", (None, -1): "on", (None, 1): "below"}
            relation = name.get(item.place[:2]) if item.place[2] is None else None
            if isinstance(of, NounPhrase):
                whole = of.head in lex.PICTURES | lex.SCENERY | lex.LANDS
                if relation is not None and not whole:
                    item = Mark("relation", relation)
                else:
                    item, place = replace(item, kind="side"), place + 1
        result.append(item)
    return result


@dataclass
class _Reader:
    """Takes noun phrases and marks one by one."""

    prompt: str
    items: list[Item]
    things: list[Thing] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    last: list[int] = field(default_factory=list)  # whom a relation that follows is about
    first: list[int] = field(default_factory=list)  # what the clause began with
    group: list[int] = field(default_factory=list)  # what "are" is about
    grouped: bool = False  # "are" was said of the group
    fresh: bool = True  # nothing was named since the clause began
    alone: bool = True  # nor since the sentence began
    relation: tuple[str, list[int] | None] | None = None  # begun; None: of what comes later
    others: list[int] = field(default_factory=list)  # of "between"
    waiting: tuple[str, tuple[int, ...]] | None = None  # "behind a cube is ..."
    side: Place | None = None  # "on the left is ..."
    skip: str = ""  # what to do with the next noun phrase: "all", "parts", "predicate"
    relative: bool = False  # "that", "which"

    def take(self, at: int, item: Item) -> None:
        """Go on by one."""
        if isinstance(item, NounPhrase):
            self.noun(item)
            return
        match item.kind:
            case "relation":
                self.relate(at, item)
            case "side" | "side of":
                self.place(at, item.place)
            case "skip":
                self.skip = "all"
            case "copula":
                self.copula(item.name)
            case "aside":
                self.relative = item.name in ("which", "that", "who")
            case _:
                self.join(item.name)

    def join(self, name: str) -> None:
        listing = name in ("and", "&", ",", "or")
        if self.others and listing:
            return  # between a cat and ...
        if name in _ENDS:
            self.alone, self.waiting, self.group = True, None, []
        if not listing:
            self.grouped = True
        self.fresh, self.relation, self.others = True, None, []
        self.skip = "parts" if name == "with" else ""

    def copula(self, name: str) -> None:
        if self.relative or name == "there" or self.waiting is not None:
            self.relative = False
            return
        if name == "many":
            self.last, self.grouped = list(self.group), True
        else:
            self.last = list(self.first)
        self.skip = "predicate" if self.last and self.side is None else ""

    def place(self, at: int, place: Place) -> None:
        """A side of the picture is said of what was named, or of what comes."""
        steps = [i for i in self.items[at + 1 : at + 3] if not _is(i, "aside", "copula")]
        comma = bool(steps) and isinstance(steps[0], Mark) and steps[0].name == ","
        nouns = steps[1:] if comma else steps
        leads = bool(nouns) and isinstance(nouns[0], NounPhrase)
        taken = any(self.taken(number, place) for number in self.last)
        if not self.last or (self.fresh and leads and (not comma or self.alone or taken)):
            self.side = place
            return
        for number in self.last:
            self.put(number, place)
        self.skip = ""

    def taken(self, number: int, place: Place) -> bool:
        old = self.things[number].place
        return any(a is not None and b is not None for a, b in zip(old, place, strict=True))

    def put(self, number: int, place: Place) -> None:
        old = self.things[number].place
        h, v, z = (b if a is None else a for a, b in zip(old, place, strict=True))
        self.things[number] = replace(self.things[number], place=(h, v, z))

    def relate(self, at: int, mark: Mark) -> None:
        """A relation begins: of what was named last, or of what comes after its object."""
        ahead = [i for i in self.items[at + 1 : at + 4] if not _is(i, "aside")]
        inverse = (
            len(ahead) > 1
            and isinstance(ahead[0], NounPhrase)
            and (isinstance(ahead[1], NounPhrase) or _is(ahead[1], "copula"))
        )
        later = self.fresh and (self.alone or inverse)
        subjects = self.first if self.fresh else self.company()
        self.relation = (mark.name, None if later else list(subjects))
        self.others, self.skip = [], ""

    def company(self) -> list[int]:
        """What was named last, and what is listed before it: "a cat and a dog on a sofa"."""
        if self.last != self.first:
            return self.last
        busy = {n for r in self.relations for n in (r.subject, *r.others)}
        free = (None, None, None)
        listed = [n for n in self.group if n not in busy and self.things[n].place == free]
        return [*(n for n in listed if n not in self.last), *self.last]

    def noun(self, phrase: NounPhrase) -> None:
        skip, self.skip = self.skip, ""
        simple = not phrase.article and phrase.count is None
        part = skip == "parts" and (simple or singular(phrase.head) in lex.PARTS)
        if part or skip in ("all", "predicate"):
            return
        if self.relation is not None:
            self.object(self.relation[0], self.relation[1], phrase)
            return
        found = self.find(phrase)
        if not found:
            return
        if self.waiting is not None:
            name, others = self.waiting
            self.waiting = None
            self.relations += [Relation(name, number, others) for number in found]
        if self.side is not None:
            for number in found:
                self.put(number, self.side)
            self.side = None
        if self.fresh:
            self.first = found
            self.group = found if self.grouped else [*self.group, *found]
            self.grouped = False
        self.last, self.fresh, self.alone = found, False, False

    def object(self, name: str, subjects: list[int] | None, phrase: NounPhrase) -> None:
        """Finish the relation that has begun, unless the phrase names the surroundings."""
        if subjects is not None and (phrase.pronoun or self.known(phrase) is not None):
            subjects = subjects[-1:]  # "a ball and a cube next to it"
        surroundings = self.surrounds(name, phrase)
        found = [] if surroundings else self.find(phrase, subjects)
        if not found:
            self.relation = None
            return
        if name == "between":
            several = phrase.count is None and plural(phrase.head) and len(found) == 1
            if several and self.things[found[0]].count == 1:
                self.things[found[0]] = replace(self.things[found[0]], count=2)
            many = self.things[found[0]].count > 1
            self.others += found * 2 if many and not self.others else found
            if len(self.others) < 2:
                return
            found = self.others[:2]
        self.relation, self.others = None, []
        name = "near" if name in ("at", "by") else name
        if subjects is None:
            self.waiting = (name, tuple(found))
            return
        others = tuple(found[:2]) if name == "between" else (found[-1],)
        self.relations += [Relation(name, s, others) for s in subjects if s not in others]
        self.last, self.fresh, self.alone = [found[-1]], False, False

    def surrounds(self, name: str, phrase: NounPhrase) -> bool:
        """Whether what follows a preposition is no object: "on grass", "in a room"."""
        head, simple = phrase.head, not phrase.article and phrase.count is None
        if head in lex.SCENERY:
            return True
        if phrase.pronoun or self.known(phrase) is not None:
            return False
        if name == "in":
            return singular(head) not in lex.CONTAINERS
        if name == "on" and simple and head in lex.IDIOMS | lex.MATERIALS:
            return True
        if name == "at" and simple and not plural(head):
            return True
        if name == "by" and phrase.proper:
            return True  # an artist
        return name in ("on", "at") and head in lex.LANDS

    def find(self, phrase: NounPhrase, besides: list[int] | None = None) -> list[int]:
        """Numbers of the things that a phrase means; a new one when it means none so far."""
        if phrase.pronoun:
            others = [n for n in range(len(self.things)) if n not in (besides or [])]
            many = phrase.words[-1] in ("them", "they")
            several = [n for n in others if self.things[n].count > 1]
            if many and not several:
                return others[-2:]
            return (several if many else others)[-1:]
        only_adjectives = all(_qualifies(word) for word in phrase.words)
        vague = not phrase.article and phrase.count is None
        if phrase.count == 0 or phrase.head in lex.SCENERY or (only_adjectives and vague):
            return []
        if (known := self.known(phrase)) is not None:
            return [known]
        self.things.append(self.thing(phrase))
        return [len(self.things) - 1]

    def known(self, phrase: NounPhrase) -> int | None:
        """The thing that "the ball" means when a ball was named before."""
        if phrase.article not in _KNOWN or phrase.count is not None:
            return None
        wanted = set(phrase.key)
        alike = (n for n, t in enumerate(self.things) if wanted <= set(t.key))
        return next((n for n in alike if self.things[n].key[-1] == phrase.key[-1]), None)

    def thing(self, phrase: NounPhrase) -> Thing:
        count = 1 if phrase.count is None else phrase.count
        begin = phrase.start if count == 1 else phrase.core
        name, key = bare(self.prompt[phrase.core : phrase.end].lower()), phrase.key
        if phrase.head in ("one", "ones") and self.things:  # "and a blue one"
            key = (*key[:-1], self.things[-1].key[-1])
            name = " ".join(key)
        elif not (phrase.count is None or phrase.article or phrase.head in lex.PAIRED):
            whole = rf"\b{re.escape(phrase.head)}\b"
            name = re.sub(whole, singular(phrase.head), name, count=1)
        text = self.prompt[begin : phrase.end]
        return Thing(text, " ".join(name.split()), key, count, said=count > 1)


def _qualifies(word: str) -> bool:
    """Whether a word says how something is: "red", "highly"."""
    return word in lex.ADJECTIVES or (word.endswith("ly") and word not in lex.LY_NOUNS)


def _is(item: Item, *kinds: str) -> bool:
    return isinstance(item, Mark) and item.kind in kinds
