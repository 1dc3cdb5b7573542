"""Leaving conditions out now and then, each on its own, so that any subset of them works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

import torch
from torch import Generator, Tensor

from compose_core.errors import UsageError

__all__ = ["CONDITIONS", "Dropout"]


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """How often each condition is left out; the mask never is.

    The paper drops conditions independently (section 4.1) and does not say how often; 0.1 is the
    published code's. A depth map or an embedding that is left out is zeros, a text is "".

    Attributes:
        text: Share of samples without their caption.
        depth_fg: Without the depth of the foreground.
        depth_bg: Without the depth of the background.
        embedding_fg: Without the exemplar of the foreground.
        embedding_bg: Without the exemplar of the background.

    Raises:
        UsageError: A share is not in [0, 1].
    """

    text: float = 0.1
    depth_fg: float = 0.1
    depth_bg: float = 0.1
    embedding_fg: float = 0.1
    embedding_bg: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        for field in fields(self):
            share = getattr(self, field.name)
            if not 0 <= share <= 1:
                raise UsageError(
                    f"conditions cannot be dropped so often: {field.name}",
                    got=share,
                    expected="a share from 0 to 1",
                )

    @classmethod
    def all(cls, share: float) -> Dropout:
        """The same share of every condition."""
        return cls(**dict.fromkeys(CONDITIONS, share))

    def draw(self, count: int, generator: Generator) -> dict[str, Tensor]:
        """Which of `count` samples go without each condition, (count,) bool by its name.

        All five are drawn at every call, in the order of the fields: what one stage leaves out
        does not depend on which conditions it has.
        """
        device = generator.device
        drawn = torch.rand(len(CONDITIONS), count, generator=generator, device=device)
        shares = torch.tensor(astuple(self), device=device)
        return dict(zip(CONDITIONS, drawn < shares[:, None], strict=True))


CONDITIONS = tuple(field.name for field in fields(Dropout))
"""The names of what can be left out."""


def without(batch: Mapping[str, Tensor], gone: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A batch with zeros for the maps and embeddings that are left out; all else as it was."""

    def kept(name: str, value: Tensor) -> Tensor:
        keep = ~gone[name].reshape(-1, *(1,) * (value.dim() - 1))
        return torch.where(keep, value, torch.zeros_like(value))

    return {k: kept(k, v) if k in gone else v for k, v in batch.items()}
