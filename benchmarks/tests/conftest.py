"""A toy model, jobs that take seconds, and records made by hand."""

import pytest

from compose_benchmarks import record


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """A Stable Diffusion folder of random weights."""
    from compose_core.testing.folders import tiny_stable_diffusion

    return tiny_stable_diffusion(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture
def job(toy, tmp_path):
    """A small job on the toy model; arguments change it."""
    from compose_benchmarks.runner import Job

    def make(**changes):
        usual = {"suite": "regional-attributes", "method": "regional", "model": str(toy)}
        usual |= {"n": 3, "steps": 2, "micro_batch": 2, "out": tmp_path / "runs"}
        return Job(**(usual | changes))

    return make


@pytest.fixture
def measured():
    """A metric of a record; `values` are those of its samples."""

    def make(values, id="objects@tiny-v1", **changes):
        source = record.Extractor(id="tiny-v1", sha256="0" * 64, reference=False)
        mean = sum(values) / len(values)
        usual = {
            "id": id,
            "version": 1,
            "value": mean,
            "unit": "",
            "higher_is_better": True,
            "n": len(values),
            "n_reference": None,
            "interval": record.Interval(low=mean - 0.1, high=mean + 0.1, level=0.95, how="x"),
            "params": {},
            "extractor": source if "@" in id else None,
            "parts": {},
            "per_sample": tuple(values),
            "keys": tuple(range(len(values))),
        }
        return record.Measured(**(usual | changes))

    return make


@pytest.fixture
def result(measured):
    """A whole record."""

    def make(
        method="plain",
        values=(1.0, 0.0),
        metrics=None,
        n=None,
        scoring="f" * 64,
        sampler=None,
        model=None,
        **task,
    ):
        n = n or len(values)
        usual = {"name": "regional-attributes", "version": 1, "items_sha256": "a" * 64}
        usual |= {"split": "held out", "n": n}
        walk = {"name": "ddim", "steps": 30, "guidance": 5.0, "dtype": "float32"}
        walk |= {"device": "cpu", "micro_batch": 8, "max_batch": 64, "threads": 1}
        return record.Record(
            run_id="b" * 64,
            date="2026-01-02T03:04:05Z",
            command=f"compose bench run regional-attributes --method {method}",
            task=record.Task(**(usual | task)),
            method=record.MethodInfo(name=method, summary="", package="compose-x", version="1"),
            model=record.ModelInfo(
                **({"id": "sd-tiny", "sha256": "c" * 64, "files": {}} | (model or {}))
            ),
            sampler=record.SamplerInfo(**(walk | {"seeds": tuple(range(n))} | (sampler or {}))),
            metrics=tuple(metrics or (measured(values),)),
            cost=record.Cost(
                timed=n,
                seconds=2.0,
                seconds_per_item=1.0,
                items_per_second=1.0,
                peak_memory_bytes=1,
                evaluations_per_item=60.0,
            ),
            code=record.Code(
                commit="",
                dirty=None,
                sources_sha256="e" * 64,
                scoring_sha256=scoring,
                constraints_sha256="",
            ),
            env=record.Environment(python="3", torch="2", cuda="", os="x", packages={}),
            hardware=record.Hardware(cpu="x", cores=1, gpu="", ram_bytes=1),
        )

    return make
