"""A folder with a base model and its coordinators: `dde.json` and safetensors beside it.

    dde.json                    what it is for, sizes, samplers
    base.safetensors            the base model
    coordinators/NAME.safetensors

Strict: names, shapes and settings must fit exactly; nothing in a folder is ever executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, final, get_args

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from compose_core.errors import UsageError, WeightsError
from compose_dde.coordinator import Coordinator, CoordinatorConfig, Recurrent, Transformer
from compose_dde.networks import (
    Backbone,
    EDMNetwork,
    MapUNet,
    PositionUNet,
    SpectralTransformer,
    UNet1d,
)

__all__ = ["INDEX", "Expansion", "Subject", "Walk", "load_expansion", "save_expansion"]

INDEX = "dde.json"
FORMAT = 1

Subject = Literal["music", "positions", "maps"]
"""What a folder is for; see `compose_dde.subjects`."""

_BACKBONES: Mapping[str, type[Any]] = {
    "unet1d": UNet1d,
    "position_unet": PositionUNet,
    "map_unet": MapUNet,
    "spectral_transformer": SpectralTransformer,
}


@final
@dataclass(frozen=True, kw_only=True)
class Walk:
    """How a model is sampled: EDM's levels, and Heun with churn.

    Attributes:
        steps: N; `2 N - 1` evaluations.
        sigma_min: Last level before the clean one.
        sigma_max: First level.
        rho: How much steps crowd at low noise.
        churn: Total amount of fresh noise.
        w: Weight of guidance (Eq. 6); 0 for none.
        method: `"heun"`, or `"euler"` with `N` evaluations and no churn.
    """

    steps: int = 50
    sigma_min: float = 1e-4
    sigma_max: float = 20.0
    rho: float = 7.0
    churn: float = 0.0
    w: float = 0.0
    method: Literal["heun", "euler"] = "heun"


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Expansion:
    """A base model, and coordinators for what is larger than it.

    Attributes:
        subject: What it is for.
        base: The base model.
        coordinators: By name; the first is the one that is used by default.
        channels: Channels of a sample.
        window: Cells of a part on each axis.
        stride: Cells between two, as trained.
        walk: How it is sampled by default.
        facts: What else there is to know, such as `"sample_rate"` and `"stems"`.
    """

    subject: Subject
    base: EDMNetwork
    coordinators: Mapping[str, Coordinator]
    channels: int
    window: tuple[int, ...]
    stride: tuple[int, ...]
    walk: Walk = field(default_factory=Walk)
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Check the subject."""
        if self.subject not in get_args(Subject):
            raise UsageError(
                "unknown subject", got=self.subject, expected=", ".join(get_args(Subject))
            )

    def coordinator(self, name: str | None = None) -> Coordinator | None:
        """The coordinator of that name, the default one, or none for `"none"`.

        Raises:
            UsageError: There is none of that name.
        """
        if name == "none" or (name is None and not self.coordinators):
            return None
        if name is None:
            return next(iter(self.coordinators.values()))
        if name not in self.coordinators:
            raise UsageError(
                "there is no such coordinator",
                got=name,
                expected=", ".join(["none", *self.coordinators]),
            )
        return self.coordinators[name]

    def to(self, device: torch.device | str) -> Expansion:
        """Move all networks; the same object comes back."""
        self.base.to(device)
        for one in self.coordinators.values():
            one.to(device)
        return self


def save_expansion(folder: str | Path, made: Expansion) -> Path:
    """Write a folder; files that are there are replaced."""
    folder = Path(folder)
    (folder / "coordinators").mkdir(parents=True, exist_ok=True)
    _save(folder / "base.safetensors", made.base.backbone)
    for name, one in made.coordinators.items():
        _save(folder / "coordinators" / f"{name}.safetensors", one)
    index = {
        "format": FORMAT,
        "subject": made.subject,
        "base": {
            **_described(made.base.backbone),
            "sigma_data": made.base.precondition.sigma_data,
            "clamp": made.base.clamp,
        },
        "coordinators": {name: _coordinator(one) for name, one in made.coordinators.items()},
        "channels": made.channels,
        "window": list(made.window),
        "stride": list(made.stride),
        "walk": asdict(made.walk),
        "facts": dict(made.facts),
    }
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")
    return folder


