"""Making triplets: what they are, and that runs can stop, go on, be split and be trusted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compose_cnc.data import (
    Settings,
    Shard,
    Tools,
    TripletDataset,
    find_source,
    make,
    take_apart,
)
from compose_cnc.data.store import item_folder
from compose_core.errors import SceneError, ShapeError, UsageError, WeightsError

SMALL = Settings(size=32, dilation=64)  # four pixels of 32


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.parent != folder / "shards"
    }


def test_a_triplet_is_what_the_paper_says(tools: Tools):
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(2, 3, 32, 32, generator=generator)
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[:, 10:20, 12:22] = True
    made = take_apart(pictures, masks, tools, SMALL, [generator, generator])
    assert torch.equal(made.foreground, pictures * masks[:, None])
    painted = tools.inpaint.masks[0]  # type: ignore[attr-defined]
    assert painted.sum() == 2 * 13**2 and bool((painted[masks] == 1).all())
    for name in ("depth", "depth_fg", "depth_bg"):
        depth = getattr(made, name)
        assert bool((depth.amin((1, 2)) == 0).all()) and bool((depth.amax((1, 2)) == 1).all())
    assert made.embedding_fg.shape == made.embedding_bg.shape == (2, 6)
    assert not torch.equal(made.embedding_fg, made.embedding_bg)
    free = painted == 0
    assert not torch.equal(made.background.movedim(1, -1)[free], pictures.movedim(1, -1)[free])


def test_pasting_back_keeps_what_was_not_painted(tools: Tools):
    pictures = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(1, 32, 32, dtype=torch.bool)
    masks[:, 10:20, 12:22] = True
    back = dataclasses.replace(SMALL, paste_back=True)
    made = take_apart(pictures, masks, tools, back, [torch.Generator().manual_seed(1)])
    free = tools.inpaint.masks[0][0] == 0  # type: ignore[attr-defined]
    assert torch.equal(made.background[0][:, free], pictures[0][:, free])


def test_a_network_of_the_wrong_shape_is_named(tools: Tools):
    masks = torch.ones(1, 32, 32, dtype=torch.bool)
    arguments = (torch.zeros(1, 3, 32, 32), masks)
    for change, said in (
        ({"depth": lambda x: x}, "depth estimator"),
        ({"depth": lambda x: x[:, 0] / 0}, "not a number"),
        ({"encode": lambda x: torch.zeros(3, 4)}, "image encoder"),
        ({"inpaint": lambda x, m, g: x[..., :8]}, "inpainter"),
    ):
        broken = dataclasses.replace(tools, **change)
        with pytest.raises(ShapeError, match=said):
            take_apart(*arguments, broken, SMALL, [torch.Generator()])


def test_coco_becomes_triplets(coco: Path, tools: Tools, tmp_path: Path):
    report = make(find_source(coco, split="val2017"), tmp_path / "out", tools, SMALL, batch=3)
    assert (report.made, report.kept, report.left_out) == (4, 0, {})
    data = TripletDataset(tmp_path / "out")
    assert len(data) == 4 == len(list(data))
    item = data[1]
    assert item["picture"].shape == (3, 32, 32) and item["depth_fg"].shape == (3, 32, 32)
    assert item["mask"].shape == (1, 32, 32) and set(item["mask"].unique().tolist()) == {0.0, 1.0}
    # 56 x 40 becomes 45 x 32, of which 32 x 32 from the middle: the thing is 16 x 16 there
    assert item["mask"].sum() == pytest.approx(16 * 16, abs=32)
    assert item["caption"] in item["captions"] and len(item["captions"]) == 5
    assert torch.allclose(item["foreground"], item["picture"] * item["mask"])
    folder = item_folder(tmp_path / "out", data.ids[1])
    assert np.array(Image.open(folder / "depth_fg.png")).dtype == np.uint16


def test_captions_are_chosen_among_all_by_the_seed(coco: Path, tools: Tools, tmp_path: Path):
    chosen: set[tuple[str, ...]] = set()
    for seed in range(6):
        out = tmp_path / str(seed)
        make(find_source(coco, split="val2017"), out, tools, dataclasses.replace(SMALL, seed=seed))
        chosen.add(tuple(item["caption"] for item in TripletDataset(out)))
    assert len(chosen) > 1
    assert len({caption[-1] for row in chosen for caption in row}) > 2


def test_results_depend_neither_on_batch_nor_on_shards(coco: Path, tools: Tools, tmp_path: Path):
    source = find_source(coco, split="val2017")
    make(source, tmp_path / "one", tools, SMALL)
    make(source, tmp_path / "many", tools, SMALL, batch=4)
    reports = [
        make(source, tmp_path / "shards", tools, SMALL, shard=Shard(i, 3)) for i in (2, 3, 1)
    ]
    assert [r.manifest is not None for r in reports] == [False, False, True]
    assert [r.made for r in reports] == [1, 1, 2]
    assert tree(tmp_path / "one") == tree(tmp_path / "many") == tree(tmp_path / "shards")


def test_finished_items_are_kept_and_damaged_ones_made_again(
    coco: Path, tools: Tools, tmp_path: Path
):
    source, out = find_source(coco, split="val2017"), tmp_path / "out"
    make(source, out, tools, SMALL)
    before = tree(out)
    assert make(source, out, tools, SMALL).kept == 4
    one, two, three = (item_folder(out, item.id) for item in source.items[:3])
    (one / "depth_bg.png").write_bytes(b"damaged")
    (two / "item.json").unlink()
    (three / "embeddings.safetensors").unlink()
    with pytest.raises(WeightsError, match="damaged"):
        TripletDataset(out)[0]
    report = make(source, out, tools, SMALL)
    assert (report.made, report.kept) == (3, 1)
    assert tree(out) == before


def test_an_interrupted_run_goes_on(coco: Path, tools: Tools, tmp_path: Path):
    source, out = find_source(coco, split="val2017"), tmp_path / "out"

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(source, out, tools, SMALL, progress=stop)
    with pytest.raises(UsageError, match="not finished"):
        TripletDataset(out)
    report = make(source, out, tools, SMALL)
    assert (report.made, report.kept) == (2, 2)
    make(source, tmp_path / "other", tools, SMALL)
    assert tree(out) == tree(tmp_path / "other")


def test_unreadable_pictures_are_named_and_counted(coco: Path, tools: Tools, tmp_path: Path):
    names = [f"{139 + i:012d}" for i in range(3)]
    (coco / "val2017" / f"{names[0]}.jpg").write_bytes(b"no picture")
    (coco / "val2017" / f"{names[1]}.jpg").unlink()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(
        coco / "stuffthingmaps/val2017" / f"{names[2]}.png"
    )
    source = find_source(coco, split="val2017")
    with pytest.raises(SceneError) as caught:
        make(source, tmp_path / "out", tools, SMALL)
    assert names[0] in str(caught.value) and "--skip-unreadable" in str(caught.value)
    report = make(source, tmp_path / "out", tools, SMALL, skip_unreadable=True)
    assert sorted(report.unreadable) == names and report.made == 1
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert sorted(manifest["unreadable"]) == names and len(manifest["items"]) == 1


def test_pictures_without_foreground_are_left_out(coco: Path, tools: Tools, tmp_path: Path):
    for i, value in ((0, 150), (1, 3)):
        Image.fromarray(np.full((40, 56), value, np.uint8)).save(
            coco / "stuffthingmaps/val2017" / f"{139 + i:012d}.png"
        )
    report = make(find_source(coco, split="val2017"), tmp_path / "out", tools, SMALL)
    assert sorted(report.left_out.values()) == ["all foreground", "no foreground"]
    assert len(TripletDataset(tmp_path / "out")) == 2


def test_masks_come_from_a_network_or_from_files(pairs: Path, tools: Tools, tmp_path: Path):
    source = find_source(pairs)
    make(source, tmp_path / "net", tools, SMALL)
    assert bool((TripletDataset(tmp_path / "net")[0]["mask"][..., :16] == 1).all())
    (tmp_path / "masks").mkdir()
    for item in source.items:
        values = np.zeros((40, 56), np.uint8)
        values[:20] = 255
        Image.fromarray(values).save(tmp_path / "masks" / f"{item.id}.png")
    given = find_source(pairs, masks=tmp_path / "masks")
    make(given, tmp_path / "given", dataclasses.replace(tools, salient=None), SMALL)
    assert bool((TripletDataset(tmp_path / "given")[0]["mask"][:, :16] == 1).all())
    (tmp_path / "masks" / "u0.png").unlink()
    lacking = find_source(pairs, masks=tmp_path / "masks")
    with pytest.raises(UsageError, match="foreground"):
        make(lacking, tmp_path / "x", dataclasses.replace(tools, salient=None), SMALL)
    assert not (tmp_path / "x" / "items").exists()


def test_one_folder_has_one_set_of_settings(coco: Path, pairs: Path, tools: Tools, tmp_path: Path):
    out = tmp_path / "out"
    make(find_source(coco, split="val2017"), out, tools, SMALL)
    with pytest.raises(UsageError, match="another way") as caught:
        make(find_source(coco, split="val2017"), out, tools, dataclasses.replace(SMALL, seed=4))
    assert "settings.seed = 0, not 4" in str(caught.value)
    with pytest.raises(UsageError, match="another way"):
        make(find_source(pairs), out, tools, SMALL)
    other = dataclasses.replace(tools, described={"test": 2})
    with pytest.raises(UsageError, match="another way"):
        make(find_source(coco, split="val2017"), out, other, SMALL)
    with pytest.raises(UsageError, match="something else"):
        make(find_source(pairs), coco, tools, SMALL)


def test_the_manifest_vouches_for_every_file(coco: Path, tools: Tools, tmp_path: Path):
    out = tmp_path / "out"
    make(find_source(coco, split="val2017"), out, tools, SMALL)
    data = TripletDataset(out)
    folder = item_folder(out, data.ids[0])
    facts = json.loads((folder / "item.json").read_text())
    (folder / "item.json").write_text(json.dumps({**facts, "caption": "another"}))
    with pytest.raises(WeightsError, match="damaged"):
        data[0]
    for path in list(item_folder(out, data.ids[1]).iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(WeightsError, match="damaged"):
            data[1]
        path.write_bytes(whole)
    assert data[1]["id"] == data.ids[1]


def test_odd_names_stay_apart(tmp_path: Path):
    names = ["a/b", "a_b", "a b", "../x", ".hidden", "é", "x" * 300, "x" * 301]
    folders = [item_folder(tmp_path, name) for name in names]
    assert len(set(folders)) == len(names)
    for folder in folders:
        assert folder.parent.parent == tmp_path / "items" and not folder.name.startswith(".")
        assert folder.resolve().is_relative_to((tmp_path / "items").resolve())


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_shards_that_there_are_not(text: str):
    with pytest.raises(UsageError, match="shard"):
        Shard.parse(text)


@pytest.mark.parametrize("given", [{"size": 30}, {"size": 0}, {"dilation": -1}])
def test_settings_that_cannot_be(given: dict[str, int]):
    with pytest.raises(UsageError):
        Settings(**given)  # type: ignore[arg-type]


def test_there_must_be_triplets_to_read(tmp_path: Path):
    with pytest.raises(UsageError, match="no triplets"):
        TripletDataset(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "other", "items": {}}')
    with pytest.raises(UsageError, match="format"):
        TripletDataset(tmp_path)
