"""From what `CnCPipeline` is given to one batch of conditions, a row for each prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from compose_cnc.exemplars import ExemplarEncoder
from compose_cnc.inputs import as_depth, as_exemplar, as_mask, for_each
from compose_cnc.model import Stream
from compose_cnc.network import CnCNetwork
from compose_cnc.options import Interval, check_factor
from compose_cnc.streams import foreground, inverted
from compose_core.errors import ShapeError, UsageError

__all__ = ["Given", "Kind", "Rows", "check_alone"]

_BLACK = 0.02
"""What no mask stays below that was meant; zeros and ones in 8 bit do."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """Conditions as a user gave them, one for all prompts or a list with one for each.

    Attributes:
        depth_fg: See `CnCPipeline`; so all others.
    """

    depth_fg: Any = None
    depth_bg: Any = None
    mask: Any = None
    exemplar_fg: Any = None
    exemplar_bg: Any = None
    lambda_fg: Any = 1.0
    lambda_bg: Any = 1.0
    strength: Any = 1.0


class Kind(NamedTuple):
    """What a picture is made of; those of one kind are asked about together."""

    deep: bool
    """Whether the local fuser runs."""
    looks: bool
    """Whether there are tokens of exemplars."""


class Rows:
    """The conditions of every prompt, checked.

    Args:
        given: What the user gave.
        count: How many prompts there are.
        regional: Whether exemplars are kept to regions, so that there must be some.

    Raises:
        UsageError: Lists have another length than the prompts, or an exemplar has no region.
        ShapeError: A picture is none, or their sizes differ.
    """

    def __init__(self, given: Given, count: int, *, regional: bool = True) -> None:
        self.count = count
        self.masks = _each(given.mask, count, "mask", as_mask)
        self.fg = _each(given.depth_fg, count, "depth_fg", as_depth)
        self.bg = _each(given.depth_bg, count, "depth_bg", as_depth)
        self.looks = {
            "fg": _each(given.exemplar_fg, count, "exemplar_fg", as_exemplar),
            "bg": _each(given.exemplar_bg, count, "exemplar_bg", as_exemplar),
        }
        self.lambdas = {
            "fg": _numbers(given.lambda_fg, count, "lambda_fg"),
            "bg": _numbers(given.lambda_bg, count, "lambda_bg"),
        }
        self.strength = _numbers(given.strength, count, "strength")
        self.size = self._size()
        for look, mask in zip(self.looks["fg"], self.masks, strict=True):
            if regional and look is not None and mask is None:
                raise UsageError(
                    "an exemplar of the foreground has no region",
                    got="exemplar_fg without mask",
                    expected="a mask: white where the foreground is",
                    remedy="give `mask`, give the picture as exemplar_bg, or turn "
                    "soft_guidance off",
                )

    def remarks(self) -> list[str]:
        """What the user should know, each a sentence."""
        found: list[str] = []
        for i in range(self.count):
            of = f" of picture {i + 1}" if self.count > 1 else ""
            fg, bg, mask = self.fg[i], self.bg[i], self.masks[i]
            if not self.strength[i]:  # as without depth
                fg = bg = None
            if (fg is None) != (bg is None):
                missing = "depth_fg" if fg is None else "depth_bg"
                found.append(f"no {missing}{of}: zeros are used, which leave it open")
            if fg is not None and mask is None:
                found.append(f"no mask{of}: depth_fg is used whole, not cut out")
            heard = [side for side in ("fg", "bg") if self.looks[side][i] is not None]
            if len(heard) == 1 and not (mask is None and heard == ["bg"]):
                missing = "exemplar_bg" if heard == ["fg"] else "exemplar_fg"
                found.append(f"no {missing}{of}: what was learned for a missing one is heard")
            if mask is not None and float(mask.min()) >= 1:
                found.append(f"the mask{of} is white everywhere: the background is not seen")
            if mask is not None and float(mask.max()) < _BLACK:
                found.append(
                    f"the mask{of} is nearly black, {float(mask.max()):.2g} at most: white is 255 "
                    "in 8 bit, 1 in floating point"
                )
            area = None if mask is None else mask.numpy()
            guesses = {
                "depth_fg": "" if fg is None or area is None else inverted(fg.numpy(), area),
                "depth_bg": "" if bg is None else inverted(bg.numpy()),
            }
            found += [
                f"{name}{of} seems to be inverted: {reason}; near must be bright"
                for name, reason in guesses.items()
                if reason
            ]
        return found

    def groups(self) -> dict[Kind, list[int]]:
        """Which pictures have depth, exemplars, both or neither; a strength of 0 has no depth."""
        found: dict[Kind, list[int]] = {}
        for i, (fg, bg, factor) in enumerate(zip(self.fg, self.bg, self.strength, strict=True)):
            deep = factor > 0 and not (fg is None and bg is None)
            looks = any(some[i] is not None for some in self.looks.values())
            found.setdefault(Kind(deep, looks), []).append(i)
        return found

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse masks and depths of another size (H, W) than the pictures to be made.

        Raises:
            ShapeError: They have another size.
        """
        if self.size not in (None, size):
            raise ShapeError(
                "masks and depths have not the size of the picture",
                got=f"{self.size[1]} x {self.size[0]}" if self.size else None,
                expected=f"{size[1]} x {size[0]}",
                remedy="scale them, or give height and width",
            )

    def conditions(
        self,
        kind: Kind,
        rows: Sequence[int],
        network: CnCNetwork,
        encoder: ExemplarEncoder | None,
        size: tuple[int, int],
        device: torch.device | str,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """All but the text, (B, ...) each: with the exemplars, and with every one missing.

        Args:
            kind: What is told of the pictures.
            rows: Which pictures, all of which have that.
            network: Makes tokens of embeddings.
            encoder: Makes embeddings of pictures.
            size: (H, W) of the pictures to be made.
            device: Where tensors go.

        Raises:
            UsageError: There are exemplars, but nothing that makes tokens of them.
        """
        maps = {**self._depths(rows, size), **self._strength(rows)} if kind.deep else {}
        shared = {name: x.to(device) for name, x in maps.items()}
        if not kind.looks:
            return shared, shared
        shared["region"] = self._regions(rows, size).to(device)
        tokens = {s: self._tokens(s, rows, network, encoder, device) for s in ("fg", "bg")}
        hearing, deaf = (torch.cat([tokens[s][i] for s in ("fg", "bg")], 1) for i in (0, 1))
        return {**shared, "tokens": hearing}, {**shared, "tokens": deaf}

    def _depths(self, rows: Sequence[int], size: tuple[int, int]) -> dict[str, Tensor]:
        """The maps of these pictures; zeros for what is missing."""
        zeros = torch.zeros(size)

        def cut(i: int) -> Tensor | None:
            depth, mask = self.fg[i], self.masks[i]
            return depth if depth is None or mask is None else foreground(depth, mask)

        maps = {"depth_fg": [cut(i) for i in rows], "depth_bg": [self.bg[i] for i in rows]}
        return {
            name: torch.stack([zeros if x is None else x for x in some])[:, None].repeat(
                1, 3, 1, 1
            )
            for name, some in maps.items()
            if any(x is not None for x in some)
        }

    def _strength(self, rows: Sequence[int]) -> dict[str, Tensor]:
        found = [self.strength[i] for i in rows]
        return {} if all(x == 1 for x in found) else {"strength": torch.tensor(found)}

    def _regions(self, rows: Sequence[int], size: tuple[int, int]) -> Tensor:
        """(B, 2, H, W): the foreground, and all that it leaves."""
        masks = [self.masks[i] for i in rows]
        fronts = [torch.zeros(size) if mask is None else mask for mask in masks]
        return torch.stack([torch.stack([front, torch.ones(size)]) for front in fronts])

    def _tokens(
        self,
        side: Stream,
        rows: Sequence[int],
        network: CnCNetwork,
        encoder: ExemplarEncoder | None,
        device: torch.device | str,
    ) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, D) of one stream's exemplars, and of missing ones."""
        if network.global_fuser is None:
            raise UsageError(
                "the adapter cannot hear exemplars",
                got="no global fuser",
                remedy="leave the exemplars out, or use another adapter",
            )
        null = network.global_fuser.null(side)
        made: list[Tensor] = []
        for look, factor in ((self.looks[side][i], self.lambdas[side][i]) for i in rows):
            if look is None:
                made.append(null)
                continue
            embedding = look if look.dim() == 1 else _encode(encoder, look)
            made.append(network.tokens(embedding[None].to(device), side, factor))
        return torch.cat(made), null.expand(len(rows), -1, -1)

    def _size(self) -> tuple[int, int] | None:
        """(H, W) of all masks and depths; None without any."""
        named = {"mask": self.masks, "depth_fg": self.fg, "depth_bg": self.bg}
        sizes = {(k, tuple(x.shape)) for k, rows in named.items() for x in rows if x is not None}
        if len({size for _, size in sizes}) > 1:
            raise ShapeError(
                "masks and depths have different sizes",
                got=", ".join(f"{name} {w} x {h}" for name, (h, w) in sorted(sizes)),
                expected="one size, that of the picture",
                remedy="scale them to the picture",
            )
        return next(((size[0], size[1]) for _, size in sizes), None)


