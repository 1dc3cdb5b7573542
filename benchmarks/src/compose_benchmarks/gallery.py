"""The pictures of a run, with the items they were made of and the networks that look at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from compose_benchmarks.items import Item
from compose_benchmarks.runner.execute import Run
from compose_benchmarks.runner.files import read
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
    """

    keys: list[int]
    pictures: Tensor
    items: tuple[Item, ...]

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
    """

    suite: Suite
    items: tuple[Item, ...]
    pictures: Tensor
    eyes: Eyes
    skipped: tuple[str, ...] = ()

    def parts(self, size: int = BATCH) -> Iterator[Part]:
        """The pictures in batches."""
        for start in range(0, len(self.items), size):
            some = self.items[start : start + size]
            keys = [item.number for item in some]
            yield Part(keys, as_saved(self.pictures[start : start + size]), some)


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
    bad: list[str] = []
    for item in run.items:
        try:
            pictures.append(read(run.folder, run.spec, item))
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
    )


def _line(error: ComposeError) -> str:
    return f"{error.what} ({error.got})"


def _listed(lines: Sequence[str], most: int = 5) -> str:
    text = "; ".join(lines[:most])
    return text if len(lines) <= most else f"{text}; and {len(lines) - most} more"
