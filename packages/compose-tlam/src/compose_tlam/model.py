"""`Painter`: a merger and a generator as one model, in a folder of its own.

The folder holds `config.json` and `model.safetensors`. A checkpoint is mapped to labels by their
names, so one that was trained on other labels can be taken over as far as it goes.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from compose_core.errors import UsageError, WeightsError
from compose_tlam.generators import ASAP, SPADE, Generator
from compose_tlam.labels import Label, LabelSet
from compose_tlam.merge import CLAM, TLAM, Concatenation, Mean, Merger, ProductOfExperts, Strength
from compose_tlam.stack import LabelStack

__all__ = ["CONFIG", "GENERATORS", "MERGERS", "WEIGHTS", "Config", "Painter"]

CONFIG, WEIGHTS = "config.json", "model.safetensors"

MERGERS: dict[str, Callable[..., Merger]] = {
    "tlam": TLAM,
    "clam": CLAM,
    "mean": Mean,
    "poe": ProductOfExperts,
    "concatenation": Concatenation,
}
GENERATORS: dict[str, Callable[..., Generator]] = {"asap": ASAP, "spade": SPADE}

_FORMAT = 1


@final
@dataclass(frozen=True, kw_only=True)
class Config:
    """What a painter is made of.

    Attributes:
        labels: The registry.
        merger: A name of `MERGERS`.
        merging: Its options.
        generator: A name of `GENERATORS`.
        painting: Its options.
        side: Side of the pictures that it was trained on, in pixels; 0 if it was not.
    """

    labels: LabelSet
    merger: str = "tlam"
    merging: Mapping[str, Any] = field(default_factory=dict[str, Any])
    generator: str = "asap"
    painting: Mapping[str, Any] = field(default_factory=dict[str, Any])
    side: int = 0

    def to_json(self) -> dict[str, Any]:
        """As the file holds it."""
        return {
            "format": _FORMAT,
            "labels": self.labels.to_json(),
            "merger": {"kind": self.merger, **self.merging},
            "generator": {"kind": self.generator, **self.painting},
            "side": self.side,
        }

    @classmethod
    def from_json(cls, found: Any) -> Config:
        """Read what `to_json` wrote.

        Raises:
            WeightsError: It is no such configuration.
        """
        try:
            if found["format"] != _FORMAT:
                raise WeightsError(
                    "a painter of another format", got=found["format"], expected=_FORMAT
                )
            merging, painting = dict(found["merger"]), dict(found["generator"])
            return cls(
                labels=LabelSet.from_json(found["labels"]),
                merger=merging.pop("kind"),
                merging=merging,
                generator=painting.pop("kind"),
                painting=painting,
                side=int(found["side"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                "the configuration of a painter cannot be read",
                got=f"{type(error).__name__}: {error}",
            ) from error


@final
class Painter(nn.Module):
    """Labels to pictures.

    Args:
        config: What it is made of; weights are drawn anew.

    Raises:
        UsageError: Unknown parts, or options that these do not take.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.merger: Merger = _made(MERGERS, config.merger, config.labels, config.merging)
        self.generator: Generator = _made(
            GENERATORS, config.generator, self.merger.width, config.painting
        )

    @property
    def labels(self) -> LabelSet:
        """The registry."""
        return self.config.labels

    @property
    def noise_channels(self) -> int:
        """Channels of noise; 0: the labels alone decide the picture."""
        return self.merger.noise_channels

    def forward(
        self,
        stack: LabelStack,
        strength: Strength | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1].

        Args:
            stack: Labels of any size.
            strength: How much labels count.
            noise: (B, noise_channels) standard normal; None for zeros.
        """
        return self.generator(self.merger(stack, strength, noise))

    def save(self, folder: Path) -> None:
        """Write the folder, weights in half precision, spectral norms folded into them."""
        folder.mkdir(parents=True, exist_ok=True)
        config = self.config.to_json()
        if "spectral" in config["generator"] or self.config.generator == "spade":
            config["generator"]["spectral"] = False
        weights = {k: v.half() if v.is_floating_point() else v for k, v in _folded(self).items()}
        save_file({k: v.contiguous().cpu() for k, v in weights.items()}, folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; in evaluation mode and single precision.

        Raises:
            WeightsError: A file is missing or damaged, or the two do not fit.
        """
        config, weights = _read(folder)
        painter = _draft(cls, config, folder)
        _fit(painter, weights, folder)
        return painter.eval()

    def with_label(self, label: Label) -> Painter:
        """The same painter for one more label; only its projection and encoding can learn.

        Everything else is a copy that asks for no gradient. See `TLAM.with_label`.

        Raises:
            UsageError: Its merger is not TLAM, or knows a label of that name.
        """
        if not isinstance(self.merger, TLAM):
            raise UsageError(
                "only TLAM takes a label more",
                got=self.config.merger,
                remedy="Painter.adapted makes a painter to be trained again",
            )
        made = copy.deepcopy(self)
        made.merger = self.merger.with_label(label)
        made.config = replace(self.config, labels=self.labels.with_label(label))
        made.generator.requires_grad_(False)
        return made

    @classmethod
    def adapted(cls, folder: Path, labels: LabelSet) -> tuple[Self, list[str]]:
        """A painter for other labels, with all that a checkpoint knows of them by name.

        Labels that the checkpoint lacks start from drawn weights: train their projections.

        Returns:
            The painter, and a sentence for each label that is new, is left out, or has changed.

        Raises:
            WeightsError: As `load`; or no label is known to the checkpoint.
        """
        config, weights = _read(folder)
        old = config.labels
        kept = [one.name for one in labels if one.name in old.names]
        if not kept:
            raise WeightsError(
                "the checkpoint knows none of these labels",
                got=", ".join(labels.names),
                expected=", ".join(old.names),
            )
        if config.merger == "concatenation":
            raise WeightsError(
                "channels side by side cannot be mapped to other labels",
                got=", ".join(labels.names),
                expected=", ".join(old.names),
                remedy="train it again, or take a model with TLAM or CLAM",
            )
        made = cls(
            Config(
                labels=labels,
                merger=config.merger,
                merging=config.merging,
                generator=config.generator,
                painting=config.painting,
                side=config.side,
            )
        )
        with torch.no_grad():
            remarks = _mapped(made, weights, old)
        return made.eval(), remarks


