"""A transformer for sounds that sees them as frames of frequencies.

A small network cannot learn from samples what a note is: its energy is spread over thousands of
them. Here the rotation of `compose_dde.lapped` stands before and behind a diffusion transformer
(Peebles & Xie 2023, arXiv 2212.09748), so that a note is a few numbers. It is ours; the paper's
base model is `UNet1d`.
"""

from __future__ import annotations

import math
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_core.encoded import Encoded
from compose_core.errors import UsageError
from compose_dde.lapped import lapped, unlapped
from compose_dde.networks.edm import Backbone
from compose_dde.networks.layers1d import Features, check_length
from compose_dde.rope import angles, turn

__all__ = ["SpectralTransformer"]

_FARTHEST = 30.0
"""Beyond e to this power a variance is none, or any."""


@final
class SpectralTransformer(Backbone):
    r"""Sounds `(B, S, T)`; reads no condition.

    A token is a frame of one stem, or of all of them. It hears the frames beside it, too: which
    way a tone swings there is how its phase goes on.

    A token is narrower than its frame, so what is said through it alone has to leave out most of
    the noise that EDM's `F` consists of at low levels, and a sound would never become silent
    between its tones. If `gated`, each frequency `k` is therefore heard through a Wiener filter
    whose prior variance :math:`v_k` the token tells:

    .. math::
        D_k = \frac{v_k}{v_k + \sigma^2} x_k + c_{out} o_k, \qquad v_k = \sigma_d^2 e^{4 z_k}

    with `o` and `z` out of the token. At `z = 0` the first part is EDM's own
    :math:`c_{skip} x`; a tone is not touched, however far above the noise it is, and silence is
    silent at any level. Such a token also hears how far each frequency stands out of the noise,
    which no sum of numbers with random signs tells.

    Args:
        channels_in: Stems S.
        block: Samples of a frame.
        width: d.
        depth: Layers.
        heads: Heads.
        features: Of the noise level.
        neighbours: Frames on each side that a token hears.
        together: Whether a token holds all stems.
        gated: Whether tokens hear powers and tell variances.
        sigma_data: :math:`\sigma_d` of `Precondition`; only for these.
        quiet: Whether it says nothing before training. Not behind a gate that is closed then, as
            in `Recurrent`: neither would ever learn.

    Raises:
        UsageError: The heads do not fit the width.
    """

    def __init__(
        self,
        channels_in: int,
        block: int,
        width: int,
        depth: int,
        heads: int,
        features: int = 16,
        neighbours: int = 1,
        together: bool = False,
        gated: bool = True,
        sigma_data: float = 0.2,
        quiet: bool = True,
    ) -> None:
        super().__init__()
        if width % heads or (width // heads) % 2:
            raise UsageError(
                "the heads do not fit the width",
                got=f"width {width}, {heads} heads",
                expected="a head of an even number of dimensions",
            )
        self._settings: dict[str, Any] = {
            "channels_in": channels_in,
            "block": block,
            "width": width,
            "depth": depth,
            "heads": heads,
            "features": features,
            "neighbours": neighbours,
            "together": together,
            "gated": gated,
            "sigma_data": sigma_data,
            "quiet": quiet,
        }
        self.heads, self.neighbours, self.gated = heads, neighbours, gated
        self.sigma_data = sigma_data
        cells = block * channels_in if together else block
        self.embed = nn.Linear((1 + 2 * neighbours + gated) * cells, width)
        self.stems = nn.Parameter(0.02 * torch.randn(1 if together else channels_in, width))
        self.time = nn.Sequential(
            Features(features), nn.Linear(features + 1, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.head = nn.Linear(width, (2 if gated else 1) * cells)
        if quiet:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments."""
        return dict(self._settings)

    @property
    def grain(self) -> int:
        """Samples of a sound must be a multiple of this."""
        return cast(int, self._settings["block"])

    def forward(self, x: Tensor, noise: Tensor, encoded: Encoded) -> Tensor:
        """See `Backbone`.

        Raises:
            ShapeError: The length is no multiple of `grain`.
        """
        check_length(x, self.grain)
        wide = _wide(x)
        frames = lapped(wide, self.grain)  # (B, S, F, block)
        ratio = 4 * noise.to(wide.dtype)[:, None, None, None] - math.log(self.sigma_data)
        heard = [self._merged(frames)]
        if self.gated:
            heard.append(self._merged(standing_out(frames, (2 * ratio).sigmoid())))
        said = self._said([one.to(x.dtype) for one in heard], noise).to(wide.dtype)
        own, *variance = said.chunk(len(heard), 3)
        out = self._apart(own, frames.shape[1])
        if variance:
            z = 4 * self._apart(variance[0], frames.shape[1])
            out = out + filtered(z, ratio) * frames
        return unlapped(out).to(x.dtype)

    def _merged(self, frames: Tensor) -> Tensor:
        """Rows of tokens: `(B, S, F, block)`, or `(B, 1, F, S block)` if one holds all stems."""
        return frames.transpose(1, 2).flatten(2)[:, None] if self._settings["together"] else frames

    def _apart(self, rows: Tensor, stems: int) -> Tensor:
        """The inverse of `_merged`."""
        if not self._settings["together"]:
            return rows
        return rows[:, 0].unflatten(2, (stems, -1)).transpose(1, 2)

    def _said(self, heard: list[Tensor], noise: Tensor) -> Tensor:
        """What rows of tokens `(B, S, F, cells)`, and of powers, say: `(B, S, F, n cells)`."""
        frames, *powers = heard
        rows, count = frames.shape[1:3]
        near = self.neighbours
        around = F.pad(frames, (0, 0, near, near)).unfold(2, 1 + 2 * near, 1).flatten(3)
        around = torch.cat([around, *powers], 3)
        x = (self.embed(around) + self.stems[:, None]).flatten(1, 2)
        at = torch.arange(count, device=x.device).repeat(rows)[:, None]
        by = angles(at, x.shape[-1] // self.heads)
        turns = by.cos().to(x), by.sin().to(x)
        time = self.modulation(self.time(noise))[:, None].chunk(6, 2)
        for layer in self.layers:
            x = layer(x, time, turns)
        return self.head(self.norm(x)).unflatten(1, (rows, count))


def standing_out(frames: Tensor, noise: Tensor) -> Tensor:
    r"""How far each frequency stands out of noise: :math:`\ln(1 + p_k / n) / 4`.

    `p` is the pseudo-spectrum :math:`x_k^2 + (x_{k+1} - x_{k-1})^2` (Daudet & Sandler 2004), which
    for a steady tone is nearly the same whatever its phase is.

    Args:
        frames: `(..., block)`.
        noise: n, its variance, of a shape that fits.

    Returns:
        Of the shape of frames.
    """
    around = F.pad(frames, (1, 1))
    power = frames**2 + (around[..., 2:] - around[..., :-2]) ** 2
    return (power / noise.clamp_min(torch.finfo(power.dtype).tiny)).log1p() / 4


def filtered(z: Tensor, ratio: Tensor) -> Tensor:
    r"""What a Wiener filter adds to EDM's skip, as a factor of the network's input.

    .. math::
        \frac{1}{c_{in} c_{out}} \left(\frac{v}{v + \sigma^2} - c_{skip}\right)
        = \left(r + \tfrac1r\right)
          \left(\frac{1}{1 + r^{-2}} - \frac{1}{1 + r^{-2} e^z}\right), \qquad
        r = \frac{\sigma}{\sigma_d}

    Args:
        z: Logarithm of the prior variance over :math:`\sigma_d^2`; held within ±`_FARTHEST`.
        ratio: :math:`\ln r`, of a shape that fits.

    Returns:
        Of the shape of z.
    """
    z, power = z.clamp(-_FARTHEST, _FARTHEST), 2 * ratio
    # As shares of noise, or of sound, whichever are small: those near 1 have lost their digits.
    low, high = power.sigmoid() - (power - z).sigmoid(), (z - power).sigmoid() - (-power).sigmoid()
    return (ratio.exp() + (-ratio).exp()) * torch.where(power < 0, low, high)


def _wide(x: Tensor) -> Tensor:
    """`x` in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _Layer(nn.Module):
    """Attention, then an MLP; all layers share what the noise level says, each adds its own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.own = nn.Parameter(0.02 * torch.randn(6, width))

    def forward(self, x: Tensor, time: tuple[Tensor, ...], turns: tuple[Tensor, Tensor]) -> Tensor:
        a, b, c, d, e, f = (both + own for both, own in zip(time, self.own, strict=True))
        parts = self.qkv(self.norm1(x) * (1 + a) + b).unflatten(2, (3, self.heads, -1))
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        heard = F.scaled_dot_product_attention(turn(q, *turns), turn(k, *turns), v)
        x = x + c * self.proj(heard.transpose(1, 2).flatten(2))
        return x + f * self.mlp(self.norm2(x) * (1 + d) + e)
