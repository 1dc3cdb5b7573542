"""A missing GPU skips, unless there has to be one."""

import pytest
import torch

from compose_core.testing.devices import require


def test_the_cpu_is_always_there():
    assert require("cpu") == torch.device("cpu")


def test_a_missing_gpu_skips(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("COMPOSE_REQUIRE_CUDA", raising=False)
    with pytest.raises(pytest.skip.Exception):
        require("cuda")


def test_a_missing_gpu_fails_where_one_is_required(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("COMPOSE_REQUIRE_CUDA", "1")
    with pytest.raises(pytest.fail.Exception, match="no GPU"):
        require("cuda")


def test_the_fixture_gives_both(request, device):
    assert device.type in ("cpu", "cuda")
    assert (request.node.get_closest_marker("cuda") is not None) == (device.type == "cuda")
