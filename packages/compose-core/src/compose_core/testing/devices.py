"""The `device` fixture: the CPU, and a GPU where there is one.

    from compose_core.testing.devices import device  # in a conftest.py

Without a GPU its half is skipped, unless `COMPOSE_REQUIRE_CUDA=1` says that there has to be one:
then it fails, so that a run on a GPU machine cannot be green and empty.
"""

from __future__ import annotations

import os

import pytest
import torch


def require(name: str) -> torch.device:
    """The device of that name; skips the running test, or fails it, when it is missing."""
    wanted = torch.device(name)
    if wanted.type == "cuda" and not torch.cuda.is_available():
        if os.environ.get("COMPOSE_REQUIRE_CUDA") == "1":
            pytest.fail("COMPOSE_REQUIRE_CUDA=1, and torch sees no GPU", pytrace=False)
        pytest.skip("torch sees no GPU")
    return wanted


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """`cpu`, then `cuda` under the marker of that name."""
    return require(request.param)
