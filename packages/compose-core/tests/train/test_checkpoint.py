"""A checkpoint is whole or absent, whatever happens while it is written."""

import errno
import os
import signal
import sys
import warnings
from pathlib import Path

import pytest
import torch

from compose_core.errors import ComposeError, WeightsError
from compose_core.train.checkpoint import Checkpoint, load, load_newest, save, steps


def make(step: int) -> Checkpoint:
    value = torch.full((64,), float(step))
    parts = {"model": {"w": value}, "ema": {"w": value / 2}, "rng": {"0.cpu": value.byte()}}
    return Checkpoint(step=step, parts=parts, facts={"position": step * 4})


def assert_whole(found: Checkpoint | None, steps: set[int]) -> None:
    assert found is not None and found.step in steps
    expected = make(found.step)
    assert found.facts == expected.facts
    for part, tensors in expected.parts.items():
        for name, value in tensors.items():
            assert torch.equal(found.parts[part][name], value)


def steps_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_keeps_the_newest_and_nothing_else(tmp_path):
    for step in range(1, 6):
        save(tmp_path, make(step), keep=2)
    assert steps_in(tmp_path) == ["step-00000004", "step-00000005"]
    assert_whole(load_newest(tmp_path), {5})


def test_nothing_yet(tmp_path):
    assert load_newest(tmp_path / "absent") is None
    assert steps(tmp_path / "absent") == []


def test_each_that_was_kept_can_be_loaded(tmp_path):
    for step in (3, 7, 20):
        save(tmp_path, make(step), keep=3)
    assert steps(tmp_path) == [3, 7, 20]
    for step in (3, 7, 20):
        assert_whole(load(tmp_path, step), {step})
    with pytest.raises(WeightsError, match="no checkpoint of step 8(?s:.)*3, 7, 20"):
        load(tmp_path, 8)
    flip(tmp_path / "step-00000007" / "state.json")
    with pytest.raises(WeightsError, match="damaged"):
        load(tmp_path, 7)


def in_child(folder: Path, boundary: int) -> int:
    """Save step 3 in a forked child that is killed at one file operation; its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    count = 0

    def kill(event: str, args: tuple) -> None:
        nonlocal count
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
            if count == boundary:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    try:
        sys.addaudithook(kill)
        save(folder, make(3), keep=2)
    finally:
        os._exit(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("damaged", [False, True], ids=["new", "over a damaged one"])
def test_a_kill_at_any_file_boundary_leaves_the_old_or_the_new_checkpoint(tmp_path, damaged):
    boundary, killed = 0, True
    while killed:
        folder = tmp_path / str(boundary)
        save(folder, make(1), keep=2)
        save(folder, make(2), keep=2)
        if damaged:
            save(folder, make(3), keep=3)
            (folder / "step-00000003" / "model.safetensors").unlink()
        killed = in_child(folder, boundary) == signal.SIGKILL
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the damaged one may still be there
            assert_whole(load_newest(folder), {2, 3})
        save(folder, make(4), keep=2)  # and training goes on, leaving no debris
        assert load_newest(folder).step == 4 and len(steps_in(folder)) == 2
        boundary += 1
    assert boundary > 12


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "state.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path, name, harm):
    save(tmp_path, make(1), keep=2)
    path = save(tmp_path, make(2), keep=2) / name
    if harm == "flip":
        flip(path)
    elif harm == "truncate":
        path.write_bytes(path.read_bytes()[:-7])
    else:
        path.unlink()
    with pytest.warns(UserWarning, match="damaged"):
        assert_whole(load_newest(tmp_path), {1})


def test_only_damaged_checkpoints_are_an_error(tmp_path):
    flip(save(tmp_path, make(1), keep=2) / "state.json")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(WeightsError):
        load_newest(tmp_path)


def test_a_full_disk_leaves_the_old_checkpoint_and_no_draft(tmp_path, monkeypatch):
    save(tmp_path, make(1), keep=2)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ComposeError, match="could not be written"):
            save(tmp_path, make(2), keep=2)
    assert steps_in(tmp_path) == ["step-00000001"]
    assert_whole(load_newest(tmp_path), {1})


def test_only_safetensors_and_json_are_written(tmp_path):
    path = save(tmp_path, make(1), keep=1)
    assert {p.suffix for p in path.iterdir()} == {".safetensors", ".json"}
