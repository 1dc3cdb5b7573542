"""Pictures with captions on disk, in the layouts that people have.

A source lists its items by id, in a fixed order, and reads the bytes of a picture only when asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from compose_core.errors import SceneError, UsageError
from compose_core.images import read_bytes

__all__ = ["Item", "Source", "coco_stuff", "find_source", "folder"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""File names that are pictures."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture of a source.

    Attributes:
        id: Its name in the source; unique there.
        captions: What it shows, in the order of the source; perhaps none.
        picture: Reads the picture file.
        labels: Reads its pixel map of COCO-Stuff, if it has one.
        mask: Reads its mask, if it has one.
    """

    id: str
    captions: tuple[str, ...]
    picture: Callable[[], bytes]
    labels: Callable[[], bytes] | None = None
    mask: Callable[[], bytes] | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Items in a fixed order.

    Attributes:
        layout: `coco-stuff`, `pick-a-pic` or `folder`.
        items: In an order that is the same each time.
        left_out: Ids that the source itself has no use for, and why.
    """

    layout: str
    items: tuple[Item, ...]
    left_out: Mapping[str, str]

    def digest(self) -> str:
        """sha256 of all ids and captions, so that two runs know that they mean the same."""
        lines = (json.dumps([item.id, *item.captions]) for item in self.items)
        return sha256("\n".join(lines).encode()).hexdigest()


def made(layout: str, items: Iterable[Item], left_out: Mapping[str, str] | None = None) -> Source:
    """A source of these items, in this order.

    Raises:
        UsageError: There is none, or two have the same id.
    """
    kept = tuple(items)
    seen: set[str] = set()
    twice = [item.id for item in kept if item.id in seen or seen.add(item.id)]
    if twice or not kept:
        raise UsageError(
            "the source cannot be used",
            got=f"several pictures named {twice[:3]}" if twice else "no pictures",
            expected="pictures, each of its own name",
        )
    return Source(layout=layout, items=kept, left_out=dict(left_out or {}))


def bytes_of(path: Path, what: str) -> Callable[[], bytes]:
    """Reads a file when called; `SceneError` names it by `what`."""
    return lambda: read_bytes(path, what)


def find_source(
    root: str | Path,
    layout: str | None = None,
    *,
    split: str = "train2017",
    captions: Path | None = None,
    masks: Path | None = None,
) -> Source:
    """The source in a folder; its layout is recognised unless it is given.

    Args:
        root: The folder.
        layout: `coco-stuff`, `pick-a-pic` or `folder`.
        split: Of COCO-Stuff.
        captions: File of captions of a plain folder; default: one of the usual names in it.
        masks: Folder of masks `NAME.png`; they go before annotations.

    Raises:
        UsageError: There is no such folder or layout, or it holds no pictures.
        SceneError: A file of captions cannot be read.
    """
    from compose_cnc.data.pick_a_pic import is_pick_a_pic, pick_a_pic

    root = Path(root)
    if not root.is_dir():
        raise UsageError("the source is not a folder", got=root)
    if layout is None:
        coco = any((root / "annotations").glob("captions_*.json"))
        layout = "coco-stuff" if coco else "pick-a-pic" if is_pick_a_pic(root) else "folder"
    if layout == "coco-stuff":
        found = coco_stuff(root, split)
    elif layout == "pick-a-pic":
        found = pick_a_pic(root)
    elif layout == "folder":
        found = folder(root, captions)
    else:
        raise UsageError("unknown layout", got=layout, expected="coco-stuff, pick-a-pic, folder")
    return found if masks is None else _with_masks(found, masks)


def _with_masks(source: Source, masks: Path) -> Source:
    if not masks.is_dir():
        raise UsageError("the masks are not a folder", got=masks)
    items = [
        Item(
            id=item.id,
            captions=item.captions,
            picture=item.picture,
            labels=item.labels,
            mask=bytes_of(path, f"the mask of {item.id}") if path.exists() else None,
        )
        for item in source.items
        for path in [masks / f"{item.id}.png"]
    ]
    return made(source.layout, items, source.left_out)


def read_json(path: Path, what: str) -> Any:
    """What a JSON file holds.

    Raises:
        SceneError: It cannot be read.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SceneError(f"{what} cannot be read", got=f"{path}: {error}") from error


