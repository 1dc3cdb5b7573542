import struct

import pytest

from compose_core.errors import SceneError
from compose_core.run.flac import read_comment, with_comment

INFO = bytes(34)
SOUND = b"\xff\xf8 frames"


def block(kind, data, last=False):
    return struct.pack(">I", (kind | (0x80 if last else 0)) << 24 | len(data)) + data


def comments(*lines, vendor=b"someone"):
    texts = [vendor, *(line.encode() for line in lines)]
    packed = [struct.pack("<I", len(text)) + text for text in texts]
    return packed[0] + struct.pack("<I", len(lines)) + b"".join(packed[1:])


PLAIN = b"fLaC" + block(0, INFO, last=True) + SOUND
NAMED = (
    b"fLaC" + block(0, INFO) + block(4, comments("TITLE=a=b", "compose=old"))
    + block(1, bytes(8), last=True) + SOUND
)  # fmt: skip


@pytest.mark.parametrize("data", [PLAIN, NAMED])
@pytest.mark.parametrize("text", ["", "new", "zwölf = 12", "x" * 100_000])
def test_a_comment_is_put_in_and_read_again(data, text):
    made = with_comment(data, "compose", text)
    assert read_comment(made, "COMPOSE") == text
    assert made.endswith(SOUND) and made[4:8] == block(0, INFO)[:4]
    assert made.count(b"compose=") == 1
    assert read_comment(made, "title") == ("a=b" if data is NAMED else None)
    assert with_comment(made, "compose", text) == made


def test_without_a_comment_there_is_none():
    assert read_comment(PLAIN, "compose") is None


@pytest.mark.parametrize("length", [0, 3, 4, 6, 20, 41, 50, 60])
def test_damaged_files_are_one_message(length):
    with pytest.raises(SceneError, match="damaged"):
        with_comment(NAMED[:length], "compose", "x")
    with pytest.raises(SceneError, match="damaged"):
        read_comment(NAMED[:length], "compose")


def test_a_text_that_no_block_can_hold_is_refused():
    with pytest.raises(SceneError, match="too large"):
        with_comment(PLAIN, "compose", "x" * 2**24)
