"""The parts of a scene: `Layer`, and `Camera` and `Proxy` for blocked-out solids.

They are frozen and strict: nothing is converted silently, nothing unknown is accepted. Lengths on
the canvas are fractions of it (x to the right, y down), so a scene scales with its canvas. World
coordinates of proxies are in metres with x to the right, y up and z away from the camera.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from compose_core.errors import SceneError

MAX_PROMPT = 10_000
"""Longest prompt that is read, in characters; text encoders take far less and say so."""

Prompt = Annotated[str, Field(max_length=MAX_PROMPT)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
FileName = Annotated[str, Field(min_length=1, max_length=1000)]
World = Annotated[float, Field(ge=-1000, le=1000)]
Fraction = Annotated[float, Field(ge=0, le=1)]

CONTENT = frozenset(
    {
        "prompt", "box", "mask", "depth", "exemplar", "segments", "keypoints", "proxy",
        "point", "map", "sound", "normals", "curvature", "edges",
    }
)  # fmt: skip
"""Keys of a layer that ask for something; the others only qualify."""

FILES = (
    "mask", "depth", "exemplar", "segments", "keypoints", "map", "sound",
    "normals", "curvature", "edges",
)  # fmt: skip
"""Keys of a layer that name a file."""


class Strict(BaseModel):
    """Frozen, without conversions, unknown keys, NaN or infinity."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,  # they become the descriptions of the JSON schema
    )


def short(value: object) -> str:
    """``value`` as it would be written, cut to a length that fits a message."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def not_blank(text: str | None, owner: str) -> None:
    """Refuse a prompt that is given but says nothing."""
    if text is not None and not text.strip():
        raise SceneError(
            f"the prompt of {owner} is empty",
            got=repr(text),
            expected="a few words, for example 'a red sphere'",
            remedy="describe it in words" if owner == "the scene" else "write one or leave it out",
        )


class Camera(Strict):
    """Where proxies are seen from: above the origin, looking along z."""

    height: Annotated[float, Field(gt=0, le=1000)] = 1.2
    """Height above the ground in metres."""
    pitch: Annotated[float, Field(ge=-89, le=89)] = 10.0
    """Degrees; down is positive."""
    fov: Annotated[float, Field(ge=1, le=170)] = 50.0
    """Vertical field of view in degrees."""


class Proxy(Strict):
    """A simple solid standing in for a layer; ``compose-worlds`` renders its labels."""

    shape: Name
    """Name of the solid: sphere, cube, cylinder, cone, torus, capsule."""
    position: Annotated[tuple[World, World, World], Field(strict=False)]
    """Centre (x, y, z) in metres."""
    size: Annotated[float, Field(gt=0, le=1000)] = 0.5
    """Radius or half edge in metres."""
    rotation: Annotated[float, Field(ge=-3600, le=3600)] = 0.0
    """Turn about the vertical axis in degrees."""
    color: Name = "white"
    """Name of the colour."""


class Layer(Strict):
    """One part of the picture: where it is, how near, and what it should be."""

    name: Name
    """What messages call it; no two layers share one."""
    prompt: Prompt | None = None
    """What it should be, in words."""
    negative: Prompt | None = None
    """What it should not become; in place of the scene's, so "" switches that off."""
    box: Annotated[tuple[float, float, float, float], Field(strict=False)] | None = None
    """Left, top, right, bottom as fractions of the canvas; a mask or proxy rules instead."""
    z: World = 0.0
    """Place in depth: larger is nearer; layers of equal z are in the order of the file."""
    weight: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Strength against the other layers."""
    mask: FileName | None = None
    """Greyscale picture of the size of the canvas: white inside."""
    depth: FileName | None = None
    """Greyscale picture of the size of the canvas, 8 or 16 bit: near is bright."""
    exemplar: FileName | None = None
    """Picture of what it should look like, of any size."""
    segments: FileName | None = None
    """Picture of the size of the canvas with one label number per pixel."""
    keypoints: FileName | None = None
    """JSON file of named points, ``{"head": [x, y]}``, as fractions of the canvas."""
    proxy: Proxy | None = None
    """A solid standing in for it; gives mask, box, depth and more."""
    point: Annotated[tuple[Fraction, Fraction], Field(strict=False)] | None = None
    """Where its middle is, x and y as fractions of the canvas."""
    map: FileName | None = None
    """Schematic map of what to draw, a picture in colours of the size of the canvas."""
    sound: FileName | None = None
    """Sound file, FLAC or WAV, that is kept and continued; for scenes with a duration."""
    normals: FileName | None = None
    """Colour picture of the size of the canvas: x right, y up, z towards the camera in red, green
    and blue, -1 to 1 on 1 to 255; 128, 128, 128 is no direction."""
    curvature: FileName | None = None
    """Colour picture of the size of the canvas: principal curvatures in red and green, -8 to 8
    per metre on 1 to 255, convex is above 128."""
    edges: FileName | None = None
    """Greyscale picture of the size of the canvas, 8 or 16 bit: strength of edges."""

    @model_validator(mode="after")
    def _sensible(self) -> Layer:
        not_blank(self.prompt, f"layer {self.name!r}")
        if self.box is not None:
            self._check_box(self.box)
        if not CONTENT & self.used:
            raise SceneError(
                f"layer {self.name!r} asks for nothing",
                got="no content",
                expected=f"at least one of {', '.join(sorted(CONTENT))}",
                remedy="give it a prompt, or remove it",
            )
        return self

    def _check_box(self, box: tuple[float, float, float, float]) -> None:
        x0, y0, x1, y1 = box
        outside = min(box) < 0 or max(box) > 1
        if outside or not (x0 < x1 and y0 < y1):
            problem = "leaves the canvas" if outside else "is empty or inverted"
            pixels = max(box) > 1 and min(box) >= 0
            raise SceneError(
                f"the box of layer {self.name!r} {problem}",
                got=list(box),
                expected="[x0, y0, x1, y1] with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1",
                remedy="divide pixels by the width and height of the canvas"
                if pixels
                else "give the left, top, right and bottom edge as fractions of the canvas",
            )

    @property
    def used(self) -> frozenset[str]:
        """Names of the fields that this layer gives, without its name."""
        given = self.model_fields_set - {"name"}
        return frozenset(key for key in given if getattr(self, key) is not None)
