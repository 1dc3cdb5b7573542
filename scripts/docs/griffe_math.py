"""Docstrings write formulas as Sphinx does; the site reads them as Markdown does.

A griffe extension, named in `mkdocs.yml`: `.. math::` blocks become `$$...$$`, and ``:math:`x```
becomes `$x$`.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Extension, Object

_BLOCK = re.compile(r"^( *)\.\. math::[ ]?(.*)\n((?:\1[ ]+.*\n?|[ ]*\n)*)", re.MULTILINE)
_INLINE = re.compile(r":math:`([^`]+)`")


def to_markdown(text: str) -> str:
    """A docstring with its formulas in the notation of arithmatex."""
    return _INLINE.sub(lambda m: f"${m[1]}$", _BLOCK.sub(_display, text + "\n").rstrip("\n"))


def _display(found: re.Match[str]) -> str:
    indent, first, rest = found.groups()
    body = "\n".join(part for part in (first, textwrap.dedent(rest)) if part.strip())
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    if any("&" in line for line in lines):  # columns that are aligned
        lines = ["\\begin{aligned}", *lines, "\\end{aligned}"]
    inside = "\n".join(f"{indent}{line}" for line in lines)
    return f"\n{indent}$$\n{inside}\n{indent}$$\n\n"


class Formulas(Extension):
    """Rewrites every docstring as it is collected."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """See `griffe.Extension`."""
        del kwargs
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
