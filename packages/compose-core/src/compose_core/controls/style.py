"""How a ControlNet wants its picture drawn: a file beside its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compose_core.controls.palette import Palette
from compose_core.controls.skeleton import OPENPOSE, Limb, Skeleton
from compose_core.errors import UsageError, WeightsError

__all__ = ["CONTROLS", "FILE", "Control", "Style", "read_style", "write_style"]

Control = Literal["keypoints", "segments", "depth"]
"""What a ControlNet was trained to follow."""

CONTROLS: tuple[Control, ...] = get_args(Control)

FILE = "control.json"
"""Beside the weights: what they follow, and in which colours."""


@final
@dataclass(frozen=True)
class Style:
    """What a ControlNet follows, and how that is drawn.

    Attributes:
        control: What is followed.
        skeleton: How keypoints are drawn.
        palette: The colours of segments.

    Raises:
        UsageError: `control` is unknown.
    """

    control: Control = "keypoints"
    skeleton: Skeleton = OPENPOSE
    palette: Palette = field(default_factory=Palette)

    def __post_init__(self) -> None:
        """Refuse what no ControlNet here follows."""
        if self.control not in CONTROLS:
            known = ", ".join(CONTROLS)
            raise UsageError("unknown control", got=repr(self.control), expected=f"one of {known}")


_RGB = tuple[int, int, int]


class _Limb(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)

    start: str
    end: str
    colour: _RGB


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    control: Control
    points: dict[str, _RGB] = Field(default_factory=dict[str, _RGB])
    limbs: list[_Limb] = Field(default_factory=list[_Limb])
    line: float = 1 / 128
    dot: float = 1 / 128
    classes: dict[str, _RGB] = Field(default_factory=dict[str, _RGB])


def read_style(folder: Path) -> Style | None:
    """What the file beside the weights says; None where there is none.

    Raises:
        WeightsError: The file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        said = _File.model_validate(json.loads(path.read_text("utf-8")))
        skeleton = OPENPOSE
        if said.points:
            limbs = tuple(Limb(one.start, one.end, one.colour) for one in said.limbs)
            skeleton = Skeleton(said.points, limbs, said.line, said.dot)
        return Style(said.control, skeleton, Palette(said.classes))
    except (OSError, ValueError, ValidationError, UsageError) as error:
        raise WeightsError(
            f"{path} cannot be read",
            got=str(error).splitlines()[0],
            expected="control, and points with limbs or classes",
            remedy="restore the file that came with the weights",
        ) from error


def write_style(style: Style, folder: Path) -> None:
    """Write the file beside the weights."""
    said: dict[str, Any] = {"control": style.control}
    if style.control == "keypoints":
        said |= {"points": dict(style.skeleton.points), "limbs": [], "line": style.skeleton.line}
        said["dot"] = style.skeleton.dot
        said["limbs"] = [
            {"start": limb.start, "end": limb.end, "colour": limb.colour}
            for limb in style.skeleton.limbs
        ]
    if style.control == "segments":
        said["classes"] = dict(style.palette.classes)
    (folder / FILE).write_text(json.dumps(said, indent=1) + "\n", "utf-8")
