"""Baselines under the runner: adapters decide what a run is, and stand in its record."""

import shutil
from dataclasses import asdict, replace

import pytest

from compose_benchmarks import measure
from compose_benchmarks.baselines.controlnet import ControlNetMethod
from compose_benchmarks.runner import make, prepare
from compose_core import zoo
from compose_core.errors import UsageError
from compose_core.method import find

ADAPTED = (
    "cnc", "cnc-canny", "controlnet", "controlnet-pasted", "t2i-adapter", "uni-controlnet",
)  # fmt: skip


@pytest.fixture
def usual(monkeypatch, adapters):
    """The folder that the method takes unless it is told another."""
    folder = adapters["controlnet"]
    monkeypatch.setattr(ControlNetMethod, "usual", str(folder))
    return folder


def test_pictures_of_a_baseline_are_made(job, usual):
    run = prepare(job(suite="cnc-ordering", method="controlnet", n=3))
    make(run)
    assert run.missing() == [] and run.adapters == (usual,)


def test_another_adapter_is_another_run(job, usual, monkeypatch, tmp_path):
    first = prepare(job(suite="cnc-depth", method="controlnet", n=1))
    other = tmp_path / "other"
    shutil.copytree(usual, other)
    monkeypatch.setattr(ControlNetMethod, "usual", str(other))
    same = prepare(job(suite="cnc-depth", method="controlnet", n=1))
    assert same.folder == first.folder, "only what is in it counts"
    config = other / "config.json"
    config.write_text(config.read_text() + "\n")
    changed = prepare(job(suite="cnc-depth", method="controlnet", n=1))
    assert changed.folder != first.folder


def test_runs_without_an_adapter_are_called_as_before(job):
    import hashlib
    import json

    spec = prepare(job(method="plain", n=1)).spec
    said = {k: v for k, v in asdict(spec).items() if k != "adapter_sha256"}
    text = json.dumps(said, sort_keys=True, ensure_ascii=True)
    assert spec.adapter_sha256 == "" and "adapter_sha256" in asdict(spec)
    assert spec.run_id == hashlib.sha256(text.encode()).hexdigest()
    assert replace(spec, adapter_sha256="a" * 64).run_id != spec.run_id


def test_the_record_lists_the_files_of_the_adapter(job, usual):
    run = prepare(job(suite="cnc-depth", method="controlnet", n=1))
    names = set(measure._all_files(run))
    assert "adapter/config.json" in names and "unet/config.json" in names
    bare = prepare(job(suite="cnc-depth", method="plain", n=1))
    assert not any(name.startswith("adapter/") for name in measure._all_files(bare))


@pytest.mark.parametrize("name", ADAPTED)
def test_methods_with_adapters_name_them(name):
    (adapter,) = find(name)().adapters
    assert adapter in zoo.known()


def test_a_missing_adapter_is_told_before_anything_is_made(job, monkeypatch):
    monkeypatch.setattr(ControlNetMethod, "usual", "no-such-adapter")
    with pytest.raises(UsageError, match="no-such-adapter"):
        prepare(job(suite="cnc-depth", method="controlnet", n=1))
