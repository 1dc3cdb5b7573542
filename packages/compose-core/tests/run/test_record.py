"""The record inside a picture comes back as it went in."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from compose_core.errors import ComposeError, SceneError
from compose_core.run import record as record_module
from compose_core.run.record import (
    Record,
    Settings,
    circumstances,
    load_record,
    parse_record,
    to_png,
)
from compose_core.scene import Assets, Layer, Scene

SETTINGS = Settings(
    method="regional", model="sd-tiny", seed=7, steps=30, guidance=5.0, device="cpu"
)


def a_record():
    layer = Layer(name="ball", prompt="a réd sphere", keypoints="pose.json")
    scene = Scene(version=1, canvas=(8, 8), prompt="toys ✿", seed=3, layers=[layer])
    return Record(
        scene=scene.with_assets(Assets({"pose.json": b'{"head": [0.5, 0.2]}'})),
        settings=SETTINGS,
        weights="0" * 64,
        versions=circumstances(),
        threads=2,
        adapters={"cnc-tiny": "3" * 64},
    )


def text_of(record):
    import io

    return Image.open(io.BytesIO(to_png(Image.new("RGB", (8, 8)), record))).info["compose"]


def test_a_record_survives_the_picture(tmp_path):
    record = a_record()
    (tmp_path / "a.png").write_bytes(to_png(Image.new("RGB", (8, 8), "red"), record))
    assert load_record(tmp_path / "a.png") == record


def test_the_same_work_gives_the_same_bytes():
    picture = Image.new("RGB", (8, 8), "red")
    assert to_png(picture, a_record()) == to_png(picture, a_record())


def test_a_picture_without_a_record_says_so(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(SceneError, match="carries no scene"):
        load_record(tmp_path / "a.png")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1}'])
def test_a_damaged_record_is_refused(tmp_path, text):
    info = PngInfo()
    info.add_text("compose", text)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(SceneError):
        load_record(tmp_path / "a.png")


def test_files_come_from_the_picture_and_never_from_the_disk():
    content = json.loads(text_of(a_record()))
    content["files"] = {}
    with pytest.raises(SceneError, match="has not been read"):
        parse_record(json.dumps(content), "a.png")


def test_what_changed_is_named():
    record = a_record()
    other = Record(
        scene=record.scene,
        settings=SETTINGS,
        weights="1" * 64,
        versions={**record.versions, "torch": "0.1"},
        threads=2,
        adapters=record.adapters,
    )
    assert [line.split(":")[0] for line in record.changes(other)] == ["weights", "torch"]
    assert record.changes(record) == []


def test_another_adapter_is_named():
    then = replace(a_record(), adapters={"cnc-tiny": "0" * 64, "gone": "2" * 64})
    now = replace(then, adapters={"cnc-tiny": "1" * 64})
    assert then.changes(now) == [
        f"adapter cnc-tiny: {'0' * 64} then, {'1' * 64} now",
        f"adapter gone: {'2' * 64} then, None now",
    ]


@given(st.data())
def test_mutated_records_raise_only_our_errors(data):
    content = json.loads(text_of(a_record()))
    key = data.draw(st.sampled_from(sorted(content)))
    junk = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    content[key] = data.draw(junk | st.dictionaries(st.text(max_size=5), junk, max_size=3))
    try:
        parse_record(json.dumps(content), "a.png")
    except ComposeError:
        pass


def test_pictures_from_before_a_setting_was_recorded_are_still_read():
    content = json.loads(text_of(a_record()))
    del content["max_batch"], content["tile"], content["adapters"]
    record = parse_record(json.dumps(content), "a.png")
    assert record.settings.max_batch == 64 and record.tile is None
    assert record.adapters == {}


class Package:
    def __init__(self, name):
        self.name, self.version = name, "7.1"


def test_versions_name_what_drew_the_labels_and_the_method(monkeypatch):
    found = [Package(name) for name in ("compose-worlds", "compose-benchmarks", "other")]
    known = {package.name: package.version for package in found}
    monkeypatch.setattr(record_module, "distributions", lambda: found)
    monkeypatch.setattr(record_module, "version", lambda name: known.get(name, "1.0"))
    entry = SimpleNamespace(dist=Package("compose-layers"))
    monkeypatch.setattr(record_module, "methods", lambda: {"layers": entry})
    record_module._installed.cache_clear()
    try:
        versions = circumstances("layers")
    finally:
        record_module._installed.cache_clear()
    assert versions["compose-worlds"] == versions["compose-layers"] == "7.1"
    assert versions["safetensors"] == versions["tokenizers"] == "1.0"
    assert not {"compose-benchmarks", "other"} & set(versions)
