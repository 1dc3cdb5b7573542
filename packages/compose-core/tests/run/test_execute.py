"""Running a scene: checks come first, files appear whole, pictures repeat byte for byte."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from compose_core.errors import ComposeError, SceneError, UsageError, WeightsError
from compose_core.regional import RegionalMethod
from compose_core.run import execute, load_record, remake, run_scene
from compose_core.run.execute import hash_folder, targets
from compose_core.run.record import circumstances
from compose_core.scene import Assets, Layer, Scene
from compose_core.scene.model import MAX_SEED
from compose_core.testing.folders import tiny_stable_diffusion
from compose_core.trace import Trace


class FakePipeline:
    """Draws its generator as a picture; what it was asked is kept in `calls`."""

    def __init__(self, warnings=(), fail=None, beside=None):
        self.calls, self.warnings, self.fail, self.beside = [], warnings, fail, beside

    def set_progress_bar_config(self, **config):
        self.config = config

    def __call__(self, scene, *, generator, trace, warn, **arguments):
        self.calls.append(arguments)
        if self.fail is not None and len(self.calls) > 1:
            raise self.fail
        for line in self.warnings:
            warn(line)
        noise = torch.rand((scene.height, scene.width, 3), generator=generator[0])
        picture = Image.fromarray((noise * 255).byte().numpy())
        return SimpleNamespace(images=[picture], trace=None, beside=self.beside)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return str(tiny_stable_diffusion(tmp_path_factory.mktemp("models") / "tiny"))


def a_scene(canvas=(64, 64), **layer):
    return Scene(
        canvas=canvas,
        prompt="toys",
        seed=7,
        layers=[Layer(name="ball", prompt="a red sphere", box=(0, 0, 0.5, 1), **layer)],
    )


def paths(scene, model, out, pipeline=None, **options):
    loaded = pipeline or FakePipeline()
    told = {"model": model, "out": out, "device": "cpu", **options}
    return list(run_scene(scene, load=lambda folder, device: loaded, **told))


def test_settings_reach_the_pipeline_and_the_record(tmp_path, model):
    pipeline = FakePipeline()
    (path,) = paths(a_scene(), model, tmp_path, pipeline, steps=3, guidance=2, name="toys")
    (call,) = pipeline.calls
    assert (call["num_inference_steps"], call["guidance_scale"]) == (3, 2.0)
    record = load_record(path)
    assert path == tmp_path / "toys.png"
    assert (record.settings.seed, record.settings.steps, record.settings.guidance) == (7, 3, 2.0)
    assert record.scene == a_scene()
    assert record.weights == hash_folder(Path(model))


def test_each_picture_depends_on_its_own_seed_only(tmp_path, model):
    many = paths(a_scene(), model, tmp_path / "many", num=3)
    assert [p.name for p in many] == ["picture-7.png", "picture-8.png", "picture-9.png"]
    (one,) = paths(a_scene(), model, tmp_path / "one", seed=8)
    assert one.read_bytes() == many[1].read_bytes()


def test_a_picture_is_made_again_byte_for_byte(tmp_path, model):
    (path,) = paths(a_scene(), model, tmp_path, steps=2)
    fake = FakePipeline()
    (result,) = remake(
        load_record(path), path, out=tmp_path / "again", name=path.stem, load=lambda f, d: fake
    )
    assert result == (tmp_path / "again" / "picture.png", True)
    assert result[0].read_bytes() == path.read_bytes()


def test_the_source_is_never_written_over(tmp_path, model):
    (path,) = paths(a_scene(), model, tmp_path)
    before = path.read_bytes()
    for out in (tmp_path, path):
        ((again, same),) = remake(
            load_record(path), path, out=out, name="picture", load=lambda f, d: FakePipeline()
        )
        assert again == tmp_path / "picture-again.png" and same
    assert path.read_bytes() == before


def test_another_seed_is_not_called_the_same(tmp_path, model):
    (path,) = paths(a_scene(), model, tmp_path)
    ((_, same),) = remake(
        load_record(path), path, out=tmp_path / "b", seed=8, load=lambda f, d: FakePipeline()
    )
    assert same is None


def test_other_weights_are_reported(tmp_path, model):
    other = str(tiny_stable_diffusion(tmp_path / "other", seed=1))
    (path,) = paths(a_scene(), model, tmp_path)
    record = load_record(path)
    changed = type(record.settings)(**{**record.settings.__dict__, "model": other})
    record = type(record)(**{**record.__dict__, "settings": changed})
    told = []
    list(
        remake(
            record, path, out=tmp_path / "b", warn=told.append, load=lambda f, d: FakePipeline()
        )
    )
    assert any("weights" in line for line in told)


@pytest.fixture
def adapter(tmp_path, monkeypatch):
    """A folder that the method `regional` now adds to the model."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "config.json").write_text("{}")

    class Adapted(RegionalMethod):
        adapters = (folder,)

    monkeypatch.setattr(execute, "find", lambda name: Adapted)
    return folder