def _encode(encoder: ExemplarEncoder | None, look: Tensor) -> Tensor:
    if encoder is None:
        raise UsageError(
            "the adapter has no picture encoder",
            got="an exemplar as a picture",
            expected="its embedding (D,)",
        )
    return encoder.encode([look])[0]


def _each(
    given: Any, count: int, name: str, read: Callable[[Any, str], Tensor]
) -> list[Tensor | None]:
    """Each picture read; one that stands for several is read once."""
    several = for_each(given, count, name)
    known = {id(x): read(x, name) for x in several if x is not None}
    return [None if x is None else known[id(x)] for x in several]


def _numbers(given: Any, count: int, name: str) -> Sequence[float]:
    if isinstance(given, Tensor | np.ndarray):
        given = cast(Any, given).tolist()
    found = for_each(given, count, name)
    for x in found:
        check_factor(name, x)
    return [float(x) for x in found]


def check_alone(given: Given, interval: Interval) -> None:
    """Refuse conditions beside a scene, which has its own.

    Raises:
        UsageError: There are some.
    """
    also = [
        name
        for name, value in vars(given).items()
        if not (value is None or (isinstance(value, float | int) and value == 1))
    ]
    if tuple(interval) != (0, 1):
        raise UsageError(
            "the layers of a scene have intervals of their own",
            got=f"interval={interval}",
            remedy="method=CnCMethod(pipe.adapter, intervals={layer: (start, stop)})",
        )
    if also:
        raise UsageError(
            "a scene has these of its own",
            got=", ".join(also),
            remedy="write them in the layers of the scene",
        )
