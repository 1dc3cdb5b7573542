"""Between pictures and what the denoisers work on.

A `Codec` encodes pictures (B, 3, H, W) in [-1, 1] to latents (B, channels, H / factor, W / factor)
and back. `VAECodec` wraps an autoencoder; `Tiled` decodes a large canvas piece by piece; decoding
with `wrap` treats an axis as closed, so the last column meets the first without a seam.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_core.errors import ShapeError, UsageError

__all__ = ["Codec", "Identity", "Tiled", "VAECodec", "Wrap", "closed", "tile_side"]

Wrap = tuple[bool, bool]
"""Whether (rows, columns) are closed: `(False, True)` joins the right edge to the left one."""


class Codec(ABC):
    """Pictures to latents and back.

    Attributes:
        factor: Pixels per latent cell along each axis.
        channels: Channels of the latents.
    """

    factor: int
    channels: int

    @abstractmethod
    def encode(self, pictures: Tensor) -> Tensor:
        """Latents (B, channels, H / factor, W / factor) of pictures (B, 3, H, W) in [-1, 1].

        Raises:
            ShapeError: The pictures are not (B, 3, H, W), or a side is no multiple of `factor`.
        """

    @abstractmethod
    def decode(self, latents: Tensor, *, wrap: Wrap = (False, False)) -> Tensor:
        """Pictures (B, 3, H, W), around [-1, 1] but not clipped, of latents (B, channels, h, w).

        Args:
            latents: What to decode.
            wrap: The axes that are closed.
        """

    def _check_pictures(self, pictures: Tensor) -> None:
        shape = tuple(pictures.shape)
        if len(shape) != 4 or shape[1] != 3 or shape[2] % self.factor or shape[3] % self.factor:
            raise ShapeError(
                "these pictures cannot be encoded",
                got=shape,
                expected=f"(B, 3, H, W), H and W multiples of {self.factor}",
            )

    def _check_latents(self, latents: Tensor) -> None:
        shape = tuple(latents.shape)
        if len(shape) != 4 or shape[1] != self.channels:
            raise ShapeError(
                "these latents cannot be decoded",
                got=shape,
                expected=f"(B, {self.channels}, h, w)",
            )


class Identity(Codec):
    """Denoisers that work on pixels: latents are the pictures."""

    factor = 1
    channels = 3

    def encode(self, pictures: Tensor) -> Tensor:
        """The pictures themselves."""
        self._check_pictures(pictures)
        return pictures

    def decode(self, latents: Tensor, *, wrap: Wrap = (False, False)) -> Tensor:
        """The latents themselves."""
        self._check_latents(latents)
        return latents


class VAECodec(Codec):
    """An autoencoder of the diffusers kind (`AutoencoderKL`, `AutoencoderTiny` or a like).

    Latents are normalised as z = (z_raw - shift) * scaling, or per channel with the means and
    deviations of the configuration. Encoding takes the mode of the posterior: nothing is drawn.

    Args:
        vae: The model; it keeps its device and dtype, inputs are moved to it and results come back
            in the dtype of the input.
    """

    def __init__(self, vae: nn.Module) -> None:
        self.vae = vae
        config = cast("Mapping[str, Any]", cast(Any, vae).config)
        blocks = config.get("block_out_channels") or config.get("encoder_block_out_channels")
        if not blocks or "latent_channels" not in config:
            raise UsageError(
                "this model cannot serve as a codec",
                got=type(vae).__name__,
                expected="a model whose config has latent_channels and block_out_channels",
            )
        self.factor = 2 ** (len(blocks) - 1)
        self.channels = int(config["latent_channels"])
        self._scaling = float(config.get("scaling_factor") or 1.0)
        self._shift = float(config.get("shift_factor") or 0.0)
        self._mean = config.get("latents_mean")
        self._std = config.get("latents_std")

    def encode(self, pictures: Tensor) -> Tensor:
        """See `Codec.encode`."""
        self._check_pictures(pictures)
        coded = cast(Any, self.vae).encode(self._enter(pictures))
        if hasattr(coded, "latent_dist"):
            raw = cast(Tensor, coded.latent_dist.mode())
        else:
            raw = cast(Tensor, coded.latents)
        shift, scaling = self._affine(raw)
        return ((raw - shift) * scaling).to(pictures.dtype)

    def decode(self, latents: Tensor, *, wrap: Wrap = (False, False)) -> Tensor:
        """See `Codec.decode`; on closed axes every convolution pads with the opposite edge."""
        self._check_latents(latents)
        raw = self._enter(latents)
        shift, scaling = self._affine(raw)
        with closed(self.vae, wrap):
            pictures = cast(Tensor, cast(Any, self.vae).decode(raw / scaling + shift).sample)
        return pictures.to(latents.dtype)

    def _enter(self, x: Tensor) -> Tensor:
        weight = next(self.vae.parameters())
        # Offloaded weights rest elsewhere. A hook that brings the whole model to its own device
        # leaves the input of `encode` and `decode` behind; hooks of single layers take it along.
        device = getattr(getattr(self.vae, "_hf_hook", None), "execution_device", None)
        if device is None:
            device = x.device if weight.device.type == "meta" else weight.device
        return x.to(device, weight.dtype)

    def _affine(self, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
        if self._mean is None or self._std is None:
            return self._shift, self._scaling
        mean = like.new_tensor(self._mean).view(1, -1, 1, 1)
        return mean, self._scaling / like.new_tensor(self._std).view(1, -1, 1, 1)


@contextmanager
def closed(module: nn.Module, wrap: Wrap) -> Generator[None]:
    """Make every 2-D convolution of a model circular on the axes in `wrap` while the block runs.

    Convolutions of stride 1 then commute with rolling the input; so do upsampling, normalisation
    over the whole picture and attention. The model is put back exactly.
    """
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)] if any(wrap) else []
    undo: list[tuple[nn.Conv2d, Any, Any]] = []
    try:
        for conv in convolutions:
            pad = conv.padding
            if isinstance(pad, str) or conv.padding_mode != "zeros" or not any(pad):
                continue
            rows, columns = (p if w else 0 for p, w in zip(pad, wrap, strict=True))
            hook = conv.register_forward_pre_hook(_circular_pad(rows, columns))
            undo.append((conv, pad, hook))
            conv.padding = (pad[0] - rows, pad[1] - columns)
        yield
    finally:
        for conv, pad, hook in undo:
            conv.padding = pad
            hook.remove()


def _circular_pad(rows: int, columns: int) -> Any:
    def pad(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        padded = F.pad(args[0], (columns, columns, rows, rows), mode="circular")
        return (padded, *args[1:])

    return pad


def tile_side(
    cells: tuple[int, int], trained: tuple[int, int], tiling: bool = False
) -> int | None:
    """Side of the tiles for a canvas of latent `cells`; None where it is decoded at once.

    A canvas is tiled when a side is more than four times what the model was trained on. Tiles are
    twice as large as that, so that norms and attention see more than they ever did.

    Args:
        cells: (h, w) of the canvas.
        trained: (h, w) that the model was trained on.
        tiling: Tile whatever does not fit in one tile of the trained size.
    """
    side = max(trained)
    if tiling:
        return side if max(cells) > side else None
    large = any(n > 4 * t for n, t in zip(cells, trained, strict=True))
    return 2 * side if large else None


class Tiled(Codec):
    """Decodes in tiles, so that memory depends on the tile and not on the canvas.

    Neighbouring tiles share `overlap` cells. Of these, the `margin` cells next to a tile's own
    edge are dropped, because the decoder saw padding there; over the rest the tiles are blended
    linearly. With a margin of at least the decoder's receptive field, and a decoder without
    global layers, the result equals the whole decode. Group norms and mid-block attention see
    only their tile, which the blend hides but does not undo. Encoding is passed on untiled.

    Args:
        codec: What decodes one tile.
        tile: Side of a tile in latent cells.
        overlap: Cells shared by neighbours.
        margin: Cells dropped at inner edges; default a quarter of the overlap.
    """

    def __init__(self, codec: Codec, tile: int, overlap: int, margin: int | None = None) -> None:
        margin = overlap // 4 if margin is None else margin
        if not 0 <= 2 * margin <= overlap < tile:
            raise UsageError(
                "these tiles cannot cover a canvas",
                got=f"tile={tile}, overlap={overlap}, margin={margin}",
                expected="0 <= 2 * margin <= overlap < tile",
            )
        self.codec, self.tile, self.overlap, self.margin = codec, tile, overlap, margin
        self.factor, self.channels = codec.factor, codec.channels

    def encode(self, pictures: Tensor) -> Tensor:
        """See `Codec.encode`."""
        return self.codec.encode(pictures)

    def decode(self, latents: Tensor, *, wrap: Wrap = (False, False)) -> Tensor:
        """See `Codec.decode`."""
        self._check_latents(latents)
        f = self.factor
        h, w = latents.shape[-2:]
        rows, columns = self._tiles(h, wrap[0]), self._tiles(w, wrap[1])
        # An axis that one tile covers is closed inside that tile.
        inner = (wrap[0] and len(rows) == 1, wrap[1] and len(columns) == 1)
        out = latents.new_zeros(latents.shape[0], 3, h * f, w * f)
        total = latents.new_zeros(h * f, w * f)
        for (ys, y_weight), (xs, x_weight) in itertools.product(rows, columns):
            ys, xs = ys.to(latents.device), xs.to(latents.device)
            picture = self.codec.decode(latents[..., ys[:, None], xs[None, :]], wrap=inner)
            weight = torch.outer(y_weight, x_weight).to(latents)
            at = (self._pixels(ys)[:, None], self._pixels(xs)[None, :])
            out[:, :, at[0], at[1]] += weight * picture
            total[at] += weight
        return out / total

    def _pixels(self, cells: Tensor) -> Tensor:
        within = torch.arange(self.factor, device=cells.device)
        return (cells[:, None] * self.factor + within).flatten()

    def _tiles(self, size: int, wrap: bool) -> list[tuple[Tensor, Tensor]]:
        """Cell indices and per-pixel weights of the tiles along one axis."""
        if size <= self.tile:
            return [(torch.arange(size), torch.ones(size * self.factor))]
        stride = self.tile - self.overlap
        last = size if wrap else size - self.tile
        starts = list(range(0, last, stride)) + ([] if wrap else [last])
        return [
            (
                torch.arange(start, start + self.tile) % size,
                self._ramp(wrap or start > 0, wrap or start < last),
            )
            for start in starts
        ]

    def _ramp(self, left: bool, right: bool) -> Tensor:
        """Weight per pixel of one tile: 0 in the margins, 1 inside, linear between."""
        f = self.factor
        x = torch.arange(self.tile * f, dtype=torch.float32) + 0.5
        width = max((self.overlap - 2 * self.margin) * f, 1)
        weight = torch.ones_like(x)
        if left:
            weight = weight.minimum((x - self.margin * f) / width)
        if right:
            weight = weight.minimum((self.tile * f - x - self.margin * f) / width)
        return weight.clamp(0.0, 1.0)