def test_the_record_names_the_adapters_of_the_method(tmp_path, model, adapter):
    (path,) = paths(a_scene(), model, tmp_path)
    assert load_record(path).adapters == {str(adapter): hash_folder(adapter)}


def test_another_adapter_is_reported(tmp_path, model, adapter):
    (path,) = paths(a_scene(), model, tmp_path)
    again = {"out": tmp_path / "b", "load": lambda f, d: FakePipeline()}
    told = []
    assert [same for _, same in remake(load_record(path), path, warn=told.append, **again)] == [
        True
    ]
    assert told == []
    before = hash_folder(adapter)
    (adapter / "config.json").write_text('{"other": 1}')
    ((_, same),) = remake(load_record(path), path, warn=told.append, **again)
    (line,) = told
    assert f"adapter {adapter}: {before} then" in line and not same
    with pytest.raises(SceneError, match="adapter"):
        list(remake(load_record(path), path, strict=True, **again))


def test_a_missing_adapter_is_told_before_the_model_is_loaded(tmp_path, model, adapter):
    (adapter / "config.json").unlink()
    adapter.rmdir()

    def load(folder, device):
        raise AssertionError("loaded")

    with pytest.raises(WeightsError, match="no such model folder"):
        list(run_scene(a_scene(), model=model, out=tmp_path, device="cpu", load=load))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"num": 0}, "pictures"),
        ({"guidance": float("nan")}, "guidance"),
        ({"seed": -1}, "seed"),
        ({"seed": MAX_SEED, "num": 2}, f"0 to {MAX_SEED - 1}"),
        ({"max_batch": 0}, "batch"),
        ({"method": "regionl"}, "no method 'regionl'"),
    ],
)
def test_settings_that_make_no_sense_are_wrong_usage(tmp_path, model, options, message):
    with pytest.raises(UsageError, match=message):
        paths(a_scene(), model, tmp_path, **options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("canvas", [(63, 64), (64, 6)])
def test_a_canvas_that_does_not_fit_is_refused(tmp_path, model, canvas):
    with pytest.raises(SceneError, match="does not fit the model"):
        paths(a_scene(canvas), model, tmp_path)


def test_an_absurd_canvas_is_refused_before_loading(tmp_path, model, monkeypatch):
    monkeypatch.setattr("compose_core.run.limits.available_bytes", lambda device: 2**20)

    def load(folder, device):
        raise AssertionError("loaded")

    with pytest.raises(SceneError, match="too large for the memory"):
        list(run_scene(a_scene((4096, 4096)), model=model, out=tmp_path, device="cpu", load=load))


def test_an_unknown_model_is_refused(tmp_path):
    with pytest.raises((UsageError, WeightsError)):
        paths(a_scene(), "no-such-model", tmp_path)
    with pytest.raises(WeightsError):
        paths(a_scene(), str(tmp_path / "nowhere"), tmp_path)


def test_warnings_are_given_once_and_strict_makes_them_errors(tmp_path, model):
    told = []
    paths(a_scene(), model, tmp_path, FakePipeline(["cut"]), num=2, warn=told.append)
    assert told == ["cut"]
    with pytest.raises(SceneError, match="cut"):
        paths(a_scene(), model, tmp_path / "b", FakePipeline(["cut"]), strict=True)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("fail", [KeyboardInterrupt(), ComposeError("NaN at step 3")])
def test_a_failure_keeps_what_is_finished_and_leaves_no_part(tmp_path, model, fail):
    with pytest.raises(type(fail)):
        paths(a_scene(), model, tmp_path, FakePipeline(fail=fail), num=3)
    assert os.listdir(tmp_path) == ["picture-7.png"]


def test_where_pictures_go(tmp_path):
    assert targets(tmp_path / "a.png", "x", 0, 1) == [tmp_path / "a.png"]
    with pytest.raises(UsageError, match="several"):
        targets(tmp_path / "a.png", "x", 0, 2)


def test_the_hash_of_a_model_sees_every_weight_and_no_notes(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"1")
    first = hash_folder(tmp_path)
    (tmp_path / "README.md").write_bytes(b"hello")
    assert hash_folder(tmp_path) == first
    (tmp_path / "a.safetensors").write_bytes(b"2")
    assert hash_folder(tmp_path) != first


def test_the_real_pipeline_repeats_byte_for_byte(tmp_path, model):
    options = {"model": model, "device": "cpu", "steps": 2, "trace": True}
    (path,) = run_scene(a_scene(), out=tmp_path / "a", **options)
    assert np.asarray(Image.open(path)).std() > 0
    assert {p.name for p in path.parent.iterdir()} == {
        "picture.png",
        "picture.trace.png",
        "picture.trace.safetensors",
    }
    ((_, same),) = remake(load_record(path), path, out=tmp_path / "b")
    assert same


def test_every_seed_of_a_scene_can_be_run(tmp_path, model):
    (path,) = paths(a_scene(), model, tmp_path, seed=MAX_SEED)
    assert load_record(path).settings.seed == MAX_SEED


def masked():
    import io

    stream = io.BytesIO()
    Image.new("L", (64, 64), "white").save(stream, "PNG")
    bare = Scene(canvas=(64, 64), prompt="x", layers=[Layer(name="a", prompt="y", mask="m.png")])
    return bare.with_assets(Assets({"m.png": stream.getvalue()})), stream.getvalue()


@pytest.mark.parametrize(
    ("stem", "options"),
    [
        ("toys.png", {}),
        ("toys-1.png", {"num": 2}),
        ("toys.trace.png", {"trace": True}),
    ],
)
def test_a_file_of_the_scene_is_never_written_over(tmp_path, model, stem, options):
    scene, data = masked()
    (tmp_path / stem).write_bytes(data)
    with pytest.raises(UsageError, match="a file of its own scene"):
        paths(scene, model, tmp_path, name="toys", **options)
    assert os.listdir(tmp_path) == [stem] and (tmp_path / stem).read_bytes() == data
    (tmp_path / stem).write_bytes(b"another picture")
    paths(scene, model, tmp_path, name="toys", **options)


def test_the_largest_batch_reaches_the_evaluator_and_the_record(tmp_path, model):
    pipeline = FakePipeline()
    usual, other = (
        paths(a_scene(), model, tmp_path / name, pipeline, **options)[0]
        for name, options in (("a", {}), ("b", {"max_batch": 3}))
    )
    assert [call["evaluator"].max_batch for call in pipeline.calls] == [64, 3]
    assert [load_record(path).settings.max_batch for path in (usual, other)] == [64, 3]


def test_a_smaller_batch_is_offered_when_the_walk_does_not_fit(tmp_path, model, monkeypatch):
    monkeypatch.setattr("compose_core.run.limits.available_bytes", lambda device: 24 * 2**20)
    with pytest.raises(SceneError, match="64 questions at once") as caught:
        paths(a_scene((256, 128)), model, tmp_path)
    rows = int(caught.value.remedy.split("--max-batch ")[1].split(",")[0])
    paths(a_scene((256, 128)), model, tmp_path, max_batch=rows)


def test_the_record_names_a_folder_from_anywhere_and_the_tiles(tmp_path, model, monkeypatch):
    monkeypatch.chdir(Path(model).parent)
    small, wide = (
        paths(scene, f"./{Path(model).name}", tmp_path / name)[0]
        for name, scene in (("a", a_scene()), ("b", a_scene((320, 64))))
    )
    assert load_record(small).settings.model == model
    assert [load_record(path).tile for path in (small, wide)] == [None, 32]
    monkeypatch.chdir(tmp_path)
    ((_, same),) = remake(
        load_record(small), small, model=model, out="b", load=lambda f, d: FakePipeline()
    )
    assert same


class Traced(FakePipeline):
    """Gives a trace that cannot be saved when `broken`."""

    def __init__(self, broken=None):
        super().__init__()
        self.broken = broken

    def __call__(self, scene, *, trace, **arguments):
        result = super().__call__(scene, trace=trace, **arguments)
        trace.log(0, {"x0": torch.zeros(1, 4, 2, 2)})
        if self.broken is not None:
            trace.save = self.save
        return SimpleNamespace(images=result.images, trace=trace, beside=None)

    def save(self, path):
        raise self.broken


def test_a_trace_that_cannot_be_written_leaves_nothing(tmp_path, model):
    with pytest.raises(ComposeError, match="full"):
        paths(a_scene(), model, tmp_path, Traced(ComposeError("full")), trace=True)
    assert os.listdir(tmp_path) == []


def test_the_header_of_a_trace_is_the_record_without_the_files(tmp_path, model):
    scene, _ = masked()
    (path,) = paths(scene, model, tmp_path, Traced(), trace=True, steps=3)
    meta = Trace.load(path.with_suffix(".trace.safetensors")).meta
    assert meta["steps"] == 3 and meta["scene"]["layers"][0]["mask"] == "m.png"
    assert meta["versions"] == circumstances("regional") and "files" not in meta


def test_pictures_beside_the_picture_are_written_and_remembered(tmp_path, model):
    layer = Image.new("RGBA", (64, 64), (1, 2, 3, 4))
    pipeline = FakePipeline(beside={"a / b": [layer]})
    (path,) = paths(a_scene(), model, tmp_path, pipeline, name="toys")
    beside = tmp_path / "toys.a-b.png"
    assert sorted(tmp_path.iterdir()) == [beside, path]
    assert Image.open(beside).getpixel((0, 0)) == (1, 2, 3, 4)
    assert load_record(beside) == load_record(path)
    load = {"load": lambda folder, device: pipeline}
    again = remake(load_record(beside), beside, out=tmp_path / "again", **load)
    assert [same for _, same in again] == [None]  # its picture was made again, not itself


def test_a_failure_takes_the_pictures_beside_away(tmp_path, model):
    layer = Image.new("RGBA", (64, 64))
    (tmp_path / "toys.png").mkdir()  # cannot be written over
    pipeline = FakePipeline(beside={"ball": [layer]})
    with pytest.raises(ComposeError):
        paths(a_scene(), model, tmp_path, pipeline, name="toys")
    assert [path.name for path in tmp_path.iterdir()] == ["toys.png"]


def test_no_picture_beside_takes_the_place_of_another(tmp_path, model):
    colours = {"a b": 1, "a-b": 2, "A/B": 3, "trace": 4, "!": 5}
    beside = {name: [Image.new("RGBA", (64, 64), (c, 0, 0, 255))] for name, c in colours.items()}
    paths(a_scene(), model, tmp_path, FakePipeline(beside=beside), name="toys")
    found = {path.name: path for path in tmp_path.iterdir()}
    files = ["a-b", "a-b-2", "A-B-3", "trace-2", "layer"]
    assert found.keys() == {"toys.png", *(f"toys.{name}.png" for name in files)}
    for name, colour in zip(files, colours.values(), strict=True):
        assert Image.open(found[f"toys.{name}.png"]).getpixel((0, 0)) == (colour, 0, 0, 255)


def test_a_picture_beside_spares_the_files_of_its_scene(tmp_path, model):
    scene, data = masked()
    (tmp_path / "toys.ball.png").write_bytes(data)
    pipeline = FakePipeline(beside={"ball": [Image.new("RGBA", (64, 64))]})
    with pytest.raises(UsageError, match="a file of its own scene"):
        paths(scene, model, tmp_path, pipeline, name="toys")
    assert [path.name for path in tmp_path.iterdir()] == ["toys.ball.png"]
    assert (tmp_path / "toys.ball.png").read_bytes() == data
