"""ASAP-Net: a small network looks at the whole and writes a small MLP for every tile of pixels.

Shaham et al. 2021, "Spatially-adaptive pixelwise networks for fast image translation". The
low-resolution stream sees the concept tensor at 1 / S of its size and predicts, for each of its
cells, the weights of an MLP of five layers; the S x S pixels of that cell go through this MLP, one
by one, with their own concept and their place in the tile. This second half goes through the
picture in pieces, so that a picture of any size needs the memory of a piece besides its own.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_core.errors import UsageError
from compose_tlam.generators.interface import Generator
from compose_tlam.generators.positions import positions

__all__ = ["ASAP", "asap_paper"]

_PIECE = 2**24
"""Weights of the MLPs of one piece, at most: 64 MiB."""

_LAUNCH = 65_535
"""Matrices of a batched product that a GPU launches."""


@final
class ASAP(Generator):
    """See the module.

    Args:
        width: Channels of the concept tensor; the paper's is 96.
        tile: S, pixels along the side of a tile, a power of 2.
        learned: The factor of S that the stream takes by strided convolutions, a power of 2; the
            rest is averaged before, by a tent filter. The paper's is 16 at most.
        narrow: Channels of the first layers of the stream.
        deep: Channels of its last layers.
        depth: Number of its last layers.
        pixel: Width of the MLPs.

    Raises:
        UsageError: Sizes are no powers of 2, or do not divide.
    """

    def __init__(
        self,
        width: int = 96,
        *,
        tile: int = 16,
        learned: int = 16,
        narrow: int = 64,
        deep: int = 1024,
        depth: int = 7,
        pixel: int = 64,
    ) -> None:
        super().__init__()
        if any(n < 1 or n & (n - 1) for n in (tile, learned)) or learned > tile or depth < 1:
            raise UsageError(
                "tiles of ASAP-Net halve evenly",
                got=f"tile={tile}, learned={learned}, depth={depth}",
                expected="powers of 2, learned <= tile",
            )
        self.width = width
        self.tile = self.multiple = tile
        self.averaged = tile // learned
        code = positions(tile)
        self.register_buffer("code", code, persistent=False)
        own = [width + code.shape[1], *[pixel] * 4, 3]
        self.shapes = tuple(zip(own, own[1:], strict=False))
        strides = round(math.log2(learned))
        channels = [width, *[narrow] * max(strides, 1), *([deep] if strides else [])]
        convolutions = [_layer(channels[0], channels[1], 1)]
        convolutions += [_layer(a, b, 2) for a, b in zip(channels[1:], channels[2:], strict=False)]
        last = channels[-1]
        for _ in range(depth):
            convolutions.append(_layer(last, deep, 1))
            last = deep
        self.stream = nn.Sequential(*convolutions)
        self.predict = nn.Linear(last, sum(a * b + b for a, b in self.shapes))
        self._calm()

    def _calm(self) -> None:
        """Start from networks that keep the size of what they are given, without biases.

        A cell is a vector of rectified normal numbers, of mean square 1 / 2; weights of variance
        2 / inside follow from predictors of variance 4 / (inside deep).
        """
        nn.init.zeros_(self.predict.weight)
        nn.init.zeros_(self.predict.bias)
        start = 0
        for inside, outside in self.shapes:
            rows = self.predict.weight[start + outside : start + outside + inside * outside]
            nn.init.normal_(rows, std=2 * (inside * self.predict.in_features) ** -0.5)
            start += outside + inside * outside

    def paint(self, concept: Tensor) -> Tensor:
        """Pictures of concepts whose sides are multiples of the tile."""
        return torch.tanh(self._pixels(concept, self._cells(concept)))

    def look(self, concept: Tensor) -> Tensor:
        """Weights of the MLP of every tile: (B, H / S, W / S, P)."""
        return self.predict(self._cells(concept))

    def _cells(self, concept: Tensor) -> Tensor:
        """The low-resolution stream, which sees the whole: (B, H / S, W / S, deep)."""
        return self.stream(_shrunk(concept, self.averaged)).permute(0, 2, 3, 1)

    def _pixels(self, concept: Tensor, cells: Tensor) -> Tensor:
        """The high-resolution stream, piece by piece: (B, 3, H, W)."""
        batch, rows, columns, _ = cells.shape
        x = concept.view(batch, self.width, rows, self.tile, columns, self.tile)
        x = x.permute(0, 2, 4, 3, 5, 1).reshape(-1, self.tile**2, self.width)
        size = min(max(_PIECE // self.predict.out_features, 1), _LAUNCH)
        pieces = zip(x.split(size), cells.flatten(0, 2).split(size), strict=True)
        parts = [self._mlp(own, self.predict(cell)) for own, cell in pieces]
        y = torch.cat(parts) if len(parts) > 1 else parts[0]
        y = y.view(batch, rows, columns, self.tile, self.tile, 3)
        return y.permute(0, 5, 1, 3, 2, 4).reshape(batch, 3, rows * self.tile, columns * self.tile)

    def _mlp(self, x: Tensor, weights: Tensor) -> Tensor:
        """(T, S^2, d) through T networks: (T, S^2, 3)."""
        start = 0
        for n, (inside, outside) in enumerate(self.shapes):
            bias = weights[:, start : start + outside].unsqueeze(1)
            start += outside
            matrix = weights[:, start : start + inside * outside].view(-1, inside, outside)
            start += inside * outside
            if n == 0:  # the code is the same in every tile: it makes the bias of a pixel
                code = self.get_buffer("code").to(x)
                bias = bias + code @ matrix[:, x.shape[2] :]
                matrix = matrix[:, : x.shape[2]]
            x = torch.baddbmm(bias, x, matrix)
            if n + 1 < len(self.shapes):
                x = F.leaky_relu(x, 0.01)
        return x


def asap_paper() -> ASAP:
    """The generator of the paper: 87.2 million parameters."""
    return ASAP(96)


class _Norm(nn.InstanceNorm2d):
    """Instance norm; of a single cell, whose deviation from its mean is 0, it is the bias."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        if input.shape[-2:].numel() > 1:
            return super().forward(input)
        return input * 0 + self.bias[:, None, None]


def _layer(inside: int, outside: int, stride: int) -> nn.Sequential:
    """Convolution, instance norm (whose mean makes a bias of the convolution useless), ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False),
        _Norm(outside, affine=True),
        nn.ReLU(),
    )


def _shrunk(x: Tensor, factor: int) -> Tensor:
    """1 / factor of the size, by a separable tent filter with reflected edges."""
    if factor == 1:
        return x
    ramp = torch.arange(1, 2 * factor, device=x.device, dtype=x.dtype)
    tent = torch.minimum(ramp, 2 * factor - ramp) / factor**2
    channels = x.shape[1]
    side = factor - 1
    # Centred on each cell: one pixel more on the left where the factor is even.
    x = F.pad(x, (side - factor // 2 + 1, side, side - factor // 2 + 1, side), mode="reflect")
    x = F.conv2d(x, tent.view(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, factor),
                 groups=channels)  # fmt: skip
    return F.conv2d(x, tent.view(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(factor, 1),
                    groups=channels)  # fmt: skip
