"""The words that the grammar of prompts knows; all others are nouns and adjectives."""

from __future__ import annotations

from itertools import product

NUMBERS: dict[str, int] = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
} | {"no": 0, "dozen": 12, "thirty": 30, "forty": 40, "fifty": 50, "hundred": 100,
     "thousand": 1000, "million": 10**6}  # fmt: skip
"""Words that say how many."""

DETERMINERS = frozenset(
    "a an the another this these those my your his her its our their some any each every both "
    "all several many few various numerous".split()
)
"""Words that begin a noun phrase and are no part of the noun."""

QUANTITIES: dict[tuple[str, ...], int | None] = {
    ("a", "few"): None, ("a", "lot", "of"): None, ("lots", "of"): None, ("plenty", "of"): None,
    ("a", "number", "of"): None, ("dozens", "of"): None, ("hundreds", "of"): None,
    ("thousands", "of"): None, ("a", "couple", "of"): 2, ("a", "pair", "of"): 2,
    ("a", "dozen"): 12, ("half", "a", "dozen"): 6, ("a", "single"): 1,
    ("a", "hundred"): 100, ("a", "thousand"): 1000,
}  # fmt: skip
"""Several words that say how many; None: it is not said how many."""

PAIRED = frozenset(
    "scissors glasses sunglasses goggles pants trousers jeans shorts tights binoculars pliers "
    "headphones".split()
)
"""A pair of them is one thing."""

COLOURS = frozenset(
    "red green blue yellow purple orange white black brown grey gray pink cyan magenta turquoise "
    "violet beige teal silver gold golden crimson scarlet navy maroon ivory indigo lime tan "
    "colored coloured colorful colourful".split()
)
MATERIALS = frozenset(
    "glass wood wooden metal metallic stone marble plastic rubber leather paper brick concrete "
    "ceramic porcelain steel iron bronze copper brass cotton woolen woollen velvet silk clay "
    "crystal fabric".split()
)
_QUALITIES = frozenset(
    "small little tiny large big huge giant gigantic enormous tall short long thin thick wide "
    "narrow fat slim round square oval flat old new young ancient modern vintage antique rustic "
    "shiny matte dull bright dark light pale soft hard smooth rough fluffy furry hairy striped "
    "spotted dotted plain beautiful pretty cute lovely ugly happy sad angry sleepy lonely funny "
    "detailed realistic photorealistic hyperrealistic surreal abstract minimalist cinematic "
    "dramatic epic sharp blurry elegant fancy clean dirty wet dry empty full open closed broken "
    "hot cold warm cool heavy transparent translucent shimmering glossy high low deep shallow "
    "fresh ripe rotten delicious nice stunning gorgeous majestic 3d 2d 4k 8k hd uhd".split()
)
ADJECTIVES = COLOURS | MATERIALS | _QUALITIES
"""Words that go before a noun; the grammar takes others, too, but knows these in a list."""

NOUNS_TOO = MATERIALS | frozenset("orange gold silver light lime ivory violet square".split())
"""Adjectives that can also be the thing itself: "an orange and a glass"."""

SIZES: dict[str, float] = {
    "tiny": 0.5, "minuscule": 0.5, "small": 0.7, "little": 0.7, "short": 0.7,
}  # fmt: skip
"""How much of its usual width and height a thing of this size gets."""

SCENERY = frozenset(
    "grass lawn turf meadow sand desert dune dunes beach snow ice mud dirt soil ground earth "
    "floor sky skies heavens room dusk dawn evening night morning noon afternoon midnight day "
    "daylight sunset sunrise twilight moonlight sunlight darkness rain fog mist wind shade "
    "background backdrop foreground horizon landscape scenery scene environment air water space "
    "nothing light lighting shadow shadows weather winter summer autumn spring style art artwork "
    "quality resolution bokeh artstation render rendering illustration "
    "hour focus depth 35mm 50mm 85mm kitchen bathroom bedroom office classroom library cafe "
    "restaurant garden park forest woods jungle city cityscape town village street "
    "distance indoors outdoors nature world field fields".split()
)
"""Nouns that name the surroundings or the picture itself, never an object."""

