"""A small writer of SVG: rectangles, lines, circles, text, each one call.

Numbers are rounded to a tenth of a unit and attributes keep their order, so the same drawing is
the same text.
"""

from __future__ import annotations

from html import escape

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"


def number(value: float) -> str:
    """A coordinate, with at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


class Svg:
    """A drawing of fixed size; its marks appear in the order in which they are added.

    Args:
        width: In user units, as is `height`.
        height: Likewise.
        title: What a reader who cannot see it is told.
        style: Attributes of the root element, such as a class.
    """

    def __init__(self, width: float, height: float, title: str, **style: str) -> None:
        self.width, self.height, self.title, self.style = width, height, title, style
        self.marks: list[str] = []

    def rect(self, x: float, y: float, w: float, h: float, r: float = 0, **style: str) -> None:
        """A rectangle with its upper left corner at (x, y), corners rounded by `r`."""
        corner = {"rx": number(r)} if r else {}
        place = {"x": x, "y": y, "width": w, "height": h}
        self._mark("rect", {k: number(v) for k, v in place.items()} | corner, style)

    def line(self, x1: float, y1: float, x2: float, y2: float, **style: str) -> None:
        """A straight line."""
        place = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
        self._mark("line", {k: number(v) for k, v in place.items()}, style)

    def circle(self, x: float, y: float, r: float, **style: str) -> None:
        """A disc around (x, y)."""
        place = {"cx": x, "cy": y, "r": r}
        self._mark("circle", {k: number(v) for k, v in place.items()}, style)

    def path(self, d: str, **style: str) -> None:
        """A path in SVG's own notation."""
        self._mark("path", {"d": d}, style)

    def text(self, x: float, y: float, words: str, size: float = 13, **style: str) -> None:
        """Words whose baseline starts (or, with `text_anchor`, is centred or ends) at (x, y)."""
        place = {"x": number(x), "y": number(y), "font-size": number(size)}
        self.marks.append(f"<text{_attributes(place | style)}>{escape(words, quote=False)}</text>")

    def render(self) -> str:
        """The whole drawing, ending with a newline."""
        w, h = number(self.width), number(self.height)
        root = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {w} {h}"}
        root |= {"width": w, "height": h, "role": "img", "font-family": FONT} | self.style
        head = f"<svg{_attributes(root)}>\n<title>{escape(self.title)}</title>\n"
        return head + "\n".join(self.marks) + "\n</svg>\n"

    def _mark(self, tag: str, place: dict[str, str], style: dict[str, str]) -> None:
        self.marks.append(f"<{tag}{_attributes(place | style)}/>")


def _attributes(values: dict[str, str]) -> str:
    """Keyword arguments have underscores where SVG has hyphens; `class_` means class."""
    keep = {"viewBox", "xmlns"}
    return "".join(
        f' {k if k in keep else k.rstrip("_").replace("_", "-")}="{escape(v)}"'
        for k, v in values.items()
    )