def load_expansion(folder: str | Path, device: torch.device | str = "cpu") -> Expansion:
    """Read a folder.

    Raises:
        WeightsError: A file is missing or damaged, or does not fit what the index says.
    """
    folder = Path(folder)
    try:
        index: Any = json.loads((folder / INDEX).read_text("utf-8"))
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']!r}")
        base = index["base"]
        backbone = _backbone(base)
        network = EDMNetwork(backbone, float(base["sigma_data"]), clamp=bool(base["clamp"]))
        built = {name: _built(said) for name, said in index["coordinators"].items()}
        made = Expansion(
            subject=index["subject"],
            base=network,
            coordinators=built,
            channels=int(index["channels"]),
            window=tuple(index["window"]),
            stride=tuple(index["stride"]),
            walk=Walk(**index["walk"]),
            facts=index["facts"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise WeightsError(
            "this is no folder of a base model and its coordinators",
            got=f"{folder / INDEX}: {type(error).__name__}: {error}",
            expected=f"a whole {INDEX} of format {FORMAT}",
            remedy="see `compose zoo list` for those that come with this project",
        ) from error
    load_strictly(backbone, folder / "base.safetensors")
    for name, one in built.items():
        load_strictly(one, folder / "coordinators" / f"{name}.safetensors")
    for module in (network, *built.values()):
        module.eval().requires_grad_(False)
    return made.to(device)


def load_strictly(module: nn.Module, path: Path) -> None:
    """Weights from a safetensors file, each name and shape accounted for.

    Raises:
        WeightsError: It is missing or damaged, or does not fit.
    """
    try:
        found = load_file(path)
    except Exception as error:  # the library raises nearly anything on damaged files
        raise WeightsError(
            "weights cannot be read", got=f"{path}: {error}", expected="a whole safetensors file"
        ) from error
    fill(module, found, str(path))


def fill(module: nn.Module, found: Mapping[str, Tensor], source: str) -> None:
    """Put weights into a module; names and shapes must be exactly its own.

    Raises:
        WeightsError: They are not, or a weight is not finite.
    """
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - found.keys())
    more = sorted(found.keys() - wanted.keys())
    odd = [k for k in wanted.keys() & found.keys() if wanted[k].shape != found[k].shape]
    if missing or more or odd:
        lists = (("missing", missing), ("left over", more), ("of another shape", sorted(odd)))
        raise WeightsError(
            "these weights are not those of the network",
            got="; ".join(f"{len(x)} {how}: {', '.join(x[:4])}" for how, x in lists if x),
            expected=f"exactly the {len(wanted)} tensors of {type(module).__name__}",
            remedy=f"check {source}",
        )
    bad = [k for k, v in found.items() if not bool(torch.isfinite(v).all())]
    if bad:
        raise WeightsError("weights are damaged", got=f"NaN or infinity in {', '.join(bad[:4])}")
    module.load_state_dict(dict(found))


def _save(path: Path, module: nn.Module) -> None:
    tensors = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    save_file(tensors, path, metadata={"format": "pt"})


def _described(backbone: Backbone) -> dict[str, Any]:
    kinds = {kind: name for name, kind in _BACKBONES.items()}
    return {"network": kinds[type(backbone)], "settings": backbone.settings}


def _backbone(said: Mapping[str, Any]) -> Backbone:
    return _BACKBONES[said["network"]](**said["settings"])


def _coordinator(one: Coordinator) -> dict[str, Any]:
    if isinstance(one, Transformer):
        return {"network": "transformer", "settings": one.settings}
    if isinstance(one, Recurrent):
        return {
            "network": "recurrent",
            "settings": one.settings,
            "backbone": _described(one.backbone),
        }
    raise UsageError("this coordinator cannot be saved", got=type(one).__name__)


def _built(said: Mapping[str, Any]) -> Coordinator:
    if said["network"] == "transformer":
        return Transformer(CoordinatorConfig(**said["settings"]))
    if said["network"] == "recurrent":
        return Recurrent(_backbone(said["backbone"]), **said["settings"])
    raise ValueError(f"unknown coordinator {said['network']!r}")
