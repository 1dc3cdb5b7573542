"""The pictures of a run, with the items they were made of and the networks that look at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from compose_benchmarks.items import Item
from compose_benchmarks.runner.execute import Run
from compose_benchmarks.runner.files import read, read_beside
from compose_benchmarks.suite import Suite
from compose_core.errors import ComposeError
from compose_metrics.pictures import as_saved

if TYPE_CHECKING:
    from compose_benchmarks.judges import Eyes

__all__ = ["Gallery", "Part", "collect"]

BATCH = 64
"""Pictures that are looked at together."""


@dataclass(frozen=True)
class Part:
    """Some pictures of a gallery.

    Attributes:
        keys: Numbers of their items.
        pictures: (B, 3, H, W) in [-1, 1], as saved.
        items: Their items.
        beside: For each, what stands beside it: by name (3, H, W) in [-1, 1], as saved.
    """

    keys: list[int]
    pictures: Tensor
    items: tuple[Item, ...]
    beside: tuple[Mapping[str, Tensor], ...] = ()

    @property
    def texts(self) -> list[str]:
        """What each picture should show, in words."""
        return [item.caption.text for item in self.items]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """All pictures of a run.

    Attributes:
        suite: Their suite.
        items: Those whose picture could be read.
        pictures: (N, 3, H, W) uint8.
        eyes: The networks that look.
        skipped: Messages on pictures that were left out.
        beside: For each picture, those beside it: by name (3, H, W) uint8; empty where the method
            makes none, or the suite does not keep them.
    """

    suite: Suite
    items: tuple[Item, ...]
    pictures: Tensor
    eyes: Eyes
    skipped: tuple[str, ...] = ()
    beside: tuple[Mapping[str, Tensor], ...] = ()

    def parts(self, size: int = BATCH) -> Iterator[Part]:
        """The pictures in batches."""
        for start in range(0, len(self.items), size):
            some = self.items[start : start + size]
            keys = [item.number for item in some]
            others = tuple(
                {name: as_saved(picture[None])[0] for name, picture in one.items()}
                for one in self.beside[start : start + size]
            )
            yield Part(keys, as_saved(self.pictures[start : start + size]), some, others)


def collect(run: Run, eyes: Eyes, *, skip_unreadable: bool = False) -> Gallery:
    """Read all pictures of a run.

    Args:
        run: A run whose pictures were made.
        eyes: The networks that will look at them.
        skip_unreadable: Leave out what cannot be read, and remember it.

    Raises:
        ComposeError: Pictures cannot be read, and are not to be skipped; or none can.
    """
    items: list[Item] = []
    pictures: list[Tensor] = []
    beside: list[Mapping[str, Tensor]] = []
    bad: list[str] = []
    for item in run.items:
        try:
            picture = read(run.folder, run.spec, item)
            beside.append(read_beside(run.folder, run.spec, item, run.beside(item.number)))
            pictures.append(picture)
            items.append(item)
        except ComposeError as error:
            bad.append(_line(error))
    if bad and (not skip_unreadable or not pictures):
        raise ComposeError(
            f"{len(bad)} of {len(run.items)} pictures cannot be read",
            got=_listed(bad),
            remedy="leave out --measure-only, or go on without them by --skip-unreadable",
        )
    from torch import stack

    return Gallery(
        suite=run.suite,
        items=tuple(items),
        pictures=stack(pictures),
        eyes=eyes,
        skipped=tuple(bad),
        beside=tuple(beside),
    )


def _line(error: ComposeError) -> str:
    return f"{error.what} ({error.got})"


def _listed(lines: Sequence[str], most: int = 5) -> str:
    text = "; ".join(lines[:most])
    return text if len(lines) <= most else f"{text}; and {len(lines) - most} more"
