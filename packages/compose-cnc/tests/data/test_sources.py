"""The layouts on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compose_cnc.data import find_source
from compose_cnc.data.pick_a_pic import without_words
from compose_core.errors import SceneError, UsageError


def test_coco_stuff_keeps_all_captions_and_colons(coco: Path):
    source = find_source(coco, split="val2017")
    assert source.layout == "coco-stuff"
    assert [item.id for item in source.items] == [f"{139 + i:012d}" for i in range(4)]
    assert source.items[2].captions == tuple(f"picture 2: caption {j}" for j in range(5))
    assert source.items[0].labels is not None and source.items[0].picture()[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    "gone", ["annotations/captions_val2017.json", "stuffthingmaps/val2017", "val2017"]
)
def test_coco_stuff_says_what_is_missing(coco: Path, gone: str):
    (coco / gone).rename(coco / "elsewhere")
    with pytest.raises(UsageError, match="missing"):
        find_source(coco, "coco-stuff", split="val2017")


def test_coco_stuff_refuses_another_json(coco: Path):
    file = coco / "annotations" / "captions_val2017.json"
    file.write_text(json.dumps({"images": [{"id": 1}], "annotations": []}))
    with pytest.raises(SceneError, match="another layout"):
        find_source(coco, split="val2017")
    file.write_text("{")
    with pytest.raises(SceneError, match="cannot be read"):
        find_source(coco, split="val2017")


def test_pick_a_pic_keeps_the_preferred_once(pairs: Path):
    source = find_source(pairs)
    assert source.layout == "pick-a-pic"
    assert {item.id: item.captions for item in source.items} == {
        "u0": ("a: b", "another"),
        "u3": ("c",),
    }
    assert set(source.left_out) == {"u4", "u5"}


@pytest.mark.parametrize(
    "line", ["{", '{"caption": "x"}', "[]", '{"caption": "x", "image_0_uid": "../../etc", '
             '"image_1_uid": "b", "label_0": 1, "label_1": 0}']
)  # fmt: skip
def test_pick_a_pic_names_a_bad_line(pairs: Path, line: str):
    with (pairs / "pairs.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(SceneError):
        find_source(pairs)


def test_pick_a_pic_from_parquet(tmp_path: Path, pairs: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in (pairs / "pairs.jsonl").read_text().splitlines()
    ]
    for row in rows:
        for side in (0, 1):
            name = row[f"image_{side}_uid"]
            row[f"jpg_{side}"] = (pairs / "images" / f"{name}.jpg").read_bytes()
    (tmp_path / "data").mkdir()
    parquet.write_table(
        arrow.Table.from_pylist(rows), tmp_path / "data" / "x.parquet", row_group_size=2
    )
    packed, unpacked = find_source(tmp_path / "data"), find_source(pairs)
    assert packed.digest() == unpacked.digest()
    for one, two in zip(packed.items, unpacked.items, strict=True):
        assert one.picture() == two.picture()


def test_words_leave_captions_out(pairs: Path):
    source = find_source(pairs)
    assert [i.id for i in without_words(source, ["ANOTHER", "other"]).items] == ["u0", "u3"]
    found = without_words(source, ["c", " "])
    assert [i.id for i in found.items] == ["u0"] and "u3" in found.left_out
    assert without_words(source, ["nothing"]).items[0].captions == ("a: b", "another")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", '{"file_name": "a/one.jpg", "text": "first: of all"}\n'),
        ("captions.jsonl", '{"file_name": "a/one", "caption": "first: of all"}\n\n'),
        ("captions.json", '{"a/one.jpg": ["first: of all"]}'),
        ("captions.txt", "a/one.jpg: first: of all\n"),
    ],
)
def test_any_folder_of_pictures(tmp_path: Path, picture_bytes: bytes, name: str, text: str):
    (tmp_path / "a").mkdir()
    for path in ("a/one.jpg", "two.JPG"):
        (tmp_path / path).write_bytes(picture_bytes)
    (tmp_path / name).write_text(text)
    source = find_source(tmp_path)
    assert source.layout == "folder"
    assert {item.id: item.captions for item in source.items} == {
        "a/one": ("first: of all",),
        "two": (),
    }
    assert source.items[1].picture() == picture_bytes


def test_a_caption_of_no_picture_is_not_lost(tmp_path: Path, picture_bytes: bytes):
    (tmp_path / "one.jpg").write_bytes(picture_bytes)
    (tmp_path / "captions.txt").write_text("one.jpg: x\nlost.jpg: y\n")
    lost = {item.id: item for item in find_source(tmp_path).items}["lost"]
    with pytest.raises(SceneError, match="lost.jpg"):
        lost.picture()


@pytest.mark.parametrize(
    ("name", "text"), [("captions.txt", "no colon\n"), ("captions.jsonl", '{"file_name": "x"}\n'),
                       ("captions.json", "[]"), ("metadata.jsonl", "{")]
)  # fmt: skip
def test_bad_captions_are_named(tmp_path: Path, picture_bytes: bytes, name: str, text: str):
    (tmp_path / "one.jpg").write_bytes(picture_bytes)
    (tmp_path / name).write_text(text)
    with pytest.raises(SceneError):
        find_source(tmp_path)


def test_useless_sources_are_refused(tmp_path: Path, picture_bytes: bytes):
    with pytest.raises(UsageError, match="cannot be used"):
        find_source(tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        find_source(tmp_path / "nothing")
    with pytest.raises(UsageError, match="unknown layout"):
        find_source(tmp_path, "imagenet")
    for name in ("one.jpg", "one.png"):
        (tmp_path / name).write_bytes(picture_bytes)
    with pytest.raises(UsageError) as caught:
        find_source(tmp_path)
    assert "one" in str(caught.value)
