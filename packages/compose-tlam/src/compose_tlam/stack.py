"""`LabelStack`: the labels of a batch of pictures, and where each of them is valid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import ShapeError, UsageError
from compose_tlam.labels import Label, LabelSet

__all__ = ["LabelStack", "Layer", "missing"]


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """One label of a batch.

    Attributes:
        value: Class numbers (B, H, W), integer; or channels (B, C, H, W), floating point.
        valid: (B, H, W) bool: where the value means anything.
    """

    value: Tensor
    valid: Tensor

    @property
    def pixels(self) -> tuple[int, int, int]:
        """(B, H, W)."""
        batch, height, width = self.valid.shape
        return batch, height, width


@final
@dataclass(frozen=True, eq=False)
class LabelStack:
    """Labels of a batch, on the same pixels; any subset of a registry may be there.

    Attributes:
        labels: The registry.
        layers: Values by name; a label that is not here is missing everywhere.

    Raises:
        UsageError: A name is not in the registry, or there is no layer at all.
        ShapeError: Maps differ in size, or have the wrong channels or type.
    """

    labels: LabelSet
    layers: Mapping[str, Layer]

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        if not self.layers:
            raise UsageError("a stack of labels needs one map, if only to tell its size")
        sizes: dict[str, tuple[int, ...]] = {}
        for name, layer in self.layers.items():
            _check(self.labels.named(name), layer)
            sizes[name] = layer.pixels
        if len(set(sizes.values())) > 1:
            raise ShapeError(
                "label maps differ in size",
                got="; ".join(f"{name} {size[2]} x {size[1]}" for name, size in sizes.items()),
                expected="one size for all, in the same batch",
                remedy="resize them first, see LabelStack.resize of each",
            )

    @classmethod
    def of(
        cls,
        labels: LabelSet,
        values: Mapping[str, Tensor],
        valid: Mapping[str, Tensor] | None = None,
    ) -> LabelStack:
        """A stack from values; where no validity is given, all of a map is valid."""
        given = valid or {}
        layers = {
            name: Layer(value, given[name] if name in given else _everywhere(value))
            for name, value in values.items()
        }
        return cls(labels, layers)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, H, W)."""
        return next(iter(self.layers.values())).pixels

    @property
    def device(self) -> torch.device:
        """Where the maps are."""
        return next(iter(self.layers.values())).valid.device

    @property
    def empty(self) -> bool:
        """Whether nothing is valid anywhere."""
        return not any(bool(layer.valid.any()) for layer in self.layers.values())

    def to(self, device: torch.device | str) -> LabelStack:
        """The same on another device."""
        return self.map(lambda _, x: Layer(x.value.to(device), x.valid.to(device)))

    def map(self, change: Callable[[Label, Layer], Layer]) -> LabelStack:
        """Every layer changed by a function of its label."""
        changed = {name: change(self.labels.named(name), x) for name, x in self.layers.items()}
        return LabelStack(self.labels, changed)

    def rows(self, start: int, stop: int) -> LabelStack:
        """Some of the batch."""
        return self.map(lambda _, x: Layer(x.value[start:stop], x.valid[start:stop]))

    def crop(self, rows: slice, columns: slice) -> LabelStack:
        """A part of every picture."""
        return self.map(
            lambda _, x: Layer(x.value[..., rows, columns], x.valid[..., rows, columns])
        )

    def without(self, *names: str) -> LabelStack:
        """The same with some labels missing everywhere.

        Raises:
            UsageError: A name is unknown.
        """
        gone = {self.labels.named(name).name for name in names}
        return self.map(
            lambda label, x: Layer(x.value, torch.zeros_like(x.valid)) if label.name in gone else x
        )

    def only(self, *names: str) -> LabelStack:
        """The same with all other labels missing everywhere."""
        kept = {self.labels.named(name).name for name in names}
        return self.without(*(name for name in self.layers if name not in kept))

    def under(self, labels: LabelSet) -> LabelStack:
        """The same maps under another registry; labels that it lacks are left out."""
        kept = {name: x for name, x in self.layers.items() if name in labels.names}
        if not kept:
            batch, height, width = self.shape
            kept = {labels[0].name: missing(labels[0], batch, height, width, self.device)}
        return LabelStack(labels, kept)

    def dropped(self, gone: Mapping[str, Tensor]) -> LabelStack:
        """The same without the pixels (B, H, W) bool that `gone` names for a label."""
        return self.map(
            lambda label, x: (
                Layer(x.value, x.valid & ~gone[label.name]) if label.name in gone else x
            )
        )

    def flip(self) -> LabelStack:
        """Mirrored left to right; vectors change the sign of what points sideways."""

        def mirror(label: Label, layer: Layer) -> Layer:
            value = layer.value.flip(-1)
            if label.negated:
                sign = torch.ones(label.channels, dtype=value.dtype, device=value.device)
                sign[list(label.negated)] = -1
                value = value * sign[:, None, None]
            return Layer(value, layer.valid.flip(-1))

        return self.map(mirror)

    def resize(self, height: int, width: int) -> LabelStack:
        """On other pixels.

        Classes and validity are taken from the nearest pixel. Real channels are averaged (or
        interpolated) over valid pixels only, and a pixel is valid when half of what it covers
        is; vectors get their length back.
        """
        return self.map(lambda label, x: _resized(label, x, (height, width)))

    @staticmethod
    def cat(stacks: Sequence[LabelStack]) -> LabelStack:
        """Batches end to end, over the labels that any of them has."""
        labels = stacks[0].labels
        names = [n for n in labels.names if any(n in one.layers for one in stacks)]

        def part(one: LabelStack, name: str) -> Layer:
            return one.layers.get(name) or missing(labels.named(name), *one.shape, one.device)

        joined = {
            name: Layer(
                torch.cat([part(one, name).value for one in stacks]),
                torch.cat([part(one, name).valid for one in stacks]),
            )
            for name in names
        }
        return LabelStack(labels, joined)


