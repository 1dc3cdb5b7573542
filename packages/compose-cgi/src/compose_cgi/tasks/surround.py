"""What surrounds a place, as the six faces of a cube; see `compose_cgi.cube`."""

from __future__ import annotations

from collections.abc import Sequence

from compose_cgi.cube import FACES, around, cube_views, face
from compose_cgi.graph import Graph, Observation, Variable
from compose_cgi.tasks.layout import Composition
from compose_cgi.voices import Voices
from compose_core.errors import UsageError
from compose_core.method import Beside

__all__ = ["from_prompts"]

CANVAS = "cube"


def from_prompts(
    voices: Voices, n: int, prompts: str | Sequence[str], negative: str = "", *, margin: int = 0
) -> Composition:
    """A cube under one prompt, or one for each face; across an edge words of both sides are mixed.

    Args:
        voices: The model.
        n: Cells along an edge, even.
        prompts: One, or six in the order of `FACES`.
        negative: What all views are guided away from.
        margin: Cells around each face in the pictures beside, see `around`.

    Raises:
        UsageError: Another number of prompts, or `n` is odd.
    """
    told = [prompts] * len(FACES) if isinstance(prompts, str) else list(prompts)
    if len(told) != len(FACES):
        raise UsageError(
            "prompts and faces do not match",
            got=f"{len(told)} prompts",
            expected=f"1, or one for each of {', '.join(FACES)}",
        )
    words: dict[str, str] = dict(zip(FACES, told, strict=True))
    seen: list[Observation] = []
    for name, view in cube_views(n).items():
        both = list(dict.fromkeys(words[part] for part in name.split(", ")))
        said = voices.between(both, [1 / len(both)] * len(both), negative)
        seen.append(Observation(name, (CANVAS,), said, view))
    return Composition(
        graph=Graph([Variable(CANVAS, (len(FACES), n, n))], seen),
        picture=face(FACES[0], n),
        beside={name: Beside(view=around(name, n, margin)) for name in FACES},
    )