LANDS = frozenset(
    "mountain mountains hill hills lake river sea ocean pond island road sidewalk path "
    "pavement wall roof ceiling stage court track runway ledge shore coast cliff "
    "farm valley canyon harbor harbour market school "
    "hall studio museum station airport zoo party wedding home work moon mars "
    "planet".split()
)
"""Nouns that name the surroundings after "on" and "at", and an object elsewhere."""

IDIOMS = frozenset("fire display sale top foot vacation holiday duty guard canvas edge".split())
"""What follows "on" without naming an object: "on fire"."""

CONTAINERS = frozenset(
    "box basket vase bowl cup mug glass jar bottle bag bucket pot pan crate cage drawer chest "
    "barrel tank aquarium tub bathtub sink suitcase backpack trunk cart wagon boat car truck bus "
    "nest bed crib cradle cabinet frame tray wheelbarrow hammock stroller".split()
)
"""Things that other things can be in; "in" anything else names the surroundings."""

PARTS = frozenset(
    "hat cap roof eye eyes hair fur tail ear ears nose mouth beard moustache mustache face head "
    "arm arms leg legs hand hands wing wings horn horns feather feathers handle handles wheel "
    "wheels stripe stripes spot spots dot dots leaf leaves lid label shirt dress jacket coat "
    "scarf tie shoes boots gloves glasses sunglasses smile expression collar window windows door "
    "doors top bottom edge edges side sides surface texture pattern stem petals".split()
)
"""With one of these a thing is still one thing: "a house with a red roof"."""

GROUPS = frozenset(
    "group pair row stack pile set bunch line herd flock crowd trio team collection cluster "
    "circle column heap".split()
)
"""Nouns that a number of others may follow: "a row of five trees"."""

PICTURES = frozenset(
    "picture photo photograph image painting drawing sketch illustration render rendering view "
    "shot portrait scene snapshot closeup close-up depiction canvas frame".split()
)
"""Nouns that name the picture itself: "a photo of a cat"."""

ING_NOUNS = frozenset(
    "building painting ring king string wing swing spring ceiling thing earring clothing railing "
    "awning sibling duckling dumpling pudding sling drawing sapling seedling icing lightning "
    "wedding viking boxing-ring nothing".split()
)
"""Words in -ing that are no verbs."""

LY_NOUNS = frozenset("fly butterfly dragonfly lily jelly belly family bully ally doily".split())
"""Words in -ly that are no adverbs."""

PARTICIPLES = frozenset("standing sitting lying set hung built drawn seen shown".split())
"""Verbs after a noun that do not end in -ed: "a statue built on a hill"."""

_SAME_SIDE = ("", "far ", "very ")
_Place = tuple[int | None, int | None, float | None]
_PLACES: dict[str, _Place] = {
    "left": (-1, None, None), "right": (1, None, None),
    "top": (None, -1, None), "bottom": (None, 1, None),
    "upper": (None, -1, None), "lower": (None, 1, None),
    "middle": (0, 0, None), "center": (0, 0, None), "centre": (0, 0, None),
    "background": (None, None, -1.0), "foreground": (None, None, 1.0),
    "back": (None, None, -1.0), "front": (None, None, 1.0), "distance": (None, None, -1.0),
}  # fmt: skip
for _h in ("left", "right"):
    _PLACES[f"{_h}-hand"] = _PLACES[_h]
    for _v, _joint, _hand in product(("top", "upper", "bottom", "lower"), " -", ("", "-hand")):
        _PLACES[f"{_v}{_joint}{_h}{_hand}"] = (_PLACES[_h][0], _PLACES[_v][1], None)
_SUFFIXES = ("", " side", " hand side", " corner", " half", " part", " edge", " third", " area")

SIDES: dict[tuple[str, ...], _Place] = {
    tuple(f"{prep} the {far}{name}{suffix}".split()): place
    for prep in ("in", "on", "at", "to")
    for far in _SAME_SIDE
    for name, place in _PLACES.items()
    for suffix in _SUFFIXES
} | {tuple(f"{prep} {name}".split()): _PLACES[name]
     for prep in ("in", "on", "at") for name in ("left", "right", "top", "center", "foreground")
     if (prep, name) != ("on", "top")}  # fmt: skip
