"""Does every link inside the built site lead somewhere? Read from the files, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

LINKED = {
    "a": "href",
    "audio": "src",
    "img": "src",
    "link": "href",
    "script": "src",
    "source": "src",
}
ORIGIN = "http://site.invalid"


class Page(HTMLParser):
    """What one page links to and what in it can be linked to.

    Attributes:
        links: Tag and target of every link, as written.
        anchors: Every `id`, and the `name` of every `a`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors: set[str] = set()

    @classmethod
    def read(cls, path: Path) -> Page:
        """Parse a file."""
        page = cls()
        page.feed(path.read_text("utf-8"))
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        given = {key: value for key, value in attrs if value is not None}
        self.anchors.update(given[key] for key in ("id", "name") if key in given)
        target = given.get(LINKED.get(tag, ""))
        if target and given.get("rel") not in ("canonical", "prev", "next"):
            self.links.append((tag, target))


def broken(site: Path) -> list[str]:
    """Every link to a page, file or anchor that is not there, one sentence each."""
    return list(_broken({path: Page.read(path) for path in sorted(site.rglob("*.html"))}, site))


def foreign(site: Path) -> list[str]:
    """Every file that a page would load from another host; plain links to other hosts are fine."""
    found: list[str] = []
    for path in sorted(site.rglob("*.html")):
        for tag, target in Page.read(path).links:
            if tag != "a" and urlsplit(target).netloc:
                found.append(f"{path.relative_to(site)} loads {target}")
    return found


def _broken(pages: dict[Path, Page], site: Path) -> Iterator[str]:
    for path, page in pages.items():
        if path.name == "404.html":  # it is shown at any address: its links are absolute
            continue
        here = f"{ORIGIN}/{path.relative_to(site).as_posix()}"
        for _, link in dict.fromkeys(page.links):
            target = urlsplit(urljoin(here, link))
            if target.scheme != "http" or f"http://{target.netloc}" != ORIGIN:
                continue
            file = site / unquote(target.path).lstrip("/")
            file = file / "index.html" if file.is_dir() else file
            name = path.relative_to(site)
            if not file.is_file():
                yield f"{name} links to {link}, which is not there"
            elif target.fragment and file in pages:
                if unquote(target.fragment) not in pages[file].anchors:
                    yield f"{name} links to {link}, where nothing has that name"
