"""Pick-a-Pic: prompts, each with two pictures of which people preferred one.

Two layouts. The data set as it is published, `*.parquet` (needs pyarrow), whose rows hold the
pictures. And the same rows unpacked, which is what a download of the pictures gives:

    pairs.jsonl       {"caption", "image_0_uid", "image_1_uid", "label_0", "label_1"} each
    images/UID.jpg    (or .png, .webp)

The preferred picture of each pair is kept, once. A pair without a preference (labels 0.5 and 0.5)
prefers none, and its pictures are kept only if another pair does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from compose_cnc.data.sources import SUFFIXES, Item, Source, bytes_of, lines_of, made
from compose_core.errors import ComposeError, SceneError, UsageError

__all__ = ["is_pick_a_pic", "pick_a_pic", "without_words"]

_COLUMNS = ("caption", "image_0_uid", "image_1_uid", "label_0", "label_1")

Row = Mapping[str, Any]
Reader = Callable[[], bytes]


def is_pick_a_pic(root: Path) -> bool:
    """Whether a folder has one of the two layouts."""
    return (root / "pairs.jsonl").is_file() or any(True for _ in _parquet(root))


def _parquet(root: Path) -> Iterator[Path]:
    yield from sorted(root.rglob("*.parquet"))


def pick_a_pic(root: Path) -> Source:
    """The preferred pictures of Pick-a-Pic, with their prompts.

    Raises:
        UsageError: Neither layout is there, or pyarrow is missing.
        SceneError: A row cannot be read.
    """
    if (root / "pairs.jsonl").is_file():
        rows = _unpacked(root)
    elif any(True for _ in _parquet(root)):
        rows = _packed(root)
    else:
        raise UsageError(
            "this is not Pick-a-Pic", got=root, expected="pairs.jsonl and images/, or *.parquet"
        )
    captions: dict[str, list[str]] = {}
    readers: dict[str, Reader] = {}
    undecided: set[str] = set()
    for row, pictures in rows:
        chosen = _preferred(row)
        if chosen is None:
            undecided |= {str(row["image_0_uid"]), str(row["image_1_uid"])}
            continue
        uid = str(row[f"image_{chosen}_uid"])
        readers.setdefault(uid, pictures[chosen])
        said = captions.setdefault(uid, [])
        if row["caption"] not in said:
            said.append(str(row["caption"]))
    items = [
        Item(id=uid, captions=tuple(captions[uid]), picture=read) for uid, read in readers.items()
    ]
    left_out = {uid: "nobody preferred it" for uid in sorted(undecided - readers.keys())}
    return made("pick-a-pic", items, left_out)


def _preferred(row: Row) -> int | None:
    """0 or 1, the picture that was preferred, or `None` for a tie."""
    first, second = float(row["label_0"]), float(row["label_1"])
    return None if first == second else int(second > first)


def _unpacked(root: Path) -> Iterator[tuple[Row, tuple[Reader, Reader]]]:
    file = root / "pairs.jsonl"
    for number, line in lines_of(file):
        try:
            row = json.loads(line)
            _check(row)
        except (ValueError, TypeError, KeyError) as error:
            raise SceneError(
                "a line of pairs cannot be read",
                got=f"{file}, line {number}: {error}",
                expected=f"an object with {', '.join(_COLUMNS)}",
            ) from error
        yield row, (_picture(root, row["image_0_uid"]), _picture(root, row["image_1_uid"]))


def _check(row: Row) -> None:
    for name in _COLUMNS:
        _ = row[name]
    _preferred(row)


def _picture(root: Path, uid: str) -> Reader:
    if not re.fullmatch(r"[\w.-]+", str(uid)):
        raise SceneError(
            "a picture has a name that is none",
            got=repr(uid)[:80],
            expected="letters, digits, -, _ and .",
        )
    places = [root / "images" / f"{uid}{suffix}" for suffix in SUFFIXES]
    path = next((place for place in places if place.is_file()), places[1])
    return bytes_of(path, f"the picture {uid}")


def _packed(root: Path) -> Iterator[tuple[Row, tuple[Reader, Reader]]]:
    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UsageError(
            "parquet files cannot be read here",
            got="pyarrow is not installed",
            remedy="pip install pyarrow, or unpack the data set into pairs.jsonl and images/",
        ) from error
    for path in _parquet(root):
        file: Any = parquet.ParquetFile(path)
        if lacking := set(_COLUMNS) - set(file.schema_arrow.names):
            raise SceneError(
                "a parquet file is not Pick-a-Pic",
                got=f"{path} has no {', '.join(sorted(lacking))}",
            )
        for number in range(file.num_row_groups):
            group = _Group(path, number)
            rows = file.read_row_group(number, columns=list(_COLUMNS)).to_pylist()
            for i, row in enumerate(rows):
                yield row, (partial(group.picture, "jpg_0", i), partial(group.picture, "jpg_1", i))


class _Group:
    """The pictures of some rows of a parquet file; both columns are read at the first of them.

    Items come in the order of the file, so a group is let go when its last picture was asked for.
    """

    def __init__(self, path: Path, number: int) -> None:
        self._path, self._number = path, number
        self._columns: dict[str, Any] = {}

    def picture(self, column: str, row: int) -> bytes:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]

        try:
            if not self._columns:
                file: Any = parquet.ParquetFile(self._path)
                table = file.read_row_group(self._number, columns=["jpg_0", "jpg_1"])
                self._columns = {name: table.column(name) for name in ("jpg_0", "jpg_1")}
            found = self._columns[column][row].as_py()
            if row == len(self._columns[column]) - 1:
                self._columns = {}
        except Exception as error:  # pyarrow has errors of its own for everything
            raise ComposeError(
                "a parquet file cannot be read", got=f"{self._path}: {error}"
            ) from error
        if not isinstance(found, bytes):
            raise SceneError("a picture is missing", got=f"{self._path}, row {row}")
        return found


def without_words(source: Source, words: Iterable[str]) -> Source:
    """The source without captions in which one of these words stands, in any case.

    Whole words are compared. A picture that has no caption left is left out.
    """
    escaped = [re.escape(word.strip()) for word in words if word.strip()]
    if not escaped:
        return source
    pattern = re.compile(rf"\b(?:{'|'.join(escaped)})\b", re.IGNORECASE)
    kept: list[Item] = []
    left_out = dict(source.left_out)
    for item in source.items:
        said = tuple(text for text in item.captions if not pattern.search(text))
        if said or not item.captions:
            kept.append(
                Item(
                    id=item.id,
                    captions=said,
                    picture=item.picture,
                    labels=item.labels,
                    mask=item.mask,
                )
            )
        else:
            left_out[item.id] = "a word of its captions is not wanted"
    return made(source.layout, kept, left_out)
