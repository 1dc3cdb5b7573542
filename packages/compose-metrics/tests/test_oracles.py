"""A library to compare with that is missing where it is required is a failure, not a skip."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = {
    "test_module.py": """
import pytest
library = pytest.importorskip("a_library_that_is_not_there")
def test_it():
    pass
""",
    "test_inside.py": """
import pytest
def test_it():
    pytest.importorskip("a_library_that_is_not_there")
def test_other_skips_stay():
    pytest.skip("torch sees no GPU")
def test_what_runs_stays():
    pytest.importorskip("json")
""",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("required", "said"),
    [("1", "1 failed, 1 passed, 1 skipped, 1 error"), ("", "1 passed, 3 skipped")],
)
def test_a_missing_library_fails_where_it_is_required(tmp_path, required, said):
    conftest = Path(__file__).with_name("conftest.py").read_text("utf-8")
    for name, text in {"conftest.py": conftest, **TESTS}.items():
        (tmp_path / name).write_text(text, "utf-8")
    options = ["-p", "no:cacheprovider", "-q", "--continue-on-collection-errors"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "."],
        cwd=tmp_path,
        env=os.environ | {"COMPOSE_REQUIRE_ORACLES": required},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.splitlines()[-1].split(" in ")[0] == said, run.stdout
    assert run.returncode == (1 if required else 0)
