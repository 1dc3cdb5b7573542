"""The models of a balance: found, loaded, and checked to speak of the same latents."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from compose_core import zoo
from compose_core.backbones import Model, add_controlnet, load_model
from compose_core.controls import Style
from compose_core.errors import WeightsError
from compose_core.zoo.beside import WHOLE, is_beside
from compose_realcompo.gated import INDEX, add_gates, base_named, hearing_boxes

__all__ = ["GUIDANCE", "Hears", "Side", "check_same_latents", "load_fidelity", "load_spatial"]

Hears = Literal["text", "boxes", "control", "pull"]
"""What a model is told of places: nothing, boxes with phrases, a picture of conditions, or nothing
but that its attention is pulled there."""

GUIDANCE = "guidance"
"""In place of weights: the model of the run under layout guidance is the spatial one."""

_DRIFT = 0.2
"""How far apart two decodings of the same latent may be, relative to their size, and still be
called the same: decoders that were tuned further differ a little."""


class Side(NamedTuple):
    """One model of a balance.

    Attributes:
        name: What traces call it.
        model: Its network, text encoder and codec.
        hears: What it is told of places.
        style: How what a ControlNet follows is drawn, if its folder says so.
    """

    name: str
    model: Model
    hears: Hears
    style: Style | None = None


def load_fidelity(given: str | os.PathLike[str], like: Model, device: torch.device | str) -> Model:
    """A text-to-image model by its id in the zoo or its folder, in the dtype of another."""
    return load_model(zoo.resolve(given), _dtype(like), device, id=str(given))


def load_spatial(
    given: str | os.PathLike[str],
    model: Model,
    device: torch.device | str,
    name: str = "layout",
    *,
    gates: tuple[float, float] = (1.0, 0.0),
) -> Side:
    """The spatially aware model.

    Args:
        given: Id in the zoo or folder: gated layers beside their base, a whole GLIGEN model, or a
            ControlNet for `model`; or `GUIDANCE`.
        model: The base model of the run; used as the base where the weights are made for it.
        device: Where it goes.
        name: What traces call it.
        gates: When a model hears boxes: `on` and `fade` of `GatedUNet`.

    Raises:
        WeightsError: It is none of these, is damaged, or was made for another model.
    """
    if given == GUIDANCE:
        return Side(name, model, "pull")
    folder = zoo.resolve(given)
    if (folder / INDEX).exists():
        named = base_named(folder)
        base = model if named in ("", model.id) else load_fidelity(named, model, device)
        return Side(name, add_gates(base, folder, on=gates[0], fade=gates[1]), "boxes")
    if (folder / WHOLE).exists() or is_beside(folder):
        whole = load_model(folder, _dtype(model), device, id=str(given))
        return Side(name, hearing_boxes(whole, on=gates[0], fade=gates[1]), "boxes")
    if (folder / "config.json").exists():
        made = add_controlnet(model, folder, device)
        return Side(name, made.model, "control", made.style)
    raise WeightsError(
        f"{folder} holds no spatially aware model",
        got=", ".join(sorted(path.name for path in folder.iterdir())[:6]) or "nothing",
        expected=f"{INDEX}, a GLIGEN model with model_index.json, or a ControlNet",
    )


def check_same_latents(first: Model, second: Model, names: tuple[str, str]) -> None:
    """Refuse to blend predictions of latents that do not mean the same.

    Raises:
        WeightsError: Shapes, scales or decoders differ; the message says which.
    """
    if first.codec is second.codec or first.components["vae"] is second.components["vae"]:
        return
    settings = [
        {
            "channels": model.codec.channels,
            "pixels per cell": model.codec.factor,
            "scaling_factor": config.get("scaling_factor", 1.0),
            "shift_factor": config.get("shift_factor") or 0.0,
        }
        for model in (first, second)
        for config in [cast(Any, model.components["vae"]).config]
    ]
    wrong = [key for key in settings[0] if settings[0][key] != settings[1][key]]
    if not wrong:
        a, b = (_decoded(model) for model in (first, second))
        drift = float((a - b).norm() / a.norm())
        if drift <= _DRIFT:
            return
        wrong = [f"what a latent looks like (decodings differ by {drift:.0%})"]
    got = "; ".join(
        f"{name}: " + ", ".join(f"{key} = {found.get(key, 'its own')}" for key in wrong)
        for name, found in zip(names, settings, strict=True)
    )
    raise WeightsError(
        "these models cannot be balanced: their latents differ",
        got=got,
        expected="autoencoders of the same latents",
        remedy="choose models that were tuned from the same base",
    )


@torch.no_grad()
def _decoded(model: Model) -> Tensor:
    weight = next(cast(nn.Module, model.components["vae"]).parameters())
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(1, model.codec.channels, 8, 8, generator=generator)
    return model.codec.decode(latent.to(weight)).float().cpu()


def _dtype(model: Model) -> torch.dtype:
    return next(cast(nn.Module, model.components["unet"]).parameters()).dtype
