"""The site: its generated pages are current, it builds without a warning, every link leads on."""

import csv
import html
import importlib
import io
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
METRIC, FID = "score@tiny-v1", "fid@tiny-v1"

pytest.importorskip("compose_benchmarks")


def module(name):
    """One of the scripts, which are programs beside one another and no package."""
    folder = str(ROOT / "scripts" / "docs")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


def test_generated_pages_are_what_the_records_give():
    generate = module("generate")
    wrong = generate.differences(generate.pages())
    assert not wrong, "run `python scripts/docs/generate.py` and commit what it writes:\n" + (
        "\n".join(wrong)
    )


def test_generating_twice_gives_the_same_bytes():
    generate = module("generate")
    assert generate.pages() == generate.pages()


@pytest.mark.slow
def test_the_site_builds_and_every_link_leads_somewhere(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings_handlers.python")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    links = module("links")
    assert links.broken(site) == []
    assert links.foreign(site) == []
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text("utf-8"), f"{style} loads from another host"


def record(method, values, fid, *, n=None, suite="toy-suite", model="sd-tiny"):
    """A record of `n` items, schema-checked."""
    from compose_benchmarks.record import Record

    n = n or len(values)
    mean = sum(values) / len(values)
    network = {"id": "tiny-v1", "sha256": "0" * 64, "reference": False}
    metric = {
        "version": 1,
        "unit": "",
        "n": n,
        "n_reference": None,
        "params": {},
        "extractor": network,
        "parts": {},
        "higher_is_better": True,
    }

    def measured(name, value, interval, **other):
        return {**metric, "id": name, "value": value, "interval": interval, **other}

    per_item = {"per_sample": values, "keys": list(range(n))}
    interval = {"low": mean - 0.05, "high": mean + 0.05, "level": 0.95, "how": "test"}
    wide = {"low": fid - 3.0, "high": fid + 3.0, "level": 0.95, "how": "test"}
    return Record.model_validate_json(
        json.dumps(
            {
                "run_id": "a" * 64,
                "date": "2026-01-01T00:00:00Z",
                "command": f"compose bench run {suite} --method {method} --num {n}",
                "task": {
                    "name": suite,
                    "version": 1,
                    "items_sha256": f"{n:064x}",
                    "split": "test",
                    "n": n,
                },
                "method": {"name": method, "summary": "", "package": "x", "version": "0"},
                "model": {"id": model, "sha256": "b" * 64, "files": {}},
                "sampler": {
                    "name": "ddim",
                    "steps": 30,
                    "guidance": 5.0,
                    "seeds": list(range(n)),
                    "dtype": "float32",
                    "device": "cpu",
                    "micro_batch": 8,
                    "max_batch": 64,
                    "threads": 1,
                },
                "metrics": [
                    measured(METRIC, mean, interval) | per_item,
                    measured(FID, fid, wide, higher_is_better=False),
                    measured("ssim", 0.5, None, extractor=None),
                ],
                "cost": {
                    "timed": n,
                    "seconds": 1.0 * n,
                    "seconds_per_item": 1.0,
                    "items_per_second": 1.0,
                    "peak_memory_bytes": 1,
                    "evaluations_per_item": 60.0,
                },
                "code": {
                    "commit": "",
                    "dirty": None,
                    "sources_sha256": "c" * 64,
                    "scoring_sha256": "d" * 64,
                    "constraints_sha256": "",
                },
                "env": {"python": "3", "torch": "2", "cuda": "", "os": "x", "packages": {}},
                "hardware": {"cpu": "x", "cores": 1, "gpu": "", "ram_bytes": 1},
            }
        )
    )


def publish(folder, *records):
    from compose_benchmarks.measure import place
    from compose_benchmarks.record import save

    for one in records:
        path = place(folder, one)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(one, path)


GOOD, BAD = [1.0] * 30 + [0.0] * 10, [0.0] * 30 + [1.0] * 10


@pytest.fixture
def pages(tmp_path):
    """Pages of a suite on which one method is clearly better and one is as good."""
    near = GOOD[:-1] + [1.0]
    publish(tmp_path, record("better", near, 20.0), record("level", GOOD, 21.0))
    publish(tmp_path, record("worse", BAD, 60.0), record("small", GOOD[:8], 9.0, n=8))
    return module("leaderboard_pages").pages(tmp_path)


def rows(page, number=0):
    """Cells of one table as text, row by row."""
    table = re.findall(r"<tbody>(.*?)</tbody>", page, re.DOTALL)[number]
    return [re.findall(r"<td.*?</td>", row, re.DOTALL) for row in table.split("<tr>")[1:]]


def test_without_records_the_page_says_so(tmp_path):
    found = module("leaderboard_pages").pages(tmp_path)
    assert "No record yet" in found["leaderboards/index.md"]
    assert module("leaderboard_pages").nav(tmp_path)[0] == "leaderboards/index.md"


def test_rows_are_ranked_with_intervals_and_the_command_that_makes_them_again(pages):
    page = pages["leaderboards/toy-suite.md"]
    table = rows(page)
    names = [re.search(r"<strong>(\w+)", row[0])[1] for row in table]
    assert names == ["better", "level", "worse"]
    assert "compose bench run toy-suite --method better --num 40" in table[0][0]
    assert 'class="interval">0.725 to 0.825' in table[0][1]


def test_a_difference_that_is_not_significant_is_marked(pages):
    best, level, worse = (row[1] for row in rows(pages["leaderboards/toy-suite.md"]))
    assert 'class="best"' in best and "≈" in level.split("<span")[0].split(">")[1]
    assert "≈" not in worse.split("<span")[0].split(">")[1]


def test_what_cannot_be_said_is_not_marked_as_equal(pages):
    page = pages["leaderboards/toy-suite.md"]
    last = rows(page, 1)  # ssim, which has no interval here
    assert not any("≈" in row[1] for row in last) and sum("&nbsp;?" in row[1] for row in last) == 2


def test_the_marks_are_explained_in_the_words_of_the_command(pages):
    from compose_benchmarks.table import NOTE

    for path in ("index", "toy-suite"):
        assert NOTE in pages[f"leaderboards/{path}.md"]


def test_smaller_is_better_where_it_is(pages):
    best, level, worse = (row[2] for row in rows(pages["leaderboards/toy-suite.md"]))
    assert 'class="best"' in best and "&nbsp;≈" in level and "&nbsp;≈" not in worse


def test_networks_of_the_zoo_and_others_never_share_a_table(pages):
    page = pages["leaderboards/toy-suite.md"]
    heads = re.findall(r"<thead>(.*?)</thead>", page, re.DOTALL)
    assert any(METRIC in head for head in heads) and any("ssim" in head for head in heads)
    assert not any("@tiny-v1" in head and "ssim" in head for head in heads)


def test_another_number_of_items_stands_apart(pages):
    page = pages["leaderboards/toy-suite.md"]
    ranked, apart = page.split("## Apart: n = 8")
    assert "<strong>small" not in ranked and "<strong>small</strong>" in apart


def test_downloads_hold_the_records(pages):
    whole = json.loads(pages["leaderboards/data/toy-suite.json"])
    assert [one["method"]["name"] for one in whole] == ["better", "level", "worse", "small"]
    lines = list(csv.DictReader(io.StringIO(pages["leaderboards/data/toy-suite.csv"])))
    assert len(lines) == 4 * 3
    first = lines[0]
    assert (first["method"], first["metric"], first["rank"]) == ("better", METRIC, "1")
    assert first["run_id"] == "a" * 64 and first["command"].startswith("compose bench run")
    assert float(first["value"]) == pytest.approx(31 / 40)


def test_plots_are_drawings_in_two_themes(pages):
    drawings = [pages[f"leaderboards/plots/toy-suite-{ink}.svg"] for ink in ("light", "dark")]
    assert drawings[0] != drawings[1]
    for text in drawings:
        root = ET.fromstring(text)
        circles = [node for node in root.iter() if node.tag.endswith("circle")]
        assert len(circles) == 3
        places = [float(circle.get("cx")) for circle in circles]
        assert places == sorted(places, reverse=True)  # the best one is farthest right


def test_methods_meet_picture_by_picture(pages):
    page = pages["leaderboards/toy-suite.md"]
    part = page.split("## Picture by picture")[1].split("## Apart")[0]
    assert "`better`" in part
    level, worse = rows(part)
    assert ["level" in level[0], "worse" in worse[0]] == [True, True]
    lost = sum(a > b for a, b in zip(GOOD[:-1] + [1.0], BAD, strict=True))
    decisive = sum(a != b for a, b in zip(GOOD[:-1] + [1.0], BAD, strict=True))
    share = module("plots").short(lost / decisive)
    assert f"<strong>{share} ({decisive})" in worse[1] and "<strong>" not in level[1]
    assert "toy-suite-both" not in page or "leaderboards/plots/toy-suite-both-light.svg" in pages


def test_a_trade_off_shows_every_method_in_its_corner():
    shown = module("scatter")
    axes = (shown.Axis("fid", better=False), shown.Axis("spatial", better=True))
    spots = [
        shown.Spot("good", shown.Spread(1.0, 0.5, 1.5), shown.Spread(0.9, 0.8, 0.95)),
        shown.Spot("bad", shown.Spread(9.0, 8.0, 10.0), shown.Spread(0.2)),
    ]
    text = shown.scatter("both", *axes, spots, module("plots").LIGHT)
    root = ET.fromstring(text)
    circles = [node for node in root.iter() if node.tag.endswith("circle")]
    good, bad = [(float(c.get("cx")), float(c.get("cy"))) for c in circles if c.get("r") == "6"]
    assert good[0] < bad[0] and good[1] < bad[1]
    words = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert {"good", "bad", "better", "fid ▼", "spatial ▲"} <= set(words)


def test_strips_of_pictures_are_shown_beside_their_scenes(tmp_path):
    publish(tmp_path, record("better", GOOD, 20.0), record("worse", BAD, 60.0))
    folder = tmp_path / "toy-suite"
    (folder / "better.png").write_bytes(b"strip")
    (folder / "worse.png").write_bytes(b"other")
    items = {
        "sha256": f"{40:064x}",
        "items": [{"number": 0, "scene": {"prompt": "a <red> sphere"}}],
    }
    (folder / "items.json").write_text(json.dumps(items))
    found = module("leaderboard_pages").pages(tmp_path)
    assert found["leaderboards/strips/toy-suite/better.png"] == b"strip"
    assert found["leaderboards/toy-suite.md"].count("a &lt;red&gt; sphere</figcaption>") == 1
    assert "toy-suite-items.json" in found["leaderboards/toy-suite.md"]
    assert "pairs wide" not in found["leaderboards/toy-suite.md"]
    items["items"][0]["scene"]["canvas"] = [160, 64]
    (folder / "items.json").write_text(json.dumps(items))
    found = module("leaderboard_pages").pages(tmp_path)
    assert 'pairs wide" style="--shape: 2.5"' in found["leaderboards/toy-suite.md"]


def test_penalties_of_cgi_are_drawn_where_several_were_measured(tmp_path):
    publish(tmp_path, record("cgi", GOOD, 20.0), record("multidiffusion", BAD, 30.0))
    place = "leaderboards/plots/toy-suite-kappa-0-light.svg"
    assert place not in module("leaderboard_pages").pages(tmp_path)
    publish(tmp_path, record("cgi-kappa-50", GOOD, 25.0), record("plain", GOOD, 25.0))
    found = module("leaderboard_pages").pages(tmp_path)
    words = found[place]
    assert words.index("kappa = 0.5") < words.index("kappa = 0.95") < words.index("1 and more")
    assert "plain" not in words
    assert "toy-suite-kappa-1-dark.svg" in found["leaderboards/toy-suite.md"]


def test_paper_tables_show_every_number_in_its_place():
    page = module("paper_pages").pages()["leaderboards/papers.md"]
    records = sorted((ROOT / "benchmarks" / "results" / "papers").glob("*.json"))
    assert records and page.count("<tbody>") == len(records)
    for path in records:
        one = json.loads(path.read_text("utf-8"))
        inside = page.split(f"{{: #{one['id']} }}")[1].split("</div>")[0]
        shown = [[re.sub("<[^>]+>", "", cell) for cell in row] for row in rows(inside)]
        assert len(shown) == len(one["rows"])
        for cells, row in zip(shown, one["rows"], strict=True):
            assert cells[0] == html.escape(row["name"])
            numbers = cells[len(cells) - len(one["columns"]) :]
            for column, value, cell in zip(one["columns"], row["values"], numbers, strict=True):
                group = f"{column['group']} / " if column.get("group") else ""
                plain = "–" if value is None else f"{value:.{column['decimals']}f}"
                printed = row.get("printed", {}).get(group + column["name"], plain)
                assert cell == html.escape(printed)


def test_papers_are_never_on_a_board(tmp_path):
    publish(tmp_path, record("ours", GOOD, 20.0))
    other = record("theirs", BAD, 60.0).model_dump_json()
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "theirs.json").write_text(other)  # not even a record that could be ranked
    source = ROOT / "benchmarks" / "results" / "papers" / "dde-table-1.json"
    (papers / source.name).write_bytes(source.read_bytes())
    found = module("leaderboard_pages").pages(tmp_path)
    assert "<strong>ours" in found["leaderboards/toy-suite.md"]
    assert not any("theirs" in str(text) or "DDE" in str(text) for text in found.values())


