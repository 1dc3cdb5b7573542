"""From the fields of layers to conditions: files decoded, proxies rendered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from compose_core.conditions import (
    Box,
    Condition,
    Depth,
    Edges,
    Exemplar,
    Keypoints,
    LabelMap,
    Mask,
    Normals,
    Position,
    Segments,
    Text,
)
from compose_core.errors import SceneError
from compose_core.images import (
    Array,
    check_depth,
    check_mask,
    read_colours,
    read_curvature,
    read_depth,
    read_edges,
    read_mask,
    read_normals,
    read_segments,
)
from compose_core.scene import strict_json
from compose_core.scene.assets import Assets
from compose_core.scene.layer import FILES, Camera, Layer, Proxy, short

PROXIES = "compose.proxies"
"""Entry point group of the one function that renders proxies, see `ProxyResolver`."""


class ProxyResolver(Protocol):
    """Renders the labels of solids.

    Returns one mapping per proxy, in their order, with hidden parts included. Known names:
    ``mask`` (H, W) in [0, 1]; ``depth`` (H, W), near is larger, one scale for all proxies;
    ``normals`` (H, W, 3); ``edges`` (H, W); ``segments`` (H, W) of integers. Any other name, such
    as ``curvature`` (H, W, C), becomes a `LabelMap`.
    """

    def __call__(
        self, camera: Camera, proxies: Sequence[Proxy], width: int, height: int
    ) -> Sequence[Mapping[str, NDArray[Any]]]:
        """Render at ``width`` x ``height`` pixels."""
        ...


def conditions(
    layers: Sequence[Layer],
    camera: Camera | None,
    assets: Assets,
    canvas: tuple[int, int],
    *,
    negative: str = "",
) -> dict[str, tuple[Condition, ...]]:
    """What each layer asks for, by its name; see `Scene.conditions`."""
    rendered = _from_proxies(layers, camera or Camera(), canvas)
    return {
        layer.name: (
            *_from_fields(layer, negative),
            *from_files(layer, assets, canvas),
            *_without_doubles(layer, rendered.get(layer.name, ())),
        )
        for layer in layers
    }


def _without_doubles(layer: Layer, found: Sequence[Condition]) -> list[Condition]:
    """A file or box that the layer names itself takes the place of the rendered one."""
    return [condition for condition in found if condition.kind not in layer.used]


def _from_fields(layer: Layer, inherited: str) -> list[Condition]:
    found: list[Condition] = [Position(layer.z)]
    if layer.prompt is not None:
        negative = inherited if layer.negative is None else layer.negative
        found.append(Text(layer.prompt, negative))
    if layer.box is not None:
        found.append(Box(*layer.box))
    return found


def from_files(layer: Layer, assets: Assets, canvas: tuple[int, int]) -> list[Condition]:
    """Decode the files that a layer names; ``canvas`` is (width, height).

    Raises:
        SceneError: a file is missing from ``assets`` or is not what its key needs.
    """
    found: list[Condition] = []
    for key in FILES:
        name = cast("str | None", getattr(layer, key))
        if name is None:
            continue
        what = f"the {key} {name!r} of layer {layer.name!r}"
        if name not in assets:
            raise SceneError(
                f"{what} has not been read",
                got=f"files {sorted(assets)}",
                remedy="use load_scene, or scene.with_assets(Assets.read(scene.files, folder))",
            )
        if key != "sound":  # only those who make sound can decode it
            found.append(_decode(key, assets[name], canvas, what))
    return found


def _decode(key: str, data: bytes, canvas: tuple[int, int], what: str) -> Condition:
    match key:
        case "mask":
            return Mask(read_mask(data, canvas, what))
        case "depth":
            return Depth(read_depth(data, canvas, what))
        case "segments":
            return Segments(read_segments(data, canvas, what))
        case "exemplar":
            return Exemplar(read_colours(data, what))
        case "normals":
            return Normals(read_normals(data, canvas, what))
        case "curvature":
            return LabelMap("curvature", read_curvature(data, canvas, what))
        case "edges":
            return Edges(read_edges(data, canvas, what))
        case "map":
            return LabelMap("map", _sized(read_colours(data, what), canvas, what))
        case _:
            return _keypoints(data, what)


def _sized(values: Array, canvas: tuple[int, int], what: str) -> Array:
    height, width = values.shape[:2]
    if (width, height) != canvas:
        raise SceneError(
            f"{what} has not the size of the canvas",
            got=f"{width} x {height}",
            expected=f"{canvas[0]} x {canvas[1]}",
            remedy="scale it, or change the canvas",
        )
    return values


def _keypoints(data: bytes, what: str) -> Keypoints:
    """``{"head": [0.5, 0.2], ...}``: fractions of the canvas; null for an unknown point."""
    example = '{"head": [0.5, 0.2], "left hand": [0.3, 0.6]}, as fractions of the canvas'
    try:
        points = strict_json.parse(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{what} is not JSON", got=error, expected=example) from error
    named = cast("dict[str, object]", points) if isinstance(points, dict) else {}
    found = {
        name: _point(name, point, what, example)
        for name, point in named.items()
        if point is not None
    }
    if not found:
        raise SceneError(
            f"{what} holds no points", got=short(cast(object, points)), expected=example
        )
    return Keypoints(found)


def _point(name: str, point: object, what: str, example: str) -> tuple[float, float]:
    values = cast("list[object]", point) if isinstance(point, list) else []
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    try:
        good = len(numbers) == len(values) == 2 and all(math.isfinite(v) for v in numbers)
    except OverflowError:
        good = False
    if not good or any(abs(v) > 10 for v in numbers):
        raise SceneError(
            f"{what} has a bad point {name!r}",
            got=short(cast(object, point)),
            expected=f"[x, y], as in {example}",
        )
    return float(numbers[0]), float(numbers[1])


def _resolver() -> ProxyResolver:
    for entry in entry_points(group=PROXIES):
        return cast(ProxyResolver, entry.load())
    raise SceneError(
        "the scene has proxies, but nothing here can render them",
        got="no installed package provides them",
        expected="the package compose-worlds",
        remedy="pip install compose-worlds",
    )


def _from_proxies(
    layers: Sequence[Layer], camera: Camera, canvas: tuple[int, int]
) -> dict[str, list[Condition]]:
    pairs = [(layer, layer.proxy) for layer in layers if layer.proxy is not None]
    if not pairs:
        return {}
    rendered = _resolver()(camera, [proxy for _, proxy in pairs], *canvas)
    for (layer, proxy), labels in zip(pairs, rendered, strict=True):
        _in_sight(layer, proxy, labels["mask"])
    depths = _common_scale([labels["depth"] for labels in rendered])
    return {
        layer.name: _labels(layer, {**labels, "depth": depth})
        for (layer, _), labels, depth in zip(pairs, rendered, depths, strict=True)
    }


def _common_scale(depths: Sequence[NDArray[Any]]) -> list[Array]:
    """Stretch the depths of all proxies to [0, 1] together: their order must survive.

    Where all is equally far, as on a canvas of one pixel, there is no order: zeros.
    """
    together = np.stack([np.asarray(depth, np.float32) for depth in depths])
    if together.max() == together.min():
        return list(np.zeros_like(together))
    return list(check_depth(together, "the depth of the proxies"))


def _in_sight(layer: Layer, proxy: Proxy, mask: NDArray[Any]) -> None:
    if not mask.max() > 0:
        raise SceneError(
            f"the proxy of layer {layer.name!r} is outside the picture",
            got=proxy,
            remedy="move it into the camera's view: larger z is farther, y is up",
        )


def _labels(layer: Layer, labels: Mapping[str, NDArray[Any]]) -> list[Condition]:
    """Conditions of one proxy; its box is that of its silhouette."""
    what = f"the proxy of layer {layer.name!r}"
    mask = np.asarray(labels["mask"], np.float32)
    found: list[Condition] = [Mask(check_mask(mask, what)), _bounds(mask)]
    for name, values in labels.items():
        match name:
            case "mask":
                continue
            case "depth":
                found.append(Depth(values))
            case "edges":
                found.append(Edges(np.asarray(values, np.float32)))
            case "normals":
                found.append(Normals(np.asarray(values, np.float32)))
            case "segments":
                found.append(Segments(np.asarray(values, np.int64)))
            case _:
                found.append(LabelMap(name, np.atleast_3d(np.asarray(values, np.float32))))
    return found


def _bounds(mask: Array) -> Box:
    height, width = mask.shape
    inside = mask > min(0.5, float(mask.max()) / 2)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return Box(
        float(columns[0] / width),
        float(rows[0] / height),
        float((columns[-1] + 1) / width),
        float((rows[-1] + 1) / height),
    )
