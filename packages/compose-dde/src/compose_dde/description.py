"""Networks and their numbers as what JSON can hold, and back: the index of a folder.

What is read is compared with the types of the arguments that it is given to: a layer with a part
of a head, or with a true width, would be refused by whatever uses it first, in other words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from compose_core.errors import UsageError
from compose_dde.coordinator import Coordinator, CoordinatorConfig, Recurrent, Transformer
from compose_dde.expansion import Expansion, Walk
from compose_dde.networks import (
    Backbone,
    EDMNetwork,
    MapUNet,
    PositionUNet,
    SpectralTransformer,
    UNet1d,
)

__all__ = ["FORMAT", "build", "describe"]

FORMAT = 1

_BACKBONES: Mapping[str, type[Any]] = {
    "unet1d": UNet1d,
    "position_unet": PositionUNet,
    "map_unet": MapUNet,
    "spectral_transformer": SpectralTransformer,
}


def describe(made: Expansion) -> dict[str, Any]:
    """Everything but the weights.

    Raises:
        UsageError: A network is of a kind that has no name in an index.
    """
    return {
        "format": FORMAT,
        "subject": made.subject,
        "base": {
            **_backbone_said(made.base.backbone),
            "sigma_data": made.base.precondition.sigma_data,
            "clamp": made.base.clamp,
        },
        "coordinators": {name: _coordinator_said(x) for name, x in made.coordinators.items()},
        "channels": made.channels,
        "window": list(made.window),
        "stride": list(made.stride),
        "walk": asdict(made.walk),
        "facts": dict(made.facts),
    }


def build(index: Any) -> Expansion:
    """What was described, with weights as before training.

    Raises:
        UsageError: Numbers do not fit together or have other types.
        Exception: Anything else, where it is no description or its sizes are impossible.
    """
    if index["format"] != FORMAT:
        raise UsageError("unknown format", got=repr(index["format"]), expected=FORMAT)
    base = index["base"]
    options = {name: base[name] for name in ("sigma_data", "clamp")}
    return Expansion(
        subject=index["subject"],
        base=EDMNetwork(_backbone(base), **_typed(EDMNetwork.__init__, options)),
        coordinators={name: _coordinator(said) for name, said in index["coordinators"].items()},
        channels=index["channels"],
        window=tuple(index["window"]),
        stride=tuple(index["stride"]),
        walk=Walk(**index["walk"]),
        facts=index["facts"],
    )


def _backbone_said(backbone: Backbone) -> dict[str, Any]:
    kinds = {kind: name for name, kind in _BACKBONES.items()}
    if type(backbone) not in kinds:
        raise UsageError("this network cannot be saved", got=type(backbone).__name__)
    return {"network": kinds[type(backbone)], "settings": backbone.settings}


def _backbone(said: Mapping[str, Any]) -> Backbone:
    kind = _BACKBONES[said["network"]]
    return kind(**_typed(kind.__init__, said["settings"]))


def _coordinator_said(one: Coordinator) -> dict[str, Any]:
    if isinstance(one, Transformer):
        return {"network": "transformer", "settings": one.settings}
    if isinstance(one, Recurrent):
        return {
            "network": "recurrent",
            "settings": one.settings,
            "backbone": _backbone_said(one.backbone),
        }
    raise UsageError("this coordinator cannot be saved", got=type(one).__name__)


def _coordinator(said: Mapping[str, Any]) -> Coordinator:
    if said["network"] == "transformer":
        return Transformer(CoordinatorConfig(**_typed(CoordinatorConfig, said["settings"])))
    if said["network"] == "recurrent":
        options = _typed(Recurrent.__init__, said["settings"])
        return Recurrent(_backbone(said["backbone"]), **options)
    raise UsageError("unknown coordinator", got=repr(said["network"]))


def _typed(called: Any, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments as they are, if they have the types that are asked for."""
    for name, hint in get_type_hints(called).items():
        if name in given and not _fits(given[name], hint):
            kind = getattr(hint, "__name__", str(hint)) if not get_args(hint) else str(hint)
            raise UsageError(f"impossible {name}", got=repr(given[name]), expected=kind)
    return given


def _fits(value: object, hint: Any) -> bool:
    """Whether something out of a JSON file is of a type."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in inside
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inside)
    if origin is Sequence:
        return isinstance(value, list) and all(_fits(one, inside[0]) for one in value)
    if hint is bool:
        return value in (0, 1)  # True and False among them
    if hint is float:
        return type(value) in (int, float)
    return type(value) is (NoneType if hint is None else hint)
