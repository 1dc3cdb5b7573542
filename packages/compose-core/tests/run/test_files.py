"""Files appear whole or not at all."""

import errno
import os

import pytest

from compose_core.errors import ComposeError
from compose_core.run.files import check_writable, write_atomic


def test_folders_are_made_and_the_bytes_are_there(tmp_path):
    write_atomic(tmp_path / "a" / "b.png", b"123")
    assert (tmp_path / "a" / "b.png").read_bytes() == b"123"
    assert os.listdir(tmp_path / "a") == ["b.png"]


def test_an_old_file_is_replaced(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    write_atomic(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ComposeError),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), ComposeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_whatever_stops_the_writing_leaves_the_old_file_and_nothing_else(
    tmp_path, monkeypatch, error, kind
):
    (tmp_path / "x").write_bytes(b"old")

    def fail(_):
        raise error

    monkeypatch.setattr("compose_core.run.files.os.fsync", fail)
    with pytest.raises(kind) as caught:
        write_atomic(tmp_path / "x", b"new")
    if kind is ComposeError:
        assert "disk is full" in str(caught.value)
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_a_file_in_the_place_of_a_folder_is_found_before_the_work(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    check_writable(tmp_path / "new" / "deeper")
    with pytest.raises(ComposeError, match="cannot be written"):
        check_writable(tmp_path / "file" / "deeper")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_really_full_device(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "compose_core.run.files.Path.open", lambda self, mode: open("/dev/full", "wb")
    )
    with pytest.raises(ComposeError, match="disk is full"):
        write_atomic(tmp_path / "x", b"new")
    assert os.listdir(tmp_path) == []
