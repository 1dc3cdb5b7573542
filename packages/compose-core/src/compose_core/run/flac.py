"""Comments of FLAC files: where a sound carries its record.

A FLAC file is `fLaC` and blocks, each a type, a length of three bytes and data; type 4 holds
comments `NAME=text` (RFC 9639, section 8.6). The sound itself is not touched.
"""

from __future__ import annotations

import struct

from compose_core.errors import SceneError

__all__ = ["MARK", "read_comment", "with_comment"]

MARK = b"fLaC"
_COMMENTS = 4
_MOST = 2**24 - 1


def read_comment(data: bytes, name: str) -> str | None:
    """The comment of that name, or None.

    Raises:
        SceneError: The file is damaged.
    """
    try:
        for kind, block in _blocks(data)[0]:
            if kind == _COMMENTS:
                for comment in _parse(block)[1]:
                    key, _, text = comment.partition("=")
                    if key.upper() == name.upper():
                        return text
    except (struct.error, ValueError, IndexError) as error:
        raise SceneError("the sound file is damaged", got=str(error)) from error
    return None


def with_comment(data: bytes, name: str, text: str) -> bytes:
    """The same file with a comment, in the place of one of the same name.

    Raises:
        SceneError: The file is damaged, or the text is too long for it (16 MiB).
    """
    try:
        blocks, audio = _blocks(data)
        vendor, comments = "compose", list[str]()
        for kind, block in blocks:
            if kind == _COMMENTS:
                vendor, comments = _parse(block)
    except (struct.error, ValueError, IndexError) as error:
        raise SceneError("the sound file is damaged", got=str(error)) from error
    kept = [one for one in comments if one.partition("=")[0].upper() != name.upper()]
    lines = [vendor, *kept, f"{name}={text}"]
    encoded = [struct.pack("<I", len(line)) + line for line in (x.encode() for x in lines)]
    block = encoded[0] + struct.pack("<I", len(encoded) - 1) + b"".join(encoded[1:])
    if len(block) > _MOST:
        raise SceneError(
            "the scene is too large to be kept in a sound file",
            got=f"{len(block) / 2**20:.1f} MiB with its files",
            expected="at most 16 MiB",
            remedy="a shorter or smaller file in the scene",
        )
    first, *others = [(kind, one) for kind, one in blocks if kind != _COMMENTS]
    made = [first, (_COMMENTS, block), *others]
    head = [
        struct.pack(">I", len(one) | (kind | (0x80 if last else 0)) << 24) + one
        for (kind, one), last in zip(made, [False] * (len(made) - 1) + [True], strict=True)
    ]
    return MARK + b"".join(head) + audio


def _blocks(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Blocks as (type, data), and the sound."""
    if not data.startswith(MARK):
        raise ValueError("no FLAC file")
    found: list[tuple[int, bytes]] = []
    place, last = 4, False
    while not last:
        (word,) = struct.unpack_from(">I", data, place)
        last, kind, length = bool(word >> 31), word >> 24 & 0x7F, word & 0xFFFFFF
        if place + 4 + length > len(data):
            raise ValueError("a block is longer than the file")
        found.append((kind, data[place + 4 : place + 4 + length]))
        place += 4 + length
    return found, data[place:]


def _parse(block: bytes) -> tuple[str, list[str]]:
    """Vendor and comments."""
    texts: list[str] = []
    place = 0

    def text() -> str:
        nonlocal place
        (length,) = struct.unpack_from("<I", block, place)
        place += 4 + length
        if place > len(block):
            raise ValueError("a comment is longer than its block")
        return block[place - length : place].decode()

    vendor = text()
    (count,) = struct.unpack_from("<I", block, place)
    place += 4
    for _ in range(count):
        texts.append(text())
    return vendor, texts
