"""Can this canvas be made at all? Asked before a model is loaded."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from compose_core import zoo
from compose_core.codec import tile_side
from compose_core.errors import ComposeError, SceneError, WeightsError

_LIVE = 5
"""Feature maps alive at once at full resolution: in, out, norm, skip, activation."""

_WALK = 64
"""Feature maps of a UNet's first block that one row of a call takes; 61 measured on sd-tiny."""

_KEPT = 6
"""Copies of the latents of every row that wait for the others: input, noise, answers, merges."""

_OUT = 64
"""Bytes per pixel of the finished canvas: three colours in float32 while they are rounded."""

_CGROUP = Path("/sys/fs/cgroup/memory.max")
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Sizes:
    """What the memory of a run depends on, read from the settings of a model.

    Attributes:
        factor: pixels per latent cell.
        decoder: channels of the autoencoder at full resolution.
        unet: channels of the first block of the UNet.
        latent: channels of the latents.
        trained: (height, width) of the latents that the UNet was trained on.
    """

    factor: int
    decoder: int
    unet: int
    latent: int
    trained: tuple[int, int]


def read_sizes(folder: Path) -> Sizes:
    """The sizes of the model in a folder, or of the base that the folder names.

    Raises:
        WeightsError: the folder has no readable description of an autoencoder and a UNet.
    """
    folder = zoo.base_folder(folder)
    vae, unet = _config(folder, "vae"), _config(folder, "unet")
    try:
        blocks = vae.get("block_out_channels") or vae["encoder_block_out_channels"]
        side = unet["sample_size"]
        height, width = (side, side) if isinstance(side, int) else side
        return Sizes(
            factor=2 ** (len(blocks) - 1),
            decoder=int(blocks[0]),
            unet=int(unet["block_out_channels"][0]),
            latent=int(unet["in_channels"]),
            trained=(int(height), int(width)),
        )
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise _unusable(folder, f"{type(error).__name__}: {error}") from error


def _config(folder: Path, part: str) -> dict[str, Any]:
    try:
        found: object = json.loads((folder / part / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(folder, error) from error
    if not isinstance(found, dict):
        raise _unusable(folder, f"{part}/config.json holds {type(found).__name__}")
    return cast("dict[str, Any]", found)


def _unusable(folder: Path, reason: object) -> WeightsError:
    return WeightsError(
        "the model folder cannot be used",
        got=f"{folder}: {reason}",
        expected="a diffusers folder with a vae/config.json and a unet/config.json",
        remedy="see `compose zoo list` for models that are here",
    )


def check(canvas: tuple[int, int], layers: int, folder: Path, device: str, max_batch: int) -> None:
    """Refuse a canvas (width, height) that the model cannot make, or not on this machine.

    Raises:
        SceneError: with the nearest canvas that fits the model, or an estimate of the memory.
        WeightsError: as `read_sizes`.
    """
    sizes = read_sizes(folder)
    check_factor(canvas, sizes.factor)
    check_memory(canvas, layers, sizes, max_batch, available_bytes(device))


def tile(canvas: tuple[int, int], folder: Path) -> int | None:
    """Side of the tiles in which a canvas is decoded, in latent cells; None: decoded at once."""
    sizes = read_sizes(folder)
    return tile_side(_cells(canvas, sizes), sizes.trained)


def check_factor(canvas: tuple[int, int], factor: int) -> None:
    """Refuse a canvas (width, height) that is no multiple of the model's ``factor``.

    Raises:
        SceneError: names the nearest canvas that is.
    """
    if any(side % factor for side in canvas):
        nearest = [max(factor, round(side / factor) * factor) for side in canvas]
        raise SceneError(
            "the canvas does not fit the model",
            got=list(canvas),
            expected=f"multiples of {factor}",
            remedy=f"write canvas = {nearest}",
        )


def decode_bytes(canvas: tuple[int, int], sizes: Sizes) -> int:
    """Rough peak memory of decoding a canvas (width, height), in tiles if it is large, float32."""
    cells = _cells(canvas, sizes)
    side = tile_side(cells, sizes.trained)
    height, width = (min(n, side or n) * sizes.factor for n in cells)
    return height * width * sizes.decoder * _LIVE * 4 + canvas[0] * canvas[1] * _OUT


def row_bytes(sizes: Sizes) -> int:
    """Rough memory that one row of a call of the UNet takes, float32."""
    return math.prod(sizes.trained) * sizes.unet * _WALK * 4


def walk_bytes(canvas: tuple[int, int], layers: int, sizes: Sizes, max_batch: int) -> int:
    """Rough peak memory of one step, float32.

    Windows of the size that the UNet was trained on overlap by half; each asks at most about the
    whole and every layer, with and without condition. `max_batch` of these rows are computed at
    once, the latents of all of them are kept.
    """
    pairs = list(zip(_cells(canvas, sizes), sizes.trained, strict=True))
    windows = math.prod(1 if n <= t else math.ceil(2 * n / t) for n, t in pairs)
    rows = 2 * (1 + layers) * windows
    cells = math.prod(min(n, t) for n, t in pairs)
    share = cells / math.prod(sizes.trained)
    kept = rows * cells * sizes.latent * _KEPT * 4
    return int(min(rows, max_batch) * row_bytes(sizes) * share) + kept


def check_memory(
    canvas: tuple[int, int], layers: int, sizes: Sizes, max_batch: int, available: int | None
) -> None:
    """Refuse a canvas that would not fit into ``available`` bytes (None: unknown).

    Raises:
        SceneError: with the estimate.
    """
    decode = decode_bytes(canvas, sizes)
    walk = walk_bytes(canvas, layers, sizes, max_batch)
    need = max(decode, walk)
    if available is None or need <= available:
        return
    smaller = f"scale the canvas by {(available / need) ** 0.5:.2f} or less"
    alone = walk_bytes(canvas, layers, sizes, 1)
    if max(decode, alone) <= available:
        rows = max(int((available - alone) // row_bytes(sizes)), 1)
        smaller = f"--max-batch {min(rows, max_batch - 1)}"
    raise SceneError(
        "the canvas is too large for the memory of this machine",
        got=f"{canvas[0]} x {canvas[1]}, about {need / 2**30:.1f} GiB to "
        + ("decode it" if decode >= walk else f"ask {max_batch} questions at once"),
        expected=f"at most {available / 2**30:.1f} GiB",
        remedy=f"{smaller}, or use another --device",
    )


def _cells(canvas: tuple[int, int], sizes: Sizes) -> tuple[int, int]:
    """(height, width) in latent cells."""
    return canvas[1] // sizes.factor, canvas[0] // sizes.factor


def available_bytes(device: str) -> int | None:
    """Memory that can still be used on a device, or None where nobody can tell."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    found = [size for size in (_system(), _container()) if size is not None]
    return min(found, default=None)


def _system() -> int | None:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return None


def _container() -> int | None:
    try:
        return int(_CGROUP.read_text())
    except (OSError, ValueError):  # "max": no limit
        return None


def check_device(name: str | None) -> str:
    """A device that is there: ``name``, or the best one for None.

    Raises:
        ComposeError: the device does not exist here.
    """
    import torch

    cuda = torch.cuda.is_available()
    if name is None:
        return "cuda" if cuda else "cpu"
    known = ["cpu"]
    if cuda:
        known += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        known.append("mps")
    if name not in known:
        raise ComposeError("there is no such device here", got=name, expected=", ".join(known))
    return name
