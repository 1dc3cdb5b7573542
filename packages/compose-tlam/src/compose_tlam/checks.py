"""Values of labels, looked at before a model sees them: class numbers, ranges, units, lengths."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from compose_core.errors import SceneError
from compose_tlam.labels import Label
from compose_tlam.stack import LabelStack, Layer

__all__ = ["check_layer", "check_stack", "contradictions"]

_SPREAD = 0.5
"""Least range of depth that fills the picture."""

_SHARE = 0.02
"""Share of pixels that may be out of range or of another length, by rounding or resizing."""


def check_layer(label: Label, layer: Layer, what: str) -> Layer:
    """The same layer, with values clipped where its label says so.

    Args:
        label: What it should be.
        layer: Values and validity.
        what: Names the file or the layer, for messages.

    Raises:
        SceneError: Class numbers outside the registry, values that are not numbers, out of range
            (another unit or convention), or vectors that are not of unit length.
    """
    valid = layer.valid
    if label.discrete:
        _check_classes(label, layer.value[valid], what)
        return layer
    value = layer.value
    seen = value.movedim(1, -1)[valid]
    if not bool(seen.isfinite().all()):
        bad = int((~seen.isfinite()).any(-1).sum())
        raise SceneError(
            f"{what} holds values that are not numbers",
            got=f"{bad} pixels of {label.name} are NaN or infinite",
            remedy="mark them as missing",
        )
    if label.kind == "vector":
        _check_length(label, seen, what)
        return layer
    if label.clip:
        return Layer(value.clamp(label.low, label.high), valid)
    _check_range(label, seen, what)
    return layer


def check_stack(stack: LabelStack, what: str = "the labels") -> LabelStack:
    """Every layer of a stack checked; `what` and the name of the label are named in messages."""
    return stack.map(lambda label, layer: check_layer(label, layer, f"{what} ({label.name})"))


def contradictions(stack: LabelStack) -> Iterator[str]:
    """What is hardly true, as sentences: depth of another unit, a sky that is near."""
    depth, classes = stack.layers.get("depth"), stack.layers.get("semantics")
    if depth is None:
        return
    relative = stack.labels.named("depth")
    if (relative.low, relative.high) == (0, 1) and bool(depth.valid.all()):
        low, high = float(depth.value.min()), float(depth.value.max())
        if high - low < _SPREAD:
            yield (
                f"depth runs from {low:.2f} to {high:.2f} only: it is probably in another unit; "
                "it is relative, the farthest point 0 and the nearest 1"
            )
    if classes is None:
        return
    names = stack.labels.named("semantics").classes
    if "sky" not in names:
        return
    both = depth.valid & classes.valid
    sky = (classes.value == names.index("sky")) & both
    rest = both & ~sky
    if not bool(sky.any()) or not bool(rest.any()):
        return
    near, far = float(depth.value[:, 0][sky].mean()), float(depth.value[:, 0][rest].mean())
    if near > far:
        yield (
            f"the sky is nearer than the rest (depth {near:.2f} against {far:.2f}): depth is "
            "probably not inverse; near is 1, the farthest point 0"
        )


def _check_classes(label: Label, values: Tensor, what: str) -> None:
    wrong = values[(values < 0) | (values >= label.count)]
    if not wrong.numel():
        return
    found = wrong.unique().tolist()
    shown = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
    named = f" ({', '.join(label.classes)})" if label.classes else ""
    raise SceneError(
        f"{what} holds class numbers that the model does not know",
        got=f"{shown} in {wrong.numel()} pixels",
        expected=f"0 to {label.count - 1}{named}",
        remedy="renumber the classes, or mark these pixels as missing",
    )


def _check_range(label: Label, values: Tensor, what: str) -> None:
    if not values.numel():
        return
    margin = 1e-3 * (label.high - label.low)
    low, high = float(values.min()), float(values.max())
    if low >= label.low - margin and high <= label.high + margin:
        return
    remedy = None
    if label.name == "depth":
        remedy = "for metres take 1 / depth and stretch it to [0, 1] for each picture"
    raise SceneError(
        f"{what} is in another unit or convention",
        got=f"{label.name} from {low:.4g} to {high:.4g}",
        expected=f"{label.low:g} to {label.high:g}: {label.meaning}",
        remedy=remedy,
    )


def _check_length(label: Label, values: Tensor, what: str) -> None:
    length = values.norm(dim=-1)
    off = (length - 1).abs() > label.tolerance
    if not values.numel() or float(off.float().mean()) <= _SHARE:
        return
    worst = length[(length - 1).abs().argmax()]
    raise SceneError(
        f"{what} holds vectors that are not of unit length",
        got=f"{int(off.sum())} of {off.numel()} pixels; a length of {float(worst):.3g}",
        expected=f"length 1: {label.meaning}",
        remedy="normalise them, and mark pixels without a direction as missing",
    )
