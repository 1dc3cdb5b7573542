"""Published checkpoints as base models: strict, and nothing in them is ever run.

- Multi-source diffusion models (Mariani et al. 2024): a Lightning `.ckpt` whose weights stand
  twice, under `model.unet.` and under `model.diffusion.net.`.
- "Reduce, Reuse, Recycle" (Du et al. 2023): a `.pt` of plain weights of the network for positions.

The paper itself published no weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compose_core.errors import WeightsError
from compose_core.schedule import DiscreteVP
from compose_core.zoo.foreign import read_checkpoint
from compose_dde.folder import fill
from compose_dde.networks import Adapted, EDMNetwork, PositionUNet, UNet1d
from compose_dde.networks.unet1d import MSDM
from compose_dde.networks.unet2d import CLEVR

__all__ = ["load_msdm", "load_rrr"]

_UNET, _NET = "model.unet.", "model.diffusion.net."


def load_msdm(
    path: str | Path, *, settings: Mapping[str, Any] | None = None, sigma_data: float = 0.2
) -> EDMNetwork:
    """The base model of a checkpoint of multi-source diffusion models.

    Args:
        path: `.ckpt` or `.safetensors`.
        settings: Of the `UNet1d`; those of appendix B.1.2 by default.
        sigma_data: As trained.

    Returns:
        The network, which holds `x0` within [-1, 1] as that model does. It was trained on sounds
        0.7071 times as loud as the files (its loader mixed two equal channels): multiply by that.

    Raises:
        WeightsError: The file is missing, damaged, or holds other weights.
    """
    found = read_checkpoint(path)
    own = {k.removeprefix(_UNET): v for k, v in found.items() if k.startswith(_UNET)}
    twin = {k.removeprefix(_NET): v for k, v in found.items() if k.startswith(_NET)}
    strangers = [k for k in found if not k.startswith((_UNET, _NET, "model.diffusion."))]
    if not own or strangers:
        raise WeightsError(
            "this is no checkpoint of a multi-source diffusion model",
            got=f"{len(own)} tensors under {_UNET!r}, others: {', '.join(strangers[:4])}",
            expected=f"weights under {_UNET!r} and {_NET!r} alone",
        )
    differ = [k for k in own.keys() & twin.keys() if not torch.equal(own[k], twin[k])]
    if differ:
        raise WeightsError(
            "the two copies of the weights differ", got=", ".join(sorted(differ)[:4])
        )
    network = UNet1d(**(settings or MSDM))
    fill(network, own, str(path))
    return EDMNetwork(network.eval().requires_grad_(False), sigma_data, clamp=True)


def load_rrr(path: str | Path, *, settings: Mapping[str, Any] | None = None) -> Adapted:
    """The network for one position of "Reduce, Reuse, Recycle", which predicts the noise.

    It was trained with 1000 levels of the squared cosine schedule.

    Args:
        path: `.pt` or `.safetensors`.
        settings: Of the `PositionUNet`, without `place`.

    Raises:
        WeightsError: The file is missing, damaged, or holds other weights.
    """
    found: dict[str, Tensor] = read_checkpoint(path)
    network = PositionUNet(**{**(settings or CLEVR), "place": "linear"})
    fill(network, found, str(path))
    schedule = DiscreteVP.from_config(
        {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}
    )
    return Adapted(network.eval().requires_grad_(False), schedule, "epsilon")
