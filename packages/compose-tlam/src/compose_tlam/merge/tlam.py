"""TLAM, the pixel-wise transformer that merges labels into a concept tensor (section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_core.errors import UsageError
from compose_tlam.labels import Label, LabelSet
from compose_tlam.merge.block import Block, log_weights
from compose_tlam.merge.chunks import GPU_LAUNCH, GPU_PIXELS, Function
from compose_tlam.merge.interface import Merger, Pixels, Strength, as_picture, as_pixels
from compose_tlam.merge.projection import Projection
from compose_tlam.stack import LabelStack

__all__ = ["TLAM", "Missing"]

Missing = Literal["zero", "mask_token", "attention_mask"]
"""What stands for a missing label: the projection of a zero vector (the paper); a learned token;
or nothing at all, a key that nobody looks at and that is not in the mean."""


@final
class TLAM(Merger):
    r"""Labels of one pixel as tokens of a small transformer; no pixel sees another.

    .. math::
        e_k = \mathrm{GELU}(A_k x_k + b_k), \quad z_k^{(0)} = e_k + p_k, \quad
        Z^{(m)} = B_m(Z^{(m-1)}), \quad z = \frac{1}{N} \sum_k z_k^{(l)}.

    A strength :math:`w_k` adds :math:`\log w_k` to the logits of every query to label k and
    weighs its share of the mean; 0 takes the label out.

    Args:
        labels: The registry, N labels.
        width: d.
        layers: l.
        heads: Of the attention.
        ratio: Hidden width of the MLPs over d; the paper does not say.
        missing: See `Missing`.
        noise: Channels of a last token of noise, the same for all pixels of a picture; 0 for
            none.
        chunk: Pixels that are computed at once; by default what suits the device.

    Raises:
        UsageError: Numbers that do not fit together.
    """

    def __init__(
        self,
        labels: LabelSet,
        width: int = 96,
        *,
        layers: int = 3,
        heads: int = 3,
        ratio: float = 4.0,
        missing: Missing = "zero",
        noise: int = 0,
        chunk: int | None = None,
    ) -> None:
        super().__init__()
        if missing not in get_args(Missing):
            known = ", ".join(get_args(Missing))
            raise UsageError("unknown way to be missing", got=repr(missing), expected=known)
        if layers < 1 or noise < 0 or (chunk is not None and chunk < 1):
            raise UsageError("TLAM has a layer or more", got=f"layers={layers}, noise={noise}")
        self.labels, self.width = labels, width
        self.missing: Missing = missing
        self.chunk = chunk
        self.projection = Projection(labels, width)
        tokens = len(labels) + (noise > 0)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.blocks = nn.ModuleList(Block(width, heads, ratio) for _ in range(layers))
        if missing == "mask_token":
            self.absent = nn.Parameter(0.02 * torch.randn(len(labels), width))
        if missing == "attention_mask":
            self.null = nn.Parameter(torch.zeros(width))
        self.noise = nn.Linear(noise, width) if noise else None

    @property
    def noise_channels(self) -> int:
        """Channels of the noise; 0 without."""
        return self.noise.in_features if self.noise is not None else 0

    def forward(
        self,
        stack: LabelStack,
        strength: Strength | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """The concept tensor (B, d, H, W).

        Args:
            stack: The labels of a batch.
            strength: How much labels count.
            noise: (B, channels) standard normal; None for zeros.

        Raises:
            UsageError: Another registry.
        """
        self.check(stack)
        pixels = as_pixels(stack, strength, self.position.dtype)
        inputs = self._inputs(pixels, self._spread(noise, stack.shape))
        rows = self.each(self._split(self.merge, pixels), inputs, self._piece)
        return as_picture(rows, stack.shape)

    def merge(self, pixels: Pixels, noise: Tensor | None = None) -> Tensor:
        """Concepts (P, d) of P pixels, computed at once; `noise` (P, channels)."""
        z, bias, share, nothing = self.tokens(pixels, noise)
        *first, last = (self._block(n) for n in range(len(self.blocks)))
        for block in first:
            z = block(z, bias)
        concept = last.averaged(z, bias, share)
        if nothing is None:
            return concept
        return torch.where(nothing[:, None], self.null.to(concept.dtype), concept)

    def tokens(
        self, pixels: Pixels, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """What enters the first block: `z` (P, N, d), bias (P, N), share (P, N), nothing (P,)."""
        values, valid, weight = pixels
        tokens = self.projection(values, valid)
        if self.missing == "mask_token":
            tokens = torch.where(valid[..., None], tokens, self.absent.to(tokens.dtype))
        if self.noise is not None:
            drawn = noise if noise is not None else tokens.new_zeros(
                len(tokens), self.noise_channels
            )  # fmt: skip
            tokens = torch.cat([tokens, F.gelu(self.noise(drawn))[:, None].to(tokens.dtype)], 1)
        z = tokens + self.position.to(tokens.dtype)
        masked = self.missing == "attention_mask"
        if not masked and weight is None:
            return z, None, None, None
        counts = z.new_ones(valid.shape, dtype=self.position.dtype) if weight is None else weight
        counts = counts * valid if masked else counts
        bias, share, nothing = log_weights(counts)
        if self.noise is not None:  # one more key, which counts 1 and is in no mean
            bias = torch.cat([bias, bias.new_zeros(len(bias), 1)], 1)
            share = torch.cat([share, share.new_zeros(len(share), 1)], 1)
        return z, bias, share, nothing if masked else None

    @torch.no_grad()
    def attention(
        self,
        stack: LabelStack,
        strength: Strength | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """How much each label looks at each, mean over heads: (layers, B, N, N, H, W).

        Row k of the first N is the query; the noise token, if there is one, is the last.
        """
        self.check(stack)
        pixels = as_pixels(stack, strength, self.position.dtype)
        inputs = self._inputs(pixels, self._spread(noise, stack.shape))
        rows = self.each(self._split(self._maps, pixels), inputs, self._piece)
        maps = rows.view(*stack.shape, len(self.blocks), *[len(self.position)] * 2)
        return maps.permute(3, 0, 4, 5, 1, 2)

    def _maps(self, pixels: Pixels, noise: Tensor | None = None) -> Tensor:
        """Attention (P, layers, N, N) of P pixels, mean over heads."""
        z, bias, _, _ = self.tokens(pixels, noise)
        found: list[Tensor] = []
        for n in range(len(self.blocks)):
            found.append(self._block(n).maps(z, bias).mean(1))
            z = self._block(n)(z, bias)
        return torch.stack(found, 1)

    @property
    def _piece(self) -> int | None:
        """Pixels that are computed at once; None for what suits a CPU."""
        if self.chunk is not None or not self.position.is_cuda:
            return self.chunk
        return min(GPU_PIXELS, GPU_LAUNCH // self._block(0).heads)

    def _split(
        self, function: Callable[[Pixels, Tensor | None], Tensor], like: Pixels
    ) -> Function:
        """A function of pixels as one of the rows that `_inputs` makes."""
        count, weighted = len(self.labels), like[2] is not None

        def of_rows(part: Sequence[Tensor]) -> Tensor:
            weight = part[count + 1] if weighted else None
            own = part[-1] if self.noise is not None else None
            return function((list(part[:count]), part[count], weight), own)

        return of_rows

    def with_label(self, label: Label) -> TLAM:
        """The same network for one more label, whose projection and encoding alone can learn.

        All other parameters are copies of this one's and need no gradient. As long as the label
        is missing, and `missing` is `"attention_mask"`, every concept is what it was.
        """
        first = self._block(0)
        made = TLAM(
            self.labels.with_label(label),
            self.width,
            layers=len(self.blocks),
            heads=first.heads,
            ratio=first.up.out_features / self.width,
            missing=self.missing,
            noise=self.noise_channels,
            chunk=self.chunk,
        ).to(self.position)
        place = len(self.labels)
        own = self.state_dict()
        for name, tensor in made.state_dict().items():
            if name == "position" or name == "absent":
                rows = [n for n in range(len(tensor)) if n != place]
                tensor[rows] = own[name]
            elif name in own:
                tensor.copy_(own[name])
        new = {f"projection.matrix.{label.name}", f"projection.bias.{label.name}"}
        for name, parameter in made.named_parameters():
            parameter.requires_grad_(name in new | {"position", "absent"})
        for parameter in (made.position, getattr(made, "absent", None)):
            if parameter is not None:
                parameter.register_hook(_only_row(place))
        return made

    def _block(self, n: int) -> Block:
        block = self.blocks[n]
        assert isinstance(block, Block)
        return block

    def _inputs(self, pixels: Pixels, noise: Tensor | None) -> list[Tensor]:
        values, valid, weight = pixels
        extra = [x for x in (weight, noise) if x is not None]
        return [*values, valid, *extra]

    def _spread(self, noise: Tensor | None, size: tuple[int, int, int]) -> Tensor | None:
        """Noise (B, channels) for every pixel: (P, channels)."""
        if self.noise is None:
            return None
        batch, height, width = size
        if noise is None:
            noise = self.position.new_zeros(batch, self.noise_channels)
        return noise.to(self.position)[:, None].expand(-1, height * width, -1).flatten(0, 1)


def _only_row(place: int):  # noqa: ANN202 (a hook)
    def hook(grad: Tensor) -> Tensor:
        kept = torch.zeros_like(grad)
        kept[place] = grad[place]
        return kept

    return hook
