"""What the rows of speed are made of."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from compose_benchmarks import facts

PERF = Path(__file__).parents[1] / "perf"


@pytest.fixture
def measure(monkeypatch):
    monkeypatch.syspath_prepend(PERF)
    import measure

    yield measure
    del sys.modules["measure"]


def test_seconds_are_medians(measure):
    assert measure.medians({"a": [9.0, 1.0, 2.0]}) == {"a": 2.0}


def test_the_peak_is_what_a_run_needs_and_not_what_was_there(measure):
    import numpy as np

    before = np.ones(2**24)  # 128 MiB, given back before
    del before
    held = [np.ones(2**23)]
    assert measure.peak(lambda: None) < 8
    assert 60 < measure.peak(lambda: np.ones(2**23).sum()) < 80
    assert held


PROGRAM = """
import measure
import numpy as np

options = measure.arguments("toy", size=2**23)
runs = {"large": lambda: np.ones(options.size).sum(), "small": lambda: None}
if not measure.peak_asked(options, runs):
    ballast = np.ones(2**24)
    measure.write("toy", {"peak_megabytes": measure.peaks(runs)}, options.out)
"""


def test_every_contender_is_measured_in_a_process_of_its_own(tmp_path):
    (tmp_path / "toy.py").write_text(PROGRAM)
    command = [sys.executable, "toy.py", "--out", str(tmp_path)]
    (tmp_path / "measure.py").write_bytes((PERF / "measure.py").read_bytes())
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    row = json.loads((tmp_path / "toy.json").read_text())
    assert 60 < row["peak_megabytes"]["large"] < 80 and row["peak_megabytes"]["small"] < 8
    assert "compose-metrics" in row["versions"]
    assert row["machine"]["processor"] == facts.processor() != ""