def missing(
    label: Label, batch: int, height: int, width: int, device: torch.device | str = "cpu"
) -> Layer:
    """A layer that is valid nowhere."""
    size = (batch, height, width)
    if label.discrete:
        value = torch.zeros(size, dtype=torch.long, device=device)
    else:
        value = torch.zeros(batch, label.channels, height, width, device=device)
    return Layer(value, torch.zeros(size, dtype=torch.bool, device=device))


def _everywhere(value: Tensor) -> Tensor:
    plane = value[:, 0] if value.dim() == 4 and value.shape[1] else value
    return torch.ones_like(plane, dtype=torch.bool)


def _check(label: Label, layer: Layer) -> None:
    value, valid = layer.value, layer.valid
    real = value.is_floating_point()
    shape = tuple(value.shape)
    good = not real and value.dim() == 3 if label.discrete else real and value.dim() == 4
    if label.discrete:
        expected = "(B, H, W) integer class numbers"
        good = good and shape == tuple(valid.shape)
    else:
        expected = f"(B, {label.channels}, H, W) floating point"
        good = good and shape[1] == label.channels and (shape[0], *shape[2:]) == tuple(valid.shape)
    if not good or valid.dtype != torch.bool or not valid.numel():
        raise ShapeError(
            f"the label {label.name!r} has the wrong shape or type",
            got=f"{shape} {value.dtype}, valid {tuple(valid.shape)} {valid.dtype}",
            expected=f"{expected}, with pixels, and a bool map (B, H, W) of where it is valid",
        )


def _resized(label: Label, layer: Layer, size: tuple[int, int]) -> Layer:
    if layer.pixels[1:] == size:
        return layer
    if label.discrete:
        value = _nearest(layer.value[:, None].float(), size)[:, 0].to(layer.value.dtype)
        return Layer(value, _nearest(layer.valid[:, None].float(), size)[:, 0] > 0.5)
    weight = layer.valid[:, None].to(layer.value.dtype)
    # Where a value is missing it may hold anything, NaN included.
    clean = torch.where(layer.valid[:, None], layer.value, torch.zeros_like(layer.value))
    total, share = _area(clean, size), _area(weight, size)
    value = total / share.clamp_min(1e-6)
    if label.kind == "vector":
        value = F.normalize(value, dim=1)
    return Layer(value, share[:, 0] > 0.5 - 1e-6)


def _nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="nearest-exact")


def _area(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Averages where it shrinks, linear where it grows."""
    if size[0] <= x.shape[-2] and size[1] <= x.shape[-1]:
        return F.interpolate(x, size=size, mode="area")
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
