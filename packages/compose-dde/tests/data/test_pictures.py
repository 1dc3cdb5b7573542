"""CLEVR positions, centres of marks, and pairs of maps and pictures."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_dde.data import ClevrPositions, PairedMaps, SideBySide, centres


@pytest.fixture
def release(tmp_path):
    generator = np.random.default_rng(0)
    ims = generator.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    coords = np.array([[0.1, 0.2], [1.0, 0.0], [-1, -1], [0.5, 0.5], [0.3, 0.9]])
    np.savez(tmp_path / "clevr.npz", ims=ims, coords_labels=coords)
    return tmp_path / "clevr.npz", ims, coords


def test_pictures_and_positions_are_those_of_the_file(release):
    path, ims, coords = release
    data = ClevrPositions(path, 8)
    batch = data.batch(torch.tensor([4, 0]))
    assert len(data) == 5 and batch["x"].shape == (2, 3, 8, 8)
    mean = ims[4, :2, :2, 1].astype(float).mean()
    assert batch["x"][0, 1, 0, 0] == pytest.approx(mean / 127.5 - 1, abs=1e-6)
    assert batch["positions"].shape == (2, 1, 2)
    assert torch.allclose(batch["positions"][:, 0].double(), torch.tensor(coords[[4, 0]]))
    whole = ClevrPositions(path, 16).batch(torch.tensor([1]))["x"]
    assert torch.equal(whole[0, 2], torch.tensor(ims[1, :, :, 2]) / 127.5 - 1)


def test_y_can_be_turned_and_none_stays_none(release):
    found = ClevrPositions(release[0], 8, upwards=True).positions
    assert found[0].tolist() == pytest.approx([0.1, 0.8]) and found[2].tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"arr_0": np.zeros(3), "arr_1": np.zeros(3)}, "shapes and relations"),
        ({"ims": np.zeros((2, 8, 8, 3), np.float32), "coords_labels": np.zeros((2, 2))}, "fit"),
        ({"ims": np.zeros((2, 8, 8, 3), np.uint8), "coords_labels": np.zeros((3, 2))}, "fit"),
        ({"ims": np.zeros((2, 8, 8, 3), np.uint8), "coords_labels": np.full((2, 2), 9.0)}, "out"),
        ({"ims": np.zeros((2, 8, 8, 3), np.uint8), "coords_labels": np.full((2, 2), "0")}, "fit"),
        ({"ims": np.zeros((2, 8, 8, 3), np.uint8), "coords_labels": np.full((2, 2), 1j)}, "fit"),
        ({"ims": np.zeros((2, 0, 0, 3), np.uint8), "coords_labels": np.zeros((2, 2))}, "fit"),
        ({"ims": np.uint8(0), "coords_labels": np.zeros((2, 2))}, "fit"),
        (
            {"ims": np.zeros((2, 8, 8, 3), np.uint8), "coords_labels": np.array([{}, {}])},
            "cannot be read",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, arrays, word):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ComposeError, match=word):
        ClevrPositions(tmp_path / "a.npz", 8)


def test_damaged_files_and_odd_sizes_are_refused(tmp_path, release):
    (tmp_path / "cut.npz").write_bytes(release[0].read_bytes()[:500])
    (tmp_path / "text.npz").write_text("hello")
    for name in ("cut.npz", "text.npz"):
        with pytest.raises(ComposeError, match="cannot be read"):
            ClevrPositions(tmp_path / name, 8)
    with pytest.raises(ComposeError, match="does not exist"):
        ClevrPositions(tmp_path / "none.npz")
    for size in (7, 0, -8):
        with pytest.raises(UsageError, match="whole numbers"):
            ClevrPositions(release[0], size)


def test_no_byte_of_a_compressed_file_can_be_damaged_without_a_word(tmp_path, release):
    """Whatever the damage is, it is refused, or what was read is what was written."""
    _, ims, coords = release
    path = tmp_path / "small.npz"
    np.savez_compressed(path, ims=ims[:, :4, :4], coords_labels=coords)
    whole, refused = path.read_bytes(), 0
    expected = ClevrPositions(path, 4)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x55
        path.write_bytes(damaged)
        try:
            found = ClevrPositions(path, 4)
        except ComposeError as error:
            assert str(path) in error.got
            refused += 1
        else:
            assert torch.equal(found.positions, expected.positions)
            every = torch.arange(len(expected))
            assert torch.equal(found.batch(every)["x"], expected.batch(every)["x"])
    assert refused > len(whole) / 2


def test_a_member_that_is_no_array_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("ims", "hello")
        file.writestr("coords_labels", "hello")
    with pytest.raises(ComposeError, match="do not fit"):
        ClevrPositions(tmp_path / "a.npz", 8)


def test_centres_of_marks():
    heat = torch.zeros(8, 10)
    heat[1:3, 2:4] = 0.9  # a square, its middle at x 3 of 10, y 2 of 8
    heat[5, 6:9] = 0.5
    heat[6, 8] = 0.7
    heat[3, 4] = 0.8  # touches the square by a corner only
    found = centres(heat)
    wanted = [[0.3, 0.25], [0.45, 3.5 / 8], [(6.5 + 7.5 + 8.5 + 8.5) / 40, (3 * 5.5 + 6.5) / 32]]
    assert torch.allclose(found, torch.tensor(wanted))
    assert centres(heat, 0.95).shape == (0, 2)
    spiral = torch.zeros(5, 5)
    spiral[0], spiral[:, 4], spiral[4], spiral[2:, 0], spiral[2, :3] = 1, 1, 1, 1, 1
    assert len(centres(spiral)) == 1
    with pytest.raises(ShapeError, match="not one picture"):
        centres(torch.zeros(1, 4, 4))


def save(path, color, size=(20, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def test_two_folders_are_paired_by_name(tmp_path):
    for i, name in enumerate(("b", "a")):
        save(tmp_path / "maps" / f"{name}.png", (255, i * 100, 0))
        save(tmp_path / "sat" / f"{name}.png", (0, i * 100, 255))
    (tmp_path / "maps" / "notes.txt").write_text("x")
    data = PairedMaps(tmp_path / "maps", tmp_path / "sat", 8)
    batch = data.batch(torch.tensor([1, 0]))
    assert len(data) == 2 and batch["x"].shape == batch["map"].shape == (2, 3, 8, 8)
    assert (batch["map"][:, 0] == 1).all() and (batch["x"][:, 2] == 1).all()
    assert batch["x"][0, 1, 0, 0] == -1 and batch["x"][1, 1, 0, 0] > -0.3  # sorted: a, b
    save(tmp_path / "sat" / "c.jpg", (0, 0, 0))
    with pytest.raises(ComposeError, match="do not belong together"):
        PairedMaps(tmp_path / "maps", tmp_path / "sat")


@pytest.mark.parametrize("side", ["left", "right"])
def test_side_by_side(tmp_path, side):
    both = Image.new("RGB", (40, 20), (255, 0, 0))
    both.paste((0, 0, 255), (20, 0, 40, 20))
    both.save(tmp_path / "1.png")
    batch = SideBySide(tmp_path, 10, map_on=side).batch(torch.tensor([0]))
    channel = 0 if side == "left" else 2
    assert (batch["map"][0, channel] == 1).all() and (batch["x"][0, 2 - channel] == 1).all()


def test_the_middle_is_cut_out_first(tmp_path):
    image = Image.new("RGB", (24, 24))
    image.paste((255, 255, 255), (4, 4, 20, 20))
    for folder in ("maps", "sat"):
        (tmp_path / folder).mkdir()
        image.save(tmp_path / folder / "a.png")
    cut = PairedMaps(tmp_path / "maps", tmp_path / "sat", 8, crop=16).batch(torch.tensor([0]))
    assert (cut["x"] == 1).all()
    whole = PairedMaps(tmp_path / "maps", tmp_path / "sat", 8).batch(torch.tensor([0]))["x"]
    assert whole[0, 0, 0, 0] == -1 and whole[0, 0, 4, 4] == 1
    large = PairedMaps(tmp_path / "maps", tmp_path / "sat", 8, crop=30)
    with pytest.raises(ComposeError, match="smaller than"):
        large.batch(torch.tensor([0]))


def test_pairs_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ComposeError, match="does not exist"):
        SideBySide(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ComposeError, match="no pictures"):
        SideBySide(tmp_path / "empty")
    save(tmp_path / "odd" / "a.png", (0, 0, 0), (21, 10))
    with pytest.raises(ComposeError, match="two pictures"):
        SideBySide(tmp_path / "odd").pair(0)
    (tmp_path / "odd" / "b.png").write_text("hello")
    with pytest.raises(ComposeError, match="cannot be read"):
        SideBySide(tmp_path / "odd").pair(1)
    save(tmp_path / "odd" / "a.jpg", (0, 0, 0))
    with pytest.raises(ComposeError, match="same name"):
        SideBySide(tmp_path / "odd")
    save(tmp_path / "one" / "a.png", (0, 0, 0))
    save(tmp_path / "two" / "a.png", (0, 0, 0), (10, 10))
    with pytest.raises(ComposeError, match="differ in size"):
        PairedMaps(tmp_path / "one", tmp_path / "two").pair(0)
    for wrong in ({"size": 0}, {"crop": 0}):
        with pytest.raises(UsageError, match="size"):
            SideBySide(tmp_path / "one", **wrong)
    with pytest.raises(UsageError, match="side of the map"):
        SideBySide(tmp_path / "one", map_on="top")
