"""The projection block: the labels of a pixel as tokens of one width (equation 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_tlam.labels import Label, LabelSet

__all__ = ["Projection"]


class Projection(nn.Module):
    """One affine map of each label and a GELU: `e_k = GELU(A_k x_k + b_k)`.

    A missing value is a zero vector, so that its token `GELU(b_k)` says that it is missing. Class
    numbers are looked up: `A_k` times a one-hot vector is one of its columns, and the GELU of the
    whole table is taken once for all pixels.

    Args:
        labels: The registry, N labels.
        width: d, of the tokens.
    """

    def __init__(self, labels: LabelSet, width: int) -> None:
        super().__init__()
        self.labels = labels
        self.matrix = nn.ParameterDict(
            {one.name: nn.Parameter(_matrix(one, width)) for one in labels}
        )
        self.bias = nn.ParameterDict(
            {one.name: nn.Parameter(torch.zeros(width)) for one in labels}
        )

    def forward(self, values: list[Tensor], valid: Tensor) -> Tensor:
        """Tokens (P, N, d) of P pixels.

        Args:
            values: For each label (P,) class numbers, or (P, C), zero where missing.
            valid: (P, N) bool.
        """
        tokens: list[Tensor] = []
        for n, label in enumerate(self.labels):
            matrix, bias = self.matrix[label.name], self.bias[label.name]
            if label.discrete:
                table = F.gelu(torch.cat([matrix.t(), matrix.new_zeros(1, len(bias))]) + bias)
                absent = torch.full_like(values[n], label.count)
                tokens.append(F.embedding(torch.where(valid[:, n], values[n], absent), table))
            else:
                tokens.append(F.gelu(F.linear(values[n], matrix, bias)))
        kind = tokens[-1].dtype
        return torch.stack([token.to(kind) for token in tokens], 1)


def _matrix(label: Label, width: int) -> Tensor:
    """Columns of unit variance for one-hot inputs, of variance 1 / C for real channels."""
    spread = 1.0 if label.discrete else 1 / math.sqrt(label.channels)
    return torch.randn(width, label.width) * spread
