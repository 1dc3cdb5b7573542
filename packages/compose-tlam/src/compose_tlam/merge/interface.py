"""What a merger is: labels in, a concept tensor out; and pixels as rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from compose_core.errors import ShapeError, UsageError
from compose_tlam.labels import LabelSet
from compose_tlam.merge.chunks import Function, in_chunks
from compose_tlam.stack import LabelStack

__all__ = ["Merger", "Pixels", "Strength", "as_pixels", "as_picture"]

Strength: TypeAlias = Mapping[str, "float | Tensor"]
"""How much a label counts: a number >= 0, or a map (H, W) or (B, H, W); 1 where not given."""

Pixels: TypeAlias = tuple[list[Tensor], Tensor, "Tensor | None"]
"""Of each label of a registry the values of all P pixels, (P,) class numbers or (P, C); where
they are valid, (P, N) bool; and how much they count, (P, N), None for 1 everywhere."""


class Merger(nn.Module, ABC):
    """Merges the labels of each pixel into one vector.

    Attributes:
        labels: The registry that it was built for.
        width: Channels of the concept tensor.
        recompute: Whether training computes pieces of the pixels twice, to keep none of them. Off
            where memory allows: it is a third faster.
    """

    labels: LabelSet
    width: int
    recompute: bool = True

    @property
    def noise_channels(self) -> int:
        """Channels of noise that it takes; 0 for none."""
        return 0

    @abstractmethod
    def forward(
        self,
        stack: LabelStack,
        strength: Strength | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """The concept tensor.

        Args:
            stack: The labels of a batch; those of the registry that it lacks are missing.
            strength: How much labels count, for mergers that can weigh them.
            noise: (B, noise_channels) standard normal, for mergers that take it.

        Returns:
            (B, width, H, W).

        Raises:
            UsageError: The stack has another registry, or strengths are asked of a merger that
                cannot weigh.
        """

    def each(self, function: Function, inputs: Sequence[Tensor], chunk: int | None) -> Tensor:
        """A function of pixels, piece by piece; see `compose_tlam.merge.chunks.in_chunks`."""
        row = len(self.labels) * self.width
        return in_chunks(function, inputs, self, chunk, recompute=self.recompute, row=row)

    def check(self, stack: LabelStack) -> None:
        """Refuse a stack of another registry."""
        if stack.labels != self.labels:
            raise UsageError(
                "the labels are not those of the model",
                got=", ".join(stack.labels.names),
                expected=", ".join(self.labels.names),
                remedy="LabelStack.under(model.labels) leaves out what the model does not know",
            )


def as_pixels(stack: LabelStack, strength: Strength | None, dtype: torch.dtype) -> Pixels:
    """The maps of a stack as rows of pixels; missing values are zeros, missing classes 0.

    Raises:
        UsageError: A strength is negative, or of an unknown label; or a class number is.
        ShapeError: A map of strengths has another size.
    """
    batch, height, width = stack.shape
    count = batch * height * width
    device = stack.device
    values: list[Tensor] = []
    valid = torch.zeros(count, len(stack.labels), dtype=torch.bool, device=device)
    for n, label in enumerate(stack.labels):
        layer = stack.layers.get(label.name)
        if layer is None:
            empty = torch.zeros(count, dtype=torch.long, device=device)
            values.append(
                empty
                if label.discrete
                else torch.zeros(count, label.channels, dtype=dtype, device=device)  # fmt: skip
            )
            continue
        valid[:, n] = layer.valid.flatten()
        if label.discrete:
            ids = layer.value.long().flatten()
            ids = torch.where(valid[:, n], ids, torch.zeros_like(ids))
            if not 0 <= int(ids.min()) <= int(ids.max()) < label.count:
                raise UsageError(
                    f"class numbers of {label.name!r} that the model does not know",
                    got=f"{int(ids.min())} to {int(ids.max())}",
                    expected=f"0 to {label.count - 1}",
                    remedy="mark these pixels as missing",
                )
            values.append(ids)
            continue
        rows = layer.value.to(dtype).permute(0, 2, 3, 1).reshape(count, label.channels)
        rows = (rows - rows.new_tensor(label.mean)) / rows.new_tensor(label.scale)
        values.append(torch.where(valid[:, n, None], rows, torch.zeros_like(rows)))
    return values, valid, _weights(stack, strength, dtype)


def _weights(stack: LabelStack, strength: Strength | None, dtype: torch.dtype) -> Tensor | None:
    if not strength:
        return None
    size = stack.shape
    weight = torch.ones(len(stack.labels), *size, dtype=dtype, device=stack.device)
    for name, given in strength.items():
        own = torch.as_tensor(given, dtype=dtype, device=stack.device)
        if not bool((own >= 0).all()) or bool(own.isinf().any()):
            raise UsageError(
                f"the strength of {name!r} makes no sense",
                got=f"{float(own.min()):g} to {float(own.max()):g}",
                expected="finite numbers from 0 on; 1 is as trained",
            )
        if own.dim() and tuple(own.shape) not in (size, size[1:]):
            raise ShapeError(
                f"the strengths of {name!r} have the wrong size",
                got=tuple(own.shape),
                expected=f"{size} or {size[1:]}, the size of the labels",
            )
        weight[stack.labels.names.index(stack.labels.named(name).name)] = own
    return weight.flatten(1).t().contiguous()


def as_picture(rows: Tensor, size: tuple[int, int, int]) -> Tensor:
    """(P, d) rows of pixels as (B, d, H, W)."""
    batch, height, width = size
    return rows.view(batch, height, width, -1).permute(0, 3, 1, 2)
