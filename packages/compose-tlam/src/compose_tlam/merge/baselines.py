"""What TLAM is compared with: CLAM, concatenation, mean, and a product of experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_core.errors import UsageError
from compose_tlam.labels import LabelSet
from compose_tlam.merge.block import log_weights, mean
from compose_tlam.merge.interface import Merger, Strength, as_picture, as_pixels
from compose_tlam.merge.projection import Projection
from compose_tlam.stack import LabelStack

__all__ = ["CLAM", "Concatenation", "Mean", "ProductOfExperts"]


@final
class CLAM(Merger):
    """Convolutional label merging (section 4.2): no label sees another before the mean.

    The projection is followed by `layers` maps `GELU(A_k e + b_k)` of each label's own.

    Args:
        labels: The registry.
        width: d.
        layers: l, besides the projection; 0 is `Mean`.
        chunk: Pixels that are computed at once.
    """

    def __init__(
        self, labels: LabelSet, width: int = 96, *, layers: int = 3, chunk: int | None = None
    ) -> None:
        super().__init__()
        self.labels, self.width, self.chunk = labels, width, chunk
        self.projection = Projection(labels, width)
        count = len(labels)
        # He's deviation for layers with a GELU, so that depth does not shrink the tokens.
        spread = (2 / width) ** 0.5
        self.matrix = nn.ParameterList(
            nn.Parameter(spread * torch.randn(count, width, width)) for _ in range(layers)
        )
        self.bias = nn.ParameterList(
            nn.Parameter(torch.zeros(count, 1, width)) for _ in range(layers)
        )

    def forward(
        self,
        stack: LabelStack,
        strength: Strength | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """The concept tensor (B, d, H, W)."""
        self.check(stack)
        values, valid, weight = as_pixels(stack, strength, self.projection_dtype)
        share = None if weight is None else log_weights(weight)[1]
        count = len(self.labels)

        def merged(part: Sequence[Tensor]) -> Tensor:
            z = self.projection(list(part[:count]), part[count]).transpose(0, 1)
            for matrix, bias in zip(self.matrix, self.bias, strict=True):
                z = F.gelu(z @ matrix.transpose(1, 2).to(z.dtype) + bias.to(z.dtype))
            return mean(z.transpose(0, 1), part[-1] if share is not None else None)

        inputs = [*values, valid, *([] if share is None else [share])]
        return as_picture(self.each(merged, inputs, self.chunk), stack.shape)

    @property
    def projection_dtype(self) -> torch.dtype:
        """What the weights are in."""
        return self.projection.bias[self.labels[0].name].dtype


def Mean(labels: LabelSet, width: int = 96, *, chunk: int | None = None) -> CLAM:  # noqa: N802
    """The mean of the projections alone."""
    return CLAM(labels, width, layers=0, chunk=chunk)


@final
class Concatenation(Merger):
    """The naive baseline: all channels side by side, classes as one-hot, missing values zero.

    Args:
        labels: The registry; of semantics alone it is what SPADE and ASAP-Net take.
        bits: Whether each label adds a channel that tells where it is valid. The paper has none.
    """

    def __init__(self, labels: LabelSet, *, bits: bool = False) -> None:
        super().__init__()
        self.labels, self.bits = labels, bits
        self.width = sum(label.width + bits for label in labels)

    def forward(
        self,
        stack: LabelStack,
        strength: Strength | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """(B, channels, H, W).

        Raises:
            UsageError: Strengths are given: channels have none.
        """
        self.check(stack)
        if strength:
            raise UsageError(
                "concatenated labels have no strengths",
                got=", ".join(strength),
                remedy="use a model with TLAM",
            )
        values, valid, _ = as_pixels(stack, None, torch.float32)
        parts: list[Tensor] = []
        for n, label in enumerate(self.labels):
            x = values[n]
            if label.discrete:
                x = F.one_hot(x, label.count).to(torch.float32) * valid[:, n, None]
            parts += [x, valid[:, n, None].to(x)] if self.bits else [x]
        return as_picture(torch.cat(parts, 1), stack.shape)


@final
class ProductOfExperts(Merger):
    r"""Each label is a Gaussian expert about the concept; a missing one says nothing.

    .. math:: z = \frac{\sum_k \lambda_k \mu_k}{1 + \sum_k \lambda_k},

    the mean of the product of the experts and a standard normal prior, with precisions
    :math:`\lambda_k = w_k \exp(\cdot)` of the labels that are there.

    Args:
        labels: The registry.
        width: d.
        chunk: Pixels that are computed at once.
    """

    def __init__(self, labels: LabelSet, width: int = 96, *, chunk: int | None = None) -> None:
        super().__init__()
        self.labels, self.width, self.chunk = labels, width, chunk
        self.projection = Projection(labels, width)
        count = len(labels)
        self.matrix = nn.Parameter(width**-0.5 * torch.randn(count, 2 * width, width))
        self.bias = nn.Parameter(torch.zeros(count, 1, 2 * width))

    def forward(
        self,
        stack: LabelStack,
        strength: Strength | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """The concept tensor (B, d, H, W)."""
        self.check(stack)
        values, valid, weight = as_pixels(stack, strength, self.bias.dtype)
        counts = valid.to(self.bias.dtype) if weight is None else weight * valid
        number = len(self.labels)

        def merged(part: Sequence[Tensor]) -> Tensor:
            e = self.projection(list(part[:number]), part[number]).transpose(0, 1)
            said = e @ self.matrix.transpose(1, 2).to(e.dtype) + self.bias.to(e.dtype)
            mu, log_precision = said.float().chunk(2, -1)
            # Bounded, so that no expert can silence all others.
            precision = log_precision.clamp(-8, 8).exp() * part[-1].t()[..., None]
            return (precision * mu).sum(0) / (1 + precision.sum(0))

        inputs = [*values, valid, counts]
        return as_picture(self.each(merged, inputs, self.chunk), stack.shape)
