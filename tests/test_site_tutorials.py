"""The programs that the site shows run as they stand, in an empty folder."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = sorted((ROOT / "docs_src").glob("*.py"))
NEEDS = {"add_metric": "compose_metrics", "first_picture": "compose_benchmarks"}


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_the_program_runs(path, tmp_path, monkeypatch):
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")


def test_every_program_is_shown_on_a_page():
    pages = "\n".join(p.read_text("utf-8") for p in (ROOT / "docs").rglob("*.md"))
    for path in PROGRAMS:
        assert f"docs_src/{path.name}" in pages, f"no page shows {path.name}"