@pytest.mark.parametrize(("low", "high"), [(0.37, 0.66), (0, 1), (12.3, 15.1), (5, 5), (-3, 4e3)])
def test_ticks_are_few_round_numbers_around_the_data(low, high):
    found = module("plots").ticks(low, high)
    assert found[0] <= low + 1e-9 and found[-1] >= high - 1e-9 and 2 <= len(found) <= 8
    steps = [b - a for a, b in zip(found, found[1:], strict=False)]
    assert max(steps) - min(steps) < 1e-9 * max(abs(found[0]), abs(found[-1]), 1)


def test_every_key_of_the_scene_file_is_documented():
    from compose_core.scene import Layer, Scene

    page = module("scene_page").pages()["scene-file.md"]
    for key in [*Scene.model_fields, *Layer.model_fields]:
        assert re.search(rf"^\| `{key}` \| [^|]+ \| [^|]+ \| [^|]{{5,}} \|", page, re.MULTILINE), (
            key
        )


def test_methods_stand_in_the_tables_of_keys_and_baselines_in_one_of_their_own():
    page = module("scene_page")
    made, methods = page.pages(), page._methods()
    head = made["fragments/capabilities.md"].splitlines()[0]
    own = set(re.findall(r"`([\w-]+)`", head))
    others = set(re.findall(r"^\| `([\w-]+)` \|", made["fragments/baselines.md"], re.MULTILINE))
    assert {"cnc", "realcompo", "cgi", "dde", "tlam", "regional", "plain"} <= own
    assert own.isdisjoint(others) and own | others == set(methods)
    assert "`gligen`" not in made["scene-file.md"] and "`realcompo`" in made["scene-file.md"]


