"""A transformer for sounds that sees them as frames of frequencies.

A small network cannot learn from samples what a note is: its energy is spread over thousands of
them. Here the rotation of `compose_dde.lapped` stands before and behind a diffusion transformer
(Peebles & Xie 2023, arXiv 2212.09748), so that a note is a few numbers. It is ours; the paper's
base model is `UNet1d`.
"""

from __future__ import annotations

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


@final
class SpectralTransformer(Backbone):
    r"""Sounds `(B, S, T)`; reads no condition.

    A token is a frame of one stem, or of all of them. It hears the frames beside it, too: which
    way a tone swings there is how its phase goes on.

    A token is narrower than its frame, so what is said through it alone has to leave out most of
    the noise that EDM's `F` consists of at low levels, and a sound would never become silent
    between its tones. If `gated`, what is said of a frequency is therefore

    .. math::
        F_k = o_k + s_k x_k + r_k \frac{n_k}{\sigma} \sqrt{\sigma^2 + \sigma_d^2}, \qquad
        n_k = \frac{(3 \sigma^2)^2}{p_k^2 + (3 \sigma^2)^2} x_k

    with `o`, `s` and `r` out of the token: `n` is what does not stand out of the noise by the
    power `p` around it, as in Wiener's filter. At low levels :math:`D = x + r n`, where tones are
    not touched, however far above the noise they are.

    Args:
        channels_in: Stems S.
        block: Samples of a frame.
        width: d.
        depth: Layers.
        heads: Heads.
        features: Of the noise level.
        neighbours: Frames on each side that a token hears.
        together: Whether a token holds all stems.
        gated: Whether shares of what was heard are said.
        sigma_data: :math:`\sigma_d` of `Precondition`; only for gates.

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
        }
        self.heads, self.neighbours, self.gated = heads, neighbours, gated
        self.sigma_data = sigma_data
        cells = block * channels_in if together else block
        self.embed = nn.Linear((1 + 2 * neighbours) * cells, width)
        self.stems = nn.Parameter(0.02 * torch.randn(1 if together else channels_in, width))
        self.time = nn.Sequential(
            Features(features), nn.Linear(features + 1, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.head = nn.Linear(width, (3 if gated else 1) * cells)
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
        # Squares of levels and powers leave what half precision can hold, at both ends.
        wide = _wide(x)
        frames = lapped(wide, self.grain)  # (B, S, F, block)
        said = self._said(self._merged(frames.to(x.dtype)), noise).to(wide.dtype)
        own, *shares = said.chunk(3 if self.gated else 1, 3)
        out = self._apart(own, frames.shape[1])
        if shares:
            level = (4 * noise.to(wide.dtype)).exp()[:, None, None, None] ** 2 / self.sigma_data**2
            share, taken = (self._apart(one, frames.shape[1]) for one in shares)
            lost = 1 - standing_out(frames, level / (1 + level))
            out = out + (share + taken * (1 + 1 / level).sqrt() * lost) * frames
        return unlapped(out).to(x.dtype)

    def _merged(self, frames: Tensor) -> Tensor:
        """Rows of tokens: `(B, S, F, block)`, or `(B, 1, F, S block)` if one holds all stems."""
        return frames.transpose(1, 2).flatten(2)[:, None] if self._settings["together"] else frames

    def _apart(self, rows: Tensor, stems: int) -> Tensor:
        """The inverse of `_merged`."""
        if not self._settings["together"]:
            return rows
        return rows[:, 0].unflatten(2, (stems, -1)).transpose(1, 2)

    def _said(self, frames: Tensor, noise: Tensor) -> Tensor:
        """Rows of tokens `(B, S, F, cells)` to what they say, `(B, S, F, n cells)`."""
        rows, count = frames.shape[1:3]
        near = self.neighbours
        around = F.pad(frames, (0, 0, near, near)).unfold(2, 1 + 2 * near, 1)
        x = (self.embed(around.flatten(3)) + self.stems[:, None]).flatten(1, 2)
        at = torch.arange(count, device=x.device).repeat(rows)[:, None]
        by = angles(at, x.shape[-1] // self.heads)
        turns = by.cos().to(x), by.sin().to(x)
        time = self.modulation(self.time(noise))[:, None].chunk(6, 2)
        for layer in self.layers:
            x = layer(x, time, turns)
        return self.head(self.norm(x)).unflatten(1, (rows, count))


def standing_out(frames: Tensor, noise: Tensor) -> Tensor:
    r"""How much frequencies stand out of noise: :math:`w = p^2 / (p^2 + (3 n)^2)` in [0, 1].

    Args:
        frames: `(B, S, F, block)`; `p` is their power, averaged over those around each.
        noise: n, its variance, such as `(B, 1, 1, 1)`.

    Returns:
        Of the shape and dtype of frames, computed in float32 at least; of noise alone about 0.1.
    """
    power = F.avg_pool2d(_wide(frames) ** 2, 3, stride=1, padding=1, count_include_pad=False)
    least = torch.finfo(power.dtype).tiny
    return (power**2 / (power**2 + (3 * _wide(noise)) ** 2 + least)).to(frames.dtype)


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
