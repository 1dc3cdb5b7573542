"""What happened at each step, kept as named tensors.

A trace is one safetensors file: tensors named `0007/x0`, and a JSON header with what describes
the run. `Trace.picture` draws it: a row for each name, a column for each step; scalars as curves.

Denoisers take part by `Denoiser.traced`, and by `Denoiser.inner` show what they are made of.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image, ImageDraw
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor
from torch.nn import functional as F

from compose_core.denoiser import Denoiser, State
from compose_core.errors import ComposeError, UsageError

__all__ = ["Trace", "collect"]

_HEADER = "compose.trace"
_FORMAT = 1


def collect(denoiser: Denoiser, state: State, prefix: str = "") -> dict[str, Tensor]:
    """What a denoiser and all that is inside it have to show.

    What is inside is prefixed with its name: `1.cond.0.weights`.
    """
    found = {f"{prefix}{name}": value for name, value in denoiser.traced(state).items()}
    for name, part, own in denoiser.inner(state):
        found |= collect(part, own, f"{prefix}{name}.")
    return found


class Trace:
    """Named tensors for each step of one run.

    Args:
        meta: What describes the run: anything that JSON can hold.
    """

    def __init__(self, meta: Mapping[str, Any] | None = None) -> None:
        self.meta: dict[str, Any] = dict(meta or {})
        self._steps: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def log(self, index: int, tensors: Mapping[str, Tensor]) -> None:
        """Add tensors to step `index`; copied to the CPU, floats narrowed to 32 bits."""
        if index < 0:
            raise UsageError("steps are counted from 0", got=index)
        while len(self._steps) <= index:
            self._steps.append({})
        for name, value in tensors.items():
            if "/" in name or not name:
                raise UsageError("a traced name is not empty and has no slash", got=repr(name))
            kept = value.detach().to("cpu", copy=True).contiguous()
            self._steps[index][name] = kept.float() if kept.is_floating_point() else kept

    @property
    def names(self) -> list[str]:
        """Every name, in the order of first appearance."""
        return list(dict.fromkeys(name for step in self._steps for name in step))

    def step(self, index: int) -> Mapping[str, Tensor]:
        """The tensors of one step."""
        return dict(self._steps[index])

    def stack(self, name: str) -> Tensor:
        """One name over all the steps that have it: (steps, *shape)."""
        found = [step[name] for step in self._steps if name in step]
        if not found:
            raise UsageError("nothing of that name was traced", got=name, expected=self.names)
        return torch.stack(found)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the trace as one safetensors file, atomically."""
        path = Path(path)
        tensors = {
            f"{i:04d}/{n}": t for i, step in enumerate(self._steps) for n, t in step.items()
        }
        header = {"format": _FORMAT, "steps": len(self), "names": self.names, "meta": self.meta}
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            save_file(tensors, partial, metadata={_HEADER: json.dumps(header)})
            os.replace(partial, path)
        except (OSError, SafetensorError) as error:  # safetensors wraps errors of the system
            raise ComposeError(
                "the trace cannot be written",
                got=f"{path}: {error}",
                remedy="free some space, or choose another folder",
            ) from error
        finally:
            partial.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read what `save` wrote.

        Raises:
            ComposeError: The file is missing, damaged, or no trace.
        """
        header, tensors = _read(Path(path))
        trace = cls(header["meta"])
        trace._steps = [{} for _ in range(header["steps"])]
        for name in header["names"]:
            for i, step in enumerate(trace._steps):
                if (key := f"{i:04d}/{name}") in tensors:
                    step[name] = tensors[key]
        return trace

    def picture(
        self,
        names: Iterable[str] | None = None,
        *,
        columns: int = 8,
        cell: int = 64,
        limit: int = 40,
    ) -> Image.Image:
        """Draw the trace: a row per name, up to `columns` steps spread evenly from left to right.

        Without `names`, the first `limit` are drawn: a wide canvas has many windows.

        Scalars become a curve over all steps; tensors with two spatial axes become a picture of
        their first sample: three channels as colours, any other number as the mean, blue (low)
        to yellow (high) over the row's own range.
        """
        rows = list(self.names[:limit] if names is None else names)
        if not rows:
            raise UsageError("the trace is empty")
        label = 14
        sheet = Image.new("RGB", (columns * cell, len(rows) * (cell + label)), "white")
        draw = ImageDraw.Draw(sheet)
        for r, name in enumerate(rows):
            top = r * (cell + label)
            values = self.stack(name)
            low, high = _range(values)
            draw.text((2, top + 1), f"{name}   {low:.3g} .. {high:.3g}", fill="black")
            if values[0].ndim < 2:
                _curve(
                    draw,
                    values.float().reshape(len(values), -1).mean(1),
                    (0, top + label),
                    columns,
                    cell,
                )
                continue
            for c, i in enumerate(_spread(len(values), columns)):
                heat = _tile(values[i], low, high, cell)
                sheet.paste(heat, (c * cell, top + label))
        return sheet


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with cast(Any, safe_open)(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            header = json.loads(metadata.get(_HEADER, "{}"))
            if header.get("format") != _FORMAT:
                raise ComposeError(
                    f"{path} is no trace of this version",
                    got=header.get("format"),
                    expected=_FORMAT,
                )
            return header, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise ComposeError(f"the trace {path} cannot be read", got=error) from error


def _range(values: Tensor) -> tuple[float, float]:
    finite = values.float()[values.float().isfinite()]
    return (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 0.0)


def _spread(count: int, columns: int) -> list[int]:
    if count <= columns:
        return list(range(count))
    return [round(i * (count - 1) / (columns - 1)) for i in range(columns)]


def _tile(value: Tensor, low: float, high: float, cell: int) -> Image.Image:
    value = value.float()
    while value.ndim > 3:
        value = value[0]
    channels = value[None] if value.ndim == 2 else value
    x = ((channels - low) / max(high - low, 1e-12)).nan_to_num().clamp(0, 1)
    if len(x) != 3:
        m = x.mean(0)
        # Dark blue to yellow, monotone in lightness.
        x = torch.stack([m, 0.9 * m, 0.45 - 0.35 * m])
    scale = cell / max(x.shape[-2:])
    size = (max(round(x.shape[-2] * scale), 1), max(round(x.shape[-1] * scale), 1))
    x = F.interpolate(x[None], size, mode="nearest")[0]
    return Image.fromarray((x.movedim(0, -1) * 255).round().to(torch.uint8).numpy())


def _curve(
    draw: ImageDraw.ImageDraw, values: Tensor, at: tuple[int, int], columns: int, cell: int
) -> None:
    low, high = _range(values)
    width, height = columns * cell - 8, cell - 8
    points = [
        (
            at[0] + 4 + width * i / max(len(values) - 1, 1),
            at[1] + 4 + height * (1 - (float(v) - low) / max(high - low, 1e-12)),
        )
        for i, v in enumerate(values.nan_to_num())
    ]
    draw.rectangle((at[0], at[1], at[0] + width + 7, at[1] + height + 7), outline="#dddddd")
    draw.line(points, fill="#1f4e9c", width=2)
