"""The closed word lists behind the phrase rules: what the prompt templates are made of."""

from __future__ import annotations

NUMBERS = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
"""Number words, the articles that mean one included."""

DETERMINERS = frozenset(NUMBERS) | frozenset(
    "the some no many several few both each this that these those its his her their my your "
    "our another".split()
)

RELATIONS: dict[str, tuple[str, ...]] = {
    "left of": ("on the left of", "to the left of", "left of"),
    "right of": ("on the right of", "to the right of", "right of"),
    "above": ("on the top of", "on top of", "above"),
    "below": ("on the bottom of", "on bottom of", "below", "underneath", "under"),
    "near": ("on side of", "on the side of", "next to", "near", "beside"),
    "in front of": ("in front of",),
    "behind": ("hidden by", "behind"),
}
"""Relations and how prompts word them."""

WORDINGS = {wording: name for name, wordings in RELATIONS.items() for wording in wordings}
"""The relation that each wording means."""

COLORS = frozenset(
    "red orange yellow green blue purple violet pink brown black white gray grey beige gold "
    "golden silver tan teal cyan magenta turquoise maroon navy crimson".split()
)
SHAPES = frozenset(
    "round square rectangular circular triangular oval oblong cubic cylindrical conical "
    "spherical pyramidal pentagonal hexagonal teardrop diamond crescent tall short long big "
    "small large little huge tiny wide narrow thin thick".split()
)
TEXTURES = frozenset(
    "wooden metallic plastic rubber leather glass fabric fluffy silky woolen stone velvet "
    "striped spotted checkered".split()
)
QUALITIES = frozenset(
    "soft hard rough smooth sharp bright dull warm cool hot cold crisp shiny sleek fresh old "
    "new rusty dusty damp wet dry clean dirty dark light colorful juicy ripe sweet sour spiky "
    "jagged bumpy fuzzy glossy delicate cozy heavy empty deep pale transparent opaque".split()
)
ADJECTIVES = COLORS | SHAPES | TEXTURES | QUALITIES
"""Words that describe; the only ones that an adjective rule drops."""

BOUNDARIES = frozenset(
    "and or but with while of in on at to from by near next beside above below under over behind "
    "inside outside into onto between through across past against beneath around along alongside "
    "for as up down out off within without among toward towards beyond where which who that when "
    "it they he she there".split()
)
"""Words that no noun phrase contains; "and" joins adjectives too, see `phrases`."""

VERBS = frozenset(
    "is are was were be been being am has have had sat sits sit lay lays lies stood stands stand "
    "flew flies sped drove hung hangs hang shone fell wrote slept swam cut held holds hold grew "
    "rose sank spread rest rests display displays stuck swung ran runs ate eats wore wears made "
    "makes sang sings kept keeps features".split()
)
TO_BE = frozenset("is are was were be been being".split())

PLURALS = {
    "men": "man",
    "women": "woman",
    "people": "person",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "knives": "knife",
    "leaves": "leaf",
    "shelves": "shelf",
    "loaves": "loaf",
    "wolves": "wolf",
    "scarves": "scarf",
    "cookies": "cookie",
    "movies": "movie",
    "shoes": "shoe",
    "canoes": "canoe",
    "dice": "die",
    "cacti": "cactus",
}
INVARIANT = frozenset("fish goldfish sheep deer shrimp aircraft series species scissors".split())