def coco_stuff(root: Path, split: str = "train2017") -> Source:
    """COCO with the pixel maps of COCO-Stuff (`stuffthingmaps_trainval2017.zip`).

    Looks for `annotations/captions_SPLIT.json`, pictures in `SPLIT/` or `images/SPLIT/`, and maps
    `ID.png` in `stuffthingmaps/SPLIT/`, `pixelmaps/SPLIT/` or `annotations/SPLIT/`. All captions
    of a picture are kept.

    Raises:
        UsageError: One of the three is missing.
        SceneError: The captions cannot be read.
    """
    captions = root / "annotations" / f"captions_{split}.json"
    if not captions.is_file():
        raise UsageError(
            "the captions are missing",
            expected=captions,
            remedy="unpack annotations_trainval2017.zip, or choose another --split",
        )
    pictures = _first(root, ("images/{}", "{}"), split, "pictures")
    maps = _first(
        root, ("stuffthingmaps/{}", "pixelmaps/{}", "annotations/{}"), split, "pixel maps"
    )
    found = read_json(captions, "the file of captions")
    try:
        files = {int(row["id"]): str(row["file_name"]) for row in found["images"]}
        said: dict[int, list[str]] = {number: [] for number in files}
        for row in sorted(found["annotations"], key=lambda row: int(row["id"])):
            said[int(row["image_id"])].append(" ".join(str(row["caption"]).split()))
    except (KeyError, TypeError, ValueError) as error:
        raise SceneError(
            "the file of captions has another layout",
            got=f"{captions}: {type(error).__name__} {error}",
            expected='"images" with id and file_name, "annotations" with id, image_id and caption',
        ) from error
    return made(
        "coco-stuff",
        (_coco_item(name, said[number], pictures, maps) for number, name in sorted(files.items())),
    )


def _coco_item(name: str, said: list[str], pictures: Path, maps: Path) -> Item:
    stem = Path(name).stem
    return Item(
        id=stem,
        captions=tuple(said),
        picture=bytes_of(pictures / Path(name).name, f"the picture of {stem}"),
        labels=bytes_of(maps / f"{stem}.png", f"the pixel map of {stem}"),
    )


def _first(root: Path, places: tuple[str, ...], split: str, what: str) -> Path:
    candidates = [root / place.format(split) for place in places]
    for place in candidates:
        if place.is_dir():
            return place
    raise UsageError(
        f"the {what} are missing",
        got=root,
        expected=" or ".join(str(place) for place in candidates),
    )


def folder(root: Path, captions: Path | None = None) -> Source:
    """Any folder of pictures, and of folders of pictures.

    The id of a picture is its path without the suffix. Captions come from `captions`, else from
    `metadata.jsonl`, `captions.jsonl`, `captions.json` or `captions.txt` in the folder, else a
    picture has none:

    - `.jsonl`: a line `{"file_name": "a/b.png", "text": "..."}` (or `"caption"`) each;
    - `.json`: `{"a/b.png": "..."}`, or a list of captions for each;
    - `.txt`: `a/b.png: ...` each; what follows the first colon is the caption.

    Raises:
        UsageError: No pictures.
        SceneError: A line of captions cannot be read.
    """
    usual = ("metadata.jsonl", "captions.jsonl", "captions.json", "captions.txt")
    file = captions or next((root / name for name in usual if (root / name).is_file()), None)
    said = {} if file is None else _captions(file)
    paths = [p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    names = {path.relative_to(root).as_posix(): path for path in paths}
    by_stem = {name.rpartition(".")[0]: name for name in names}
    known = {by_stem.get(name, name): lines for name, lines in said.items()}
    names |= {name: root / name for name in known if name not in names}  # named, but not there
    return made(
        "folder",
        (_folder_item(name, path, known.get(name, [])) for name, path in sorted(names.items())),
    )


def _folder_item(name: str, path: Path, said: list[str]) -> Item:
    stem = name[: -len(path.suffix)] if path.suffix.lower() in SUFFIXES else name
    return Item(id=stem, captions=tuple(said), picture=bytes_of(path, f"the picture {name}"))


def _captions(file: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if file.suffix == ".json":
        table = read_json(file, "the file of captions")
        if not isinstance(table, dict):
            raise SceneError(
                "the captions have another layout",
                got=type(table).__name__,
                expected="an object of name and caption",
            )
        return {
            str(k): [str(x) for x in v] if isinstance(v, list) else [str(v)]
            for k, v in table.items()
        }
    for number, line in lines_of(file):
        name, caption = _row(line) if file.suffix == ".jsonl" else _pair(line)
        if not name or caption is None:
            raise SceneError(
                "a line of captions cannot be read",
                got=f"{file}, line {number}: {line[:80]!r}",
                expected='{"file_name": ..., "text": ...} or NAME: CAPTION',
            )
        found.setdefault(name, []).append(caption)
    return found


def lines_of(file: Path) -> list[tuple[int, str]]:
    """Lines that are not empty, with their numbers from 1.

    Raises:
        SceneError: The file cannot be read.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise SceneError("a file of captions cannot be read", got=f"{file}: {error}") from error
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _row(line: str) -> tuple[str, str | None]:
    try:
        row = json.loads(line)
    except ValueError:
        return "", None
    if not isinstance(row, dict):
        return "", None
    name, caption = row.get("file_name", row.get("file")), row.get("text", row.get("caption"))
    return str(name or ""), None if caption is None else str(caption)


def _pair(line: str) -> tuple[str, str | None]:
    name, colon, caption = line.partition(":")
    return name.strip(), caption.strip() if colon else None