"""Wordings of parts of the picture: -1, 0, 1 for left, middle, right; for top, middle, bottom; z.
"""

RELATIONS: dict[str, tuple[str, ...]] = {
    "left": ("left of",),
    "right": ("right of",),
    "on": ("on", "on top of", "on the top of", "atop", "upon", "onto"),
    "above": ("above", "over"),
    "below": ("below", "under", "underneath", "beneath"),
    "front": ("in front of", "in the front of"),
    "behind": ("behind", "in back of", "at the back of", "in the back of"),
    "near": (
        "next to", "beside", "near", "near to", "close to", "alongside", "adjacent to",
        "against", "around", "opposite", "facing", "at the side of", "by the side of",
        "side by side with", "along",
    ),
    "by": ("by",),
    "between": ("between", "in between"),
    "in": ("in", "inside", "inside of", "within", "into"),
    "at": ("at",),
}  # fmt: skip
"""Names of the relations and how prompts word them."""

_JOINS = (
    "and", "plus", "or", "but", "while", "as well as", "along with", "together with", "with",
    "then", "also", "where", "featuring", "containing", "including", "shows", "showing",
    "depicts", "depicting", "contains", "accompanied by",
)  # fmt: skip
_SKIPS = (
    "for", "from", "through", "across", "without", "during", "like", "as", "to", "off", "about",
    "than", "via", "wearing", "dressed in", "made of", "made from", "made out of", "covered in",
    "covered with", "covered by", "filled with", "decorated with", "painted in", "painted with",
    "full of", "in the style of", "style of", "with no", "up", "down", "toward", "towards",
)  # fmt: skip
_ASIDES = (
    "each other", "one another", "side by side", "together", "only", "which", "that", "who",
    "please", "directly", "just", "slightly", "immediately", "right next to each other",
)  # fmt: skip
_COPULAS = {
    "is": "one", "was": "one", "stands": "one", "sits": "one", "lies": "one", "rests": "one",
    "hangs": "one", "floats": "one", "are": "many", "were": "many", "sit": "many",
    "there is": "there", "there are": "there", "there's": "there", "we see": "there",
    "i see": "there", "you see": "there", "we can see": "there", "you can see": "there",
    "i want": "there", "show me": "there", "draw": "there", "generate": "there",
    "create": "there", "imagine": "there", "depict": "there", "paint": "there", "make": "there",
}  # fmt: skip

MARKS: dict[tuple[str, ...], tuple[str, str]] = {
    **{tuple(words.split()): ("join", words) for words in _JOINS},
    **{tuple(words.split()): ("skip", words) for words in _SKIPS},
    **{tuple(words.split()): ("aside", words) for words in _ASIDES},
    **{tuple(words.split()): ("copula", value) for words, value in _COPULAS.items()},
    **{
        tuple(words.split()): ("relation", name)
        for name, options in RELATIONS.items()
        for words in options
    },
}
"""Words between noun phrases: what they are, and which."""

IRREGULAR: dict[str, str] = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "feet": "foot",
    "teeth": "tooth", "geese": "goose", "mice": "mouse", "oxen": "ox", "wolves": "wolf",
    "knives": "knife", "wives": "wife", "lives": "life", "leaves": "leaf", "loaves": "loaf",
    "shelves": "shelf", "scarves": "scarf", "halves": "half", "calves": "calf", "elves": "elf",
    "thieves": "thief", "cacti": "cactus", "cookies": "cookie", "movies": "movie",
    "zombies": "zombie", "brownies": "brownie", "pies": "pie", "ties": "tie", "axes": "axe",
    "selfies": "selfie", "tori": "torus", "policemen": "policeman", "firemen": "fireman",
    "snowmen": "snowman", "shoes": "shoe", "toes": "toe", "canoes": "canoe", "oboes": "oboe",
    "caches": "cache", "dice": "die", "buses": "bus", "gases": "gas", "lenses": "lens",
    "lens": "lens", "canvas": "canvas", "gas": "gas", "atlas": "atlas", "series": "series",
    "species": "species", "chaos": "chaos", "cosmos": "cosmos", "canvases": "canvas",
}  # fmt: skip
"""Plurals that follow no rule, and singulars that look like plurals."""