def test_every_public_module_has_its_place_in_the_api():
    pages = "\n".join(module("api_pages").pages().values())
    for package in ("packages/compose-core/src/compose_core", "zoo/src/compose_zoo"):
        folder = ROOT / package
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            if not any(part.startswith("_") for part in parts):
                assert f"::: {'.'.join(parts)}\n" in pages


def test_formulas_of_docstrings_become_those_of_markdown():
    griffe = pytest.importorskip("griffe")
    assert griffe
    to_markdown = module("griffe_math").to_markdown
    text = "A rule.\n\n.. math:: x = \\alpha\n    + \\beta\n\nWith :math:`\\alpha`."
    found = to_markdown(text)
    assert "$$\nx = \\alpha\n+ \\beta\n$$" in found and "With $\\alpha$." in found
    assert ".. math" not in found and to_markdown("plain `x0`") == "plain `x0`"


def test_broken_links_and_foreign_files_are_found(tmp_path):
    links = module("links")
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text(
        '<a href="a/">a</a> <a href="a/#there">x</a> <a href="a/#gone">y</a> <a href="b/">z</a>'
        '<a href="https://example.org">out</a><img src="https://example.org/x.png">'
    )
    (tmp_path / "a" / "index.html").write_text('<h2 id="there">Here</h2><a href="../">up</a>')
    assert len(links.broken(tmp_path)) == 2
    assert len(links.foreign(tmp_path)) == 1
