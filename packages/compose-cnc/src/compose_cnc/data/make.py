"""A source becomes a data set of triplets: item by item, resumable, in any number of shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compose_cnc.data import pictures as files
from compose_cnc.data.manifest import SHARDS, check_settings, complete
from compose_cnc.data.sources import Item, Source
from compose_cnc.data.store import fingerprint, place, write_item
from compose_cnc.data.triplet import Settings, Tools, take_apart
from compose_core.errors import SceneError, UsageError

__all__ = ["Report", "Shard", "make"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` equal parts of a source, counted from 1."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse a part that there is not."""
        if not 1 <= self.number <= self.count:
            raise UsageError(
                "there is no such shard",
                got=f"{self.number}/{self.count}",
                expected="i/n with i from 1 to n",
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `i/n`.

        Raises:
            UsageError: It is something else.
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise UsageError("there is no such shard", got=text, expected="i/n, such as 1/4")
        return cls(int(number), int(count))


@dataclass
class Report:
    """What a run did.

    Attributes:
        made: Number of items made now.
        kept: Number of items that were there and whole.
        left_out: Ids without a usable foreground, or of no use to the source, and why.
        unreadable: Ids whose files could not be read, and why.
        manifest: The manifest, if this run completed the data set.
    """

    made: int = 0
    kept: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    manifest: Path | None = None


def make(
    source: Source,
    out: str | Path,
    tools: Tools,
    settings: Settings | None = None,
    *,
    shard: Shard | None = None,
    batch: int = 1,
    skip_unreadable: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Make the triplets of a source, those that are not there yet.

    Items that are whole are kept; damaged ones are made again. Noise and captions depend on the
    seed and the id alone: not on the batch, the shard or what was made before. The shard that
    finishes last writes the manifest.

    Args:
        source: The pictures.
        out: Folder of the data set.
        tools: The networks.
        settings: How; a data set has one set of settings.
        shard: The part to make.
        batch: Pictures at once.
        skip_unreadable: Go on without pictures that cannot be read, and count them.
        progress: Called with how many are done and how many there are.

    Raises:
        UsageError: The folder holds triplets of other settings or of another source, or a picture
            has no mask and there is no network to find one.
        SceneError: A picture cannot be read and is not to be skipped.
    """
    settings, shard = settings or Settings(), shard or Shard()
    out = Path(out)
    described = {
        "settings": asdict(settings),
        "tools": dict(tools.described),
        "source": {"layout": source.layout, "count": len(source.items), "sha256": source.digest()},
    }
    check_settings(out, described)
    _check_masks(source, tools)
    own = source.items[shard.number - 1 :: shard.count]
    report = Report(left_out=dict(source.left_out) if shard.number == 1 else {})
    done = 0
    for group in _groups(own, max(1, batch)):
        pending = [item for item in group if fingerprint(out, item.id) is None]
        report.kept += len(group) - len(pending)
        if pending:
            (out / "manifest.json").unlink(missing_ok=True)  # true again when this run ends
            _make_some(pending, out, tools, settings, report, skip_unreadable)
        done += len(group)
        if progress is not None:
            progress(done, len(own))
    place(
        out / SHARDS / f"{shard.number}-of-{shard.count}.json",
        {"left_out": report.left_out, "unreadable": report.unreadable},
    )
    report.manifest = complete(out, described, [item.id for item in source.items], shard.count)
    return report


def _check_masks(source: Source, tools: Tools) -> None:
    bare = next((i for i in source.items if i.mask is None and i.labels is None), None)
    if tools.salient is None and bare is not None:
        raise UsageError(
            "nothing says what the foreground is",
            got=f"{bare.id} has neither a mask nor an annotation",
            expected="a network that finds salient objects",
            remedy="give --salient MODULE:FACTORY, or --masks FOLDER with a mask for each picture",
        )


def _groups(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _make_some(
    items: Sequence[Item],
    out: Path,
    tools: Tools,
    settings: Settings,
    report: Report,
    skip_unreadable: bool,
) -> None:
    ready: list[tuple[Item, Tensor, Tensor]] = []
    for item in items:
        try:
            colours, mask = _read(item, tools, settings)
        except SceneError as error:
            if not skip_unreadable:
                raise SceneError(
                    error.what,
                    got=error.got,
                    expected=error.expected,
                    remedy="mend it, or go on without it: --skip-unreadable",
                ) from error
            report.unreadable[item.id] = " ".join(str(error).split())
            continue
        if bool(mask.any()) and not bool(mask.all()):
            ready.append((item, colours, mask))
        else:
            report.left_out[item.id] = "all foreground" if bool(mask.any()) else "no foreground"
    if not ready:
        return
    made = take_apart(
        torch.stack([colours for _, colours, _ in ready]),
        torch.stack([mask for _, _, mask in ready]),
        tools,
        settings,
        [
            torch.Generator().manual_seed(_number(settings.seed, "noise", i.id))
            for i, _, _ in ready
        ],
    )
    for row, (item, _, _) in enumerate(ready):
        write_item(out, item.id, made, row, _facts(item, settings))
        report.made += 1


def _read(item: Item, tools: Tools, settings: Settings) -> tuple[Tensor, Tensor]:
    """Picture (3, size, size) in [0, 1] and mask (size, size) bool."""
    colours = files.picture(item.picture(), f"the picture of {item.id}")
    small = files.fit_picture(colours, settings.size, settings.fit)
    if item.mask is not None:
        what = f"the mask of {item.id}"
        mask = files.mask(item.mask(), what, settings.threshold)
    elif item.labels is not None:
        what = f"the pixel map of {item.id}"
        mask = files.things(item.labels(), what)
    else:
        if tools.salient is None:  # pragma: no cover - refused before the first picture
            raise UsageError("nothing says what the foreground is", got=item.id)
        return small, tools.salient(small[None])[0].cpu() > settings.threshold
    if mask.shape != colours.shape[1:]:
        raise SceneError(
            f"{what} has another size than the picture",
            got=f"{mask.shape[1]} x {mask.shape[0]}",
            expected=f"{colours.shape[2]} x {colours.shape[1]}",
        )
    return small, files.fit_mask(mask, settings.size, settings.fit)


def _facts(item: Item, settings: Settings) -> dict[str, Any]:
    said = item.captions
    chosen = said[_number(settings.seed, "caption", item.id) % len(said)] if said else ""
    return {"caption": chosen, "captions": list(said)}


def _number(seed: int, purpose: str, item_id: str) -> int:
    """A number that the seed, the purpose and the id decide, below 2^63."""
    return int(sha256(f"{seed}:{purpose}:{item_id}".encode()).hexdigest()[:16], 16) >> 1
