"""Pages of trials: what their tables say of a record."""

import importlib
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("compose_benchmarks")

ROOT = Path(__file__).resolve().parent.parent
CELLS = {
    ("dde", 1): (0.90, 0.05),
    ("dde", 4): (0.70, 0.05),
    ("multidiffusion", 1): (0.88, 0.05),
    ("multidiffusion", 4): (0.20, 0.05),
    ("real", 1): (0.99, 0.01),
    ("real", 4): (0.98, 0.01),
}


@pytest.fixture
def trial_pages():
    folder = str(ROOT / "scripts" / "docs")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("trial_pages")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Results with one trial, whose numbers are `CELLS`."""
    from compose_benchmarks.trials.sit import sit, write
    from compose_benchmarks.trials.trial import Sitting, Trial
    from compose_metrics.result import Interval, Result

    # Its code is here and not in the package, whose files are hashed.
    monkeypatch.setattr("compose_benchmarks.trials.sit.sources_of", lambda _: "d" * 64)

    def measure(sitting, method, count):
        value, half = CELLS[method, count]
        interval = Interval(low=value - half, high=value + half, level=0.95, how="test")
        return [
            Result(
                metric="kept",
                version=1,
                value=value,
                n=sitting.n,
                higher_is_better=True,
                interval=interval,
            )
        ]

    trial = Trial(
        name="toy-trial",
        summary="what a table says",
        protocol="Numbers that are known.",
        methods={"dde": "the <one>", "multidiffusion": "the other", "real": "what there is"},
        varies="places",
        settings=(1, 4),
        measure=measure,
        model="sd-tiny",
        n=8,
    )
    write(sit(trial, Sitting(model="sd-tiny", n=8), command="compose bench trial toy"), tmp_path)
    return tmp_path


def test_a_table_has_methods_by_settings_and_marks_what_leads(trial_pages, folder):
    page = trial_pages.pages(folder)["leaderboards/toy-trial.md"]
    rows = [re.findall(r"<td.*?</td>", row) for row in page.split("<tbody>")[1].split("<tr>")[1:]]
    assert [len(row) for row in rows] == [3, 3, 3]
    dde, other, real = rows
    assert 'class="best"' in dde[1] and 'class="best"' in dde[2]
    assert "0.7<" in dde[2] and "0.65 to 0.75" in dde[2]
    assert "≈" in other[1] and "≈" not in other[2] and "0.2<" in other[2]
    assert "0.99<" in real[1] and 'class="best"' not in "".join(real)
    assert "compose bench trial toy" in page and "8 samples" in page


def test_the_index_links_what_the_navigation_lists(trial_pages, folder, tmp_path):
    assert "(toy-trial.md)" in trial_pages.section(folder)
    assert trial_pages.nav(folder) == [{"toy-trial": "leaderboards/toy-trial.md"}]
    assert trial_pages.section(tmp_path / "none") == "" and not trial_pages.nav(tmp_path / "none")
    data = trial_pages.pages(folder)["leaderboards/data/trials/toy-trial.json"]
    assert data == (folder / "trials" / "toy-trial.json").read_bytes()
