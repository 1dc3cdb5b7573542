"""Can this canvas be made at all? Asked before a model is loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from compose_core.errors import ComposeError, SceneError, WeightsError

_LIVE = 5
"""Feature maps alive at once at full resolution: in, out, norm, skip, activation."""

_CGROUP = Path("/sys/fs/cgroup/memory.max")
_MEMINFO = Path("/proc/meminfo")


def read_blocks(folder: Path) -> list[int]:
    """Channels of the blocks of the autoencoder in a model folder, finest first.

    Raises:
        WeightsError: the folder has no readable description of an autoencoder.
    """
    path = folder / "vae" / "config.json"
    try:
        config = cast("dict[str, Any]", json.loads(path.read_text("utf-8")))
        blocks = config.get("block_out_channels") or config["encoder_block_out_channels"]
        return [int(channels) for channels in cast("Sequence[Any]", blocks)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            "the model folder cannot be used",
            got=f"{path}: {error}",
            expected="a diffusers folder with a vae/config.json",
            remedy="see `compose zoo list` for models that are here",
        ) from error


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


def needed_bytes(canvas: tuple[int, int], channels: int) -> int:
    """Rough peak memory of decoding a canvas through ``channels`` features per pixel, float32."""
    return canvas[0] * canvas[1] * channels * _LIVE * 4


def check_memory(canvas: tuple[int, int], channels: int, available: int | None) -> None:
    """Refuse a canvas whose decoding would not fit into ``available`` bytes (None: unknown).

    Raises:
        SceneError: with the estimate.
    """
    need = needed_bytes(canvas, channels)
    if available is not None and need > available:
        scale = (available / need) ** 0.5
        raise SceneError(
            "the canvas is too large for the memory of this machine",
            got=f"{canvas[0]} x {canvas[1]}, about {need / 2**30:.1f} GiB",
            expected=f"at most {available / 2**30:.1f} GiB",
            remedy=f"scale the canvas by {scale:.2f} or less, or use another --device",
        )


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
