"""What the paper says and what the published code does: every difference, in one table.

| switch | `"paper"` | `"official"` |
|---|---|---|
| `equal_draw` | one draw: all begin with the same share (Eq. 1) | one draw for each branch |
| `text_grad` | the loss of every branch moves the shares (Eq. 6) | not that of the fidelity ones |
| `update_early` | nothing is looked ahead before t0 | shares move also there, unused |
| `look_at_next` | the look-ahead asks at the level it stepped to | at the level of now |
| `half_heads` | all heads | the second half of those of fidelity branches |
| `head_word` | all tokens of a phrase, averaged | its last token alone |
| `truncate` | a box has the cells that it covers half of | corners cut down to whole cells |

What the published code does besides and is not imitated: it recomputes attention of the layout
branch from the outputs of blocks instead of taking the network's own; it takes the derivative
twice; and it ignores the seed when it draws coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from compose_core.errors import UsageError

__all__ = ["VARIANTS", "Name", "Variant", "variant"]

Name = Literal["paper", "official"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One column of the table above."""

    equal_draw: bool = True
    text_grad: bool = True
    update_early: bool = False
    look_at_next: bool = True
    half_heads: bool = False
    head_word: bool = False
    truncate: bool = False


VARIANTS: dict[Name, Variant] = {
    "paper": Variant(),
    "official": Variant(
        equal_draw=False,
        text_grad=False,
        update_early=True,
        look_at_next=False,
        half_heads=True,
        head_word=True,
        truncate=True,
    ),
}


def variant(name: Name | Variant) -> Variant:
    """A variant by its name, or itself.

    Raises:
        UsageError: There is none of that name.
    """
    if isinstance(name, Variant):
        return name
    if name not in VARIANTS:
        raise UsageError("unknown variant", got=name, expected=" or ".join(VARIANTS))
    return VARIANTS[name]
