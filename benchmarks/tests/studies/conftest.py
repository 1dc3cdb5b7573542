"""A toy base model with a toy adapter, and sittings that take seconds."""

import pytest


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    from compose_core.testing.folders import tiny_stable_diffusion

    return tiny_stable_diffusion(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="session")
def adapter(tmp_path_factory, base):
    from compose_cnc.testing import tiny_adapter
    from compose_core.backbones import load_model

    unet = load_model(base).components["unet"]
    return tiny_adapter(tmp_path_factory.mktemp("adapter"), unet)


@pytest.fixture(scope="session")
def prepared(base, adapter):
    """A small study on the toy models in a folder; arguments change it."""
    from compose_benchmarks.studies.execute import StudyJob, prepare

    def make(out, **changes):
        usual = {"study": "cnc-leakage", "n": 3, "steps": 1, "micro_batch": 2}
        usual |= {"model": str(base), "adapter": str(adapter), "out": out / "studies"}
        return prepare(StudyJob(**(usual | changes)))

    return make


@pytest.fixture
def sit(prepared, tmp_path):
    """The same in a folder of its own."""
    return lambda **changes: prepared(tmp_path, **changes)