def _mapped(made: Painter, weights: Mapping[str, Tensor], old: LabelSet) -> list[str]:
    """Copy what fits; one sentence for each difference."""
    remarks: list[str] = []
    same: list[tuple[int, int]] = []
    for n, label in enumerate(made.labels):
        if label.name not in old.names:
            remarks.append(f"the label {label.name!r} is new: its projection is not trained")
        elif old.named(label.name) == label:
            same.append((n, old.names.index(label.name)))
        elif old.named(label.name).width == label.width:
            before = old.named(label.name)
            remarks.append(
                f"the label {label.name!r} meant something else ({before.meaning or before.kind}, "
                f"{before.low:g} to {before.high:g}): its projection may need training"
            )
            same.append((n, old.names.index(label.name)))
        else:
            remarks.append(
                f"the label {label.name!r} has {label.width} channels, and had "
                f"{old.named(label.name).width}: its projection is not trained"
            )
    gone = [name for name in old.names if name not in made.labels.names]
    remarks += [f"the label {name!r} of the checkpoint is left out" for name in gone]
    for name, tensor in made.state_dict().items():
        found = weights.get(name)
        if found is None:
            continue
        found = found.to(tensor.dtype)
        if _BY_LABEL.fullmatch(name):
            for n, before in same:
                tensor[n] = found[before]
            extra = len(found) - len(old)  # the row of the noise token
            if extra:
                tensor[-extra:] = found[-extra:]
        elif tensor.shape == found.shape:
            tensor.copy_(found)
        elif not name.startswith("merger.projection."):
            raise WeightsError(
                f"the checkpoint does not fit: {name}",
                got=tuple(found.shape),
                expected=tuple(tensor.shape),
            )
    return remarks


_BY_LABEL = re.compile(r"merger\.(position|absent|(matrix|bias)(\.\d+)?)")
"""Weights of mergers with a row for each label."""


def _made(known: Mapping[str, Callable[..., Any]], kind: str, first: Any, options: Any) -> Any:
    if kind not in known:
        raise UsageError("unknown part of a painter", got=kind, expected=", ".join(known))
    try:
        return known[kind](first, **{k: _tuple(v) for k, v in options.items()})
    except TypeError as error:
        raise UsageError(f"{kind!r} does not take these options", got=error) from error


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _draft(kind: type[Any], config: Config, folder: Path) -> Any:
    try:
        with torch.random.fork_rng(devices=[]):  # all of it is replaced
            return kind(config)
    except (
        UsageError,
        TypeError,
        ValueError,
        KeyError,
        RuntimeError,
        ArithmeticError,
    ) as error:  # whatever torch makes of numbers that make no sense
        raise WeightsError(
            f"{folder} describes no painter", got=f"{type(error).__name__}: {error}"
        ) from error


def _read(folder: Path) -> tuple[Config, dict[str, Tensor]]:
    try:
        config = Config.from_json(json.loads((folder / CONFIG).read_text("utf-8")))
        weights = load_file(folder / WEIGHTS)
        broken = [k for k, v in weights.items() if not bool(v.isfinite().all())]
        if broken:
            raise ValueError(f"{broken[0]} holds values that are no numbers")
    except (OSError, ValueError, SafetensorError, UsageError) as error:
        raise WeightsError(
            "a painter cannot be read",
            got=f"{folder}: {error}",
            expected=f"{CONFIG} and {WEIGHTS}",
            remedy="fetch or train it again",
        ) from error
    return config, {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}


def _fit(painter: Painter, weights: Mapping[str, Tensor], folder: Path) -> None:
    own = painter.state_dict()
    new, gone = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    other = [k for k in own.keys() & weights.keys() if own[k].shape != weights[k].shape]
    if new or gone or other:
        raise WeightsError(
            f"the weights in {folder} do not fit its configuration",
            got=f"{len(gone)} unknown {gone[:3]}, {len(other)} of another shape {other[:3]}",
            expected=f"{len(new)} more {new[:3]}",
            remedy="Painter.adapted maps a checkpoint to other labels by their names",
        )
    painter.load_state_dict(dict(weights))


def _folded(module: nn.Module) -> dict[str, Tensor]:
    """The state with parametrised weights as they act, and without what makes them."""
    found = {k: v for k, v in module.state_dict().items() if ".parametrizations." not in k}
    for name, part in module.named_modules():
        if parametrize.is_parametrized(part):
            training = part.training
            part.eval()  # else reading the weight would move its estimate of the norm
            for own in part.parametrizations:  # type: ignore[union-attr]
                found[f"{name}.{own}"] = getattr(part, own).detach()
            part.train(training)
    return found
