"""Open the built site in a browser without a window, use it, and look at it.

Usage: ``python scripts/docs/browse.py SITE SHOTS``

Sorts a leaderboard by a click, searches, follows every internal link, and checks that nothing is
asked of another host. Screenshots go into the folder SHOTS. The browser is the Chromium that
``CHROMIUM`` names, or one on the path.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SIZES = {"phone": (390, 844), "desktop": (1360, 900)}
LOOKED_AT = (
    "",
    "concepts/",
    "concepts/composer/",
    "scene-file/",
    "methods/regional/",
    "tutorials/gaussians/",
    "zoo/sd-tiny/",
    "leaderboards/",
    "leaderboards/papers/",
    "api/compose_core/compose/",
    "decisions/",
)


def main(site: Path, shots: Path) -> int:
    """Do all of it; the number of complaints is the exit code, up to 1."""
    complaints: list[str] = []
    with _served(site) as origin, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        page = browser.new_page()
        _watch(page, origin, complaints)
        for check in (sorts, searches, follows):
            try:
                print(check(page, origin))
            except Exception as error:  # a timeout, or a check that failed
                complaints.append(f"{check.__name__}: {error}")
        _shoot(browser, origin, shots, site)
        browser.close()
    for line in dict.fromkeys(complaints):
        print(line, file=sys.stderr)
    return min(len(complaints), 1)


def sorts(page: Page, origin: str) -> str:
    """Click the heading of the last column of numbers twice: it is in order, then reversed."""
    address = _board(page, origin)
    page.goto(address)
    head = page.locator("table.ranking").first.locator("th[data-sort-method=number]").last
    column = head.evaluate("th => th.cellIndex")
    script = (
        "([table, column]) => [...table.tBodies[0].rows]"
        ".map(row => Number(row.cells[column].dataset.sort))"
    )
    table = page.locator("table.ranking").first.element_handle()
    orders: list[list[float]] = []
    for _ in range(2):
        head.click()
        orders.append(page.evaluate(script, [table, column]))
    for values in orders:
        if values not in (sorted(values), sorted(values, reverse=True)):
            raise AssertionError(f"not in order after a click: {values}")
    if len(set(orders[0])) > 1 and orders[0] == orders[1]:
        raise AssertionError("a second click does not reverse the order")
    return f"sorted {len(orders[0])} rows of {urlsplit(address).path}"


def _board(page: Page, origin: str) -> str:
    """A leaderboard of a suite, or the papers' tables where there is no record yet."""
    page.goto(f"{origin}/leaderboards/")
    first = page.locator("table.ranking a").first
    if first.count():
        return str(first.evaluate("a => a.href"))
    return f"{origin}/leaderboards/papers/"


def searches(page: Page, origin: str) -> str:
    """Search for a word of the concepts; the first hits name it, and lead to a page with it."""
    page.goto(f"{origin}/")
    page.keyboard.press("/")
    page.locator("input.md-search__input").fill("least squares")
    hits = page.locator("a.md-search-result__link")
    hits.first.wait_for(timeout=20_000)
    count = hits.count()
    hits.first.click()
    page.wait_for_load_state()
    if "least" not in page.locator("article").inner_text().lower():
        raise AssertionError(f"the first hit, {page.url}, does not hold the word")
    return f"searched, {count} hits, and opened {urlsplit(page.url).path}"


def follows(page: Page, origin: str) -> str:
    """Go wherever links lead, from the first page on, and ask for every page once."""
    waiting, seen = [f"{origin}/"], set[str]()
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        if not _is_page(address):
            answer = page.request.get(address)
            if not answer.ok:
                raise AssertionError(f"{address} answers {answer.status}")
            continue
        answer = page.goto(address, wait_until="load")
        if answer is None or not answer.ok:
            raise AssertionError(f"{address} answers {answer.status if answer else 'nothing'}")
        links = page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
        inside = {urldefrag(link)[0] for link in links if link.startswith(f"{origin}/")}
        waiting += sorted(inside - seen)
    return f"followed links to {len(seen)} addresses"


def _is_page(address: str) -> bool:
    path = urlsplit(address).path
    return path.endswith("/") or path.endswith(".html")


def _watch(page: Page, origin: str, complaints: list[str]) -> None:
    """Complain about requests to other hosts, failed ones, and errors of scripts."""

    def request(url: str) -> None:
        if not url.startswith((origin, "data:", "blob:")):
            complaints.append(f"{page.url} asks {url}")

    def answered(url: str, status: int) -> None:
        if status >= 400:
            complaints.append(f"{url} answers {status}")

    page.on("request", lambda asked: request(asked.url))
    page.on("response", lambda r: answered(r.url, r.status))
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))


def _shoot(browser: Browser, origin: str, shots: Path, site: Path) -> None:
    """Screenshots in light and dark, on a phone and a desktop."""
    shots.mkdir(parents=True, exist_ok=True)
    boards = sorted(p.name for p in (site / "leaderboards").iterdir() if p.is_dir())
    suites = [n for n in boards if (site / "leaderboards" / "plots" / f"{n}-light.svg").is_file()]
    places = [*LOOKED_AT, *(f"leaderboards/{name}/" for name in suites[:2])]
    for scheme in ("light", "dark"):
        for size, (width, height) in SIZES.items():
            context = browser.new_context(
                color_scheme=scheme, viewport={"width": width, "height": height}
            )
            page = context.new_page()
            for place in places:
                page.goto(f"{origin}/{place}", wait_until="load")
                name = place.strip("/").replace("/", "-") or "start"
                page.screenshot(path=shots / f"{name}-{scheme}-{size}.png", full_page=True)
            context.close()
    print(f"screenshots of {len(places)} pages in {shots}")


def _chromium() -> str:
    named = os.environ.get("CHROMIUM")
    found = named or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit(f"no browser: install one of {', '.join(NAMES)}, or name it in CHROMIUM")
    return found


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def _served(site: Path) -> Iterator[str]:
    """The site at an address of this machine."""
    handler = partial(_Quiet, directory=str(site))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
