"""`Scene`: a picture described once, for any method."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from compose_core.conditions import Box, Condition, Mask
from compose_core.errors import SceneError
from compose_core.images import MAX_PIXELS, Array, resize
from compose_core.scene import resolve
from compose_core.scene.assets import Assets
from compose_core.scene.layer import FILES, Camera, Layer, Prompt, Strict, not_blank

MAX_LAYERS = 64
MAX_SEED = 2**63 - 1
MAX_SIDE = 10**9  # beyond it the estimate of memory would itself overflow


class Scene(Strict):
    """A picture described once, for any method.

    Files that layers name are held as bytes by `assets`; a scene that `load_scene` returned has
    read and checked them all. A scene built in Python gets them by `with_assets`.
    """

    version: Literal[1] = 1
    """Of the format."""
    canvas: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_SIDE)], Annotated[int, Field(ge=1, le=MAX_SIDE)]],
        Field(strict=False),
    ] = (1, 1)
    """Width and height of the output in pixels; a scene with a duration has none."""
    prompt: Prompt
    """The whole picture in words."""
    negative: Prompt = ""
    """What the picture should not become."""
    duration: Annotated[float, Field(gt=0, le=86_400)] | None = None
    """Seconds of sound: the scene is music and no picture."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    """Of the noise; the same seed gives the same picture."""
    wrap: bool = False
    """The left edge continues at the right edge: a closed panorama."""
    camera: Camera | None = None
    """Where proxies are seen from."""
    layers: Annotated[tuple[Layer, ...], Field(strict=False)] = ()
    """The parts of the picture, from back to front unless z says otherwise."""

    _assets: Assets = PrivateAttr(default_factory=Assets)

    @model_validator(mode="after")
    def _sensible(self) -> Scene:
        not_blank(self.prompt, "the scene")
        given = "canvas" in self.model_fields_set
        if given == (self.duration is not None):
            raise SceneError(
                "a scene is either a picture or a sound",
                got="canvas and duration" if given else "neither canvas nor duration",
                expected="a canvas in pixels, or a duration in seconds",
                remedy="remove one of them" if given else "write canvas = [64, 64]",
            )
        if self.width * self.height > MAX_PIXELS:
            # 3 colours and about 128 features per pixel in float32 while decoding.
            need = self.width * self.height * 131 * 4 / 2**30
            raise SceneError(
                "the canvas is too large",
                got=f"{self.width} x {self.height}, which would take about {need:.3g} GiB",
                expected=f"at most {MAX_PIXELS // 10**6} megapixels",
                remedy="choose a smaller canvas",
            )
        self._check_layers()
        return self

    def _check_layers(self) -> None:
        least = 1 if self.duration is None else 0
        if not least <= len(self.layers) <= MAX_LAYERS:
            raise SceneError(
                "the scene has no layers" if not self.layers else "the scene has too many layers",
                got=f"{len(self.layers)} layers",
                expected=f"1 to {MAX_LAYERS}",
                remedy="add a [[layers]] table with a name and a prompt"
                if not self.layers
                else "join layers that belong together",
            )
        names = [layer.name for layer in self.layers]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise SceneError(
                    "two layers have the same name",
                    got=f"{name!r} for layers {names.index(name) + 1} and {place + 1}",
                    expected="a different name for each layer",
                    remedy=f"rename one, for example {name + ' 2'!r}",
                )

    @property
    def width(self) -> int:
        """Width of the canvas in pixels."""
        return self.canvas[0]

    @property
    def height(self) -> int:
        """Height of the canvas in pixels."""
        return self.canvas[1]

    @property
    def ordered(self) -> tuple[Layer, ...]:
        """Layers from back to front: by z, then in the order of the file."""
        return tuple(sorted(self.layers, key=lambda layer: layer.z))

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that layers mention, each once, in the order of the file."""
        named = (getattr(layer, key) for layer in self.layers for key in FILES)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def used(self) -> frozenset[str]:
        """Names of what this scene gives: keys of its layers, and of itself where they matter."""
        own = {key for key in ("wrap", "camera", "negative", "duration") if getattr(self, key)}
        return frozenset({"prompt", *own}.union(*(layer.used for layer in self.layers)))

    @property
    def assets(self) -> Assets:
        """The bytes of the files that layers name."""
        return self._assets

    def with_assets(self, assets: Assets) -> Scene:
        """The same scene with these files, each read once and checked.

        Raises:
            SceneError: a file is missing from ``assets`` or is not what its key needs.
        """
        for layer in self.layers:
            resolve.from_files(layer, assets, self.canvas)
        bound = self.model_copy()
        bound._assets = assets
        return bound

    def conditions(self) -> dict[str, tuple[Condition, ...]]:
        """What each layer asks for, by its name, with files decoded and proxies rendered.

        Masks, depths and segments have the size of the canvas. A layer without a negative prompt
        has that of the scene. Proxies need ``compose-worlds``.

        Raises:
            SceneError: a file or a proxy cannot be used.
        """
        return resolve.conditions(
            self.layers, self.camera, self.assets, self.canvas, negative=self.negative
        )

    def regions(self, height: int, width: int) -> dict[str, Array]:
        """How much of each cell (height, width) each layer wants, in [0, 1], from back to front.

        A mask rules; else the silhouette of a proxy, else the box, else the whole canvas. Hidden
        parts are included: see `visible` for what remains when nearer layers cover farther ones.
        """
        found = self.conditions()
        return {layer.name: _region(found[layer.name], height, width) for layer in self.ordered}


def _region(conditions: tuple[Condition, ...], height: int, width: int) -> Array:
    for condition in conditions:
        if isinstance(condition, Mask):
            return resize(condition.values, height, width)
    for condition in conditions:
        if isinstance(condition, Box):
            return condition.coverage(height, width)
    return np.ones((height, width), np.float32)


def visible(regions: dict[str, Array]) -> dict[str, Array]:
    """What remains of regions (back to front) when nearer layers cover farther ones.

    Layer k keeps m_k prod_{j > k} (1 - m_j), the "over" rule of Porter and Duff (1984).
    """
    result: dict[str, Array] = {}
    for name in reversed(regions):
        covered = np.ones_like(regions[name])
        for nearer in result:
            covered = covered * (1 - regions[nearer])
        result[name] = regions[name] * covered
    return dict(reversed(result.items()))
