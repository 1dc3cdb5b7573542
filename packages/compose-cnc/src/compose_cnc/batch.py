"""From what `CnCPipeline` is given to one batch of conditions, a row for each prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from compose_cnc.exemplars import ExemplarEncoder
from compose_cnc.inputs import as_depth, as_exemplar, as_mask, for_each
from compose_cnc.model import Stream
from compose_cnc.network import CnCNetwork
from compose_cnc.streams import foreground, inverted
from compose_core.errors import ShapeError, UsageError

__all__ = ["Given", "Rows"]


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
            if (fg is None) != (bg is None):
                missing = "depth_fg" if fg is None else "depth_bg"
                found.append(f"no {missing}{of}: zeros are used, which leave it open")
            if mask is not None and float(mask.min()) >= 1:
                found.append(f"the mask{of} is white everywhere: the background is not seen")
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

    def conditions(
        self,
        network: CnCNetwork,
        encoder: ExemplarEncoder | None,
        size: tuple[int, int],
        device: torch.device | str,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """All but the text, (B, ...) each: with the exemplars, and with every one missing.

        Args:
            network: Makes tokens of embeddings.
            encoder: Makes embeddings of pictures.
            size: (H, W) of the pictures to be made.
            device: Where tensors go.

        Raises:
            ShapeError: Masks and depths have another size.
            UsageError: There are exemplars, but nothing that makes tokens of them.
        """
        if self.size not in (None, size):
            raise ShapeError(
                "masks and depths have not the size of the picture",
                got=f"{self.size[1]} x {self.size[0]}" if self.size else None,
                expected=f"{size[1]} x {size[0]}",
                remedy="scale them, or give height and width",
            )
        maps = {**self._depths(size), **self._strength()}
        shared = {name: x.to(device) for name, x in maps.items()}
        if not any(x is not None for looks in self.looks.values() for x in looks):
            return shared, shared
        shared["region"] = self._regions(size).to(device)
        tokens = {side: self._tokens(side, network, encoder, device) for side in ("fg", "bg")}
        hearing, deaf = (torch.cat([tokens[s][i] for s in ("fg", "bg")], 1) for i in (0, 1))
        return {**shared, "tokens": hearing}, {**shared, "tokens": deaf}

    def _depths(self, size: tuple[int, int]) -> dict[str, Tensor]:
        """Both maps where any picture has one; zeros for what is missing."""
        if all(x is None for x in (*self.fg, *self.bg)):
            return {}
        zeros = torch.zeros(size)
        cut = [
            depth if depth is None or mask is None else foreground(depth, mask)
            for depth, mask in zip(self.fg, self.masks, strict=True)
        ]
        maps = {"depth_fg": cut, "depth_bg": self.bg}
        return {
            name: torch.stack([zeros if x is None else x for x in rows])[:, None].repeat(
                1, 3, 1, 1
            )
            for name, rows in maps.items()
            if any(x is not None for x in rows)
        }

    def _strength(self) -> dict[str, Tensor]:
        """0 for a picture without any depth: what others in the batch have is not for it."""
        if all(x is None for x in (*self.fg, *self.bg)):
            return {}
        some = zip(self.fg, self.bg, self.strength, strict=True)
        found = [0.0 if fg is None and bg is None else factor for fg, bg, factor in some]
        return {} if all(x == 1 for x in found) else {"strength": torch.tensor(found)}

    def _regions(self, size: tuple[int, int]) -> Tensor:
        """(B, 2, H, W); closed for a picture without exemplars, which hears text alone."""
        rows: list[Tensor] = []
        for i, mask in enumerate(self.masks):
            heard = self.looks["fg"][i] is not None or self.looks["bg"][i] is not None
            front = torch.zeros(size) if mask is None else mask
            rows.append(torch.stack([front, torch.ones(size)]) * heard)
        return torch.stack(rows)

    def _tokens(
        self,
        side: Stream,
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
        rows: list[Tensor] = []
        for look, factor in zip(self.looks[side], self.lambdas[side], strict=True):
            if look is None:
                rows.append(null)
                continue
            embedding = look if look.dim() == 1 else _encode(encoder, look)
            rows.append(network.tokens(embedding[None].to(device), side, factor))
        return torch.cat(rows), null.expand(self.count, -1, -1)

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
    found = [float(x) for x in for_each(given, count, name)]
    if not all(0 <= x < float("inf") for x in found):
        raise UsageError(f"{name} makes no sense", got=given, expected="0 or more")
    return found
