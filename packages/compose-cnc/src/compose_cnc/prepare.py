"""What is constant over a run, computed once: modulation, keys and values, regions per layer.

Conditions go in as a user's method makes them and come out as more named tensors of an `Encoded`,
so batches of questions are joined, expanded and split as before. `CnCNetwork` answers the same to
both; prepared conditions only spare it work at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from compose_cnc import regions
from compose_cnc.attention import Guidance, KeyValue, SoftGuidance, project
from compose_cnc.model import LocalFuser, Modulation
from compose_cnc.regions import Resize
from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, UsageError

__all__ = ["Preparation", "context_of", "depths_of", "guidance_of", "is_prepared", "modulation_of"]

_MODULATION, _KEY, _VALUE, _REGION = "cnc.modulation.", "cnc.key.", "cnc.value.", "cnc.region."
_DONE = ("depth_fg", "depth_bg", "tokens", "region")
"""Conditions that preparing replaces."""

T = TypeVar("T")


def is_prepared(encoded: Encoded) -> bool:
    """Whether these conditions come from a `Preparation`."""
    return any(name.startswith(_KEY) for name in encoded)


class Preparation:
    """Prepares conditions for latents of one size.

    Several conditions that hold the same tensors, such as the two sides of classifier-free
    guidance, share the work; keep one object for them all.

    Args:
        layers: Cross-attention layers of the UNet and of the local fuser, by name; see
            `attention.cross_layers`.
        local: The local fuser, if there is one.
        spatial: (h, w) of the latents.
        levels: How many resolutions the UNet has.
        resize: See `Resize`.
        dtype: What the networks compute in.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        local: LocalFuser | None,
        spatial: tuple[int, int],
        levels: int,
        resize: Resize,
        dtype: torch.dtype,
    ) -> None:
        self.layers, self.local, self.dtype = layers, local, dtype
        self.resize: Resize = resize
        self.spatial, self.sizes = spatial, regions.level_sizes(spatial, levels)
        self._known: dict[tuple[Any, ...], tuple[object, tuple[Tensor | None, ...]]] = {}

    @torch.no_grad()
    def __call__(self, encoded: Encoded) -> Encoded:
        """The prepared conditions; those that are prepared come back as they are.

        Raises:
            ShapeError: A depth map, mask or text does not fit, or holds what is no number.
            UsageError: There is no text, or depth without a local fuser, or tokens without
                regions.
        """
        if is_prepared(encoded):
            return encoded
        made: dict[str, Tensor] = {k: v for k, v in encoded.items() if k not in _DONE}
        depths = depths_of(encoded, self.local, self.spatial)
        if depths is not None:
            given = (encoded.get("depth_fg"), encoded.get("depth_bg"))
            made |= self._once("modulation", given, lambda: self._modulation(*depths))
        texts = (encoded.get("text"), encoded.get("tokens"))
        run = "" if depths is None else "local"
        made |= self._once(f"keys {run}", texts, lambda: self._keys(encoded, depths is not None))
        if "tokens" in encoded and "region" in encoded:
            made |= self._once("regions", (encoded["region"],), lambda: self._regions(encoded))
        return Encoded(made)

    def _once(self, what: str, given: tuple[Tensor | None, ...], make: Callable[[], T]) -> T:
        """Made anew only for other tensors; these are kept, so that their ids stay theirs."""
        key = (what, *(id(x) for x in given))
        if key not in self._known:
            self._known[key] = (make(), given)
        return cast(T, self._known[key][0])

    def _modulation(self, fg: Tensor, bg: Tensor) -> dict[str, Tensor]:
        for depth in (fg, bg):
            _check_depth(depth)
        made = cast(LocalFuser, self.local).features(fg.to(self.dtype), bg.to(self.dtype))
        return {_MODULATION + name: value for name, value in made.named().items()}

    def _keys(self, encoded: Encoded, with_local: bool) -> dict[str, Tensor]:
        context = context_of(encoded).to(self.dtype)
        made: dict[str, Tensor] = {}
        for name, layer in self.layers.items():
            if with_local or not name.startswith("local."):
                made[_KEY + name], made[_VALUE + name] = project(layer, context)
        return made

    def _regions(self, encoded: Encoded) -> dict[str, Tensor]:
        masks = encoded["region"]
        regions.check_shape(masks, self.spatial)
        regions.check_values(masks)
        return {
            f"{_REGION}{i}": regions.at_size(masks, size, self.resize)
            for i, size in enumerate(self.sizes)
        }


def depths_of(
    encoded: Encoded, local: LocalFuser | None, spatial: tuple[int, int]
) -> tuple[Tensor, Tensor] | None:
    """Both depth maps, a missing one as zeros; None when there is neither.

    Raises:
        ShapeError: A map is not (B, 3, H, W) of the size of the picture.
        UsageError: There is depth, but no local fuser to see it.
    """
    given = [encoded[name] for name in ("depth_fg", "depth_bg") if name in encoded]
    if not given:
        return None
    if local is None:
        raise UsageError(
            "this network has no local fuser to see depth",
            got=[name for name in ("depth_fg", "depth_bg") if name in encoded],
            remedy="build the CnCNetwork with a LocalFuser",
        )
    h, w = (local.factor * side for side in spatial)
    for depth in given:
        if tuple(depth.shape[1:]) != (3, h, w):
            raise ShapeError(
                "the depth does not fit the picture",
                got=tuple(depth.shape),
                expected=f"(B, 3, {h}, {w}) beside latents {spatial[0]} x {spatial[1]}",
                remedy="resize it; under windows, give each part the piece that its window shows",
            )
    nothing = torch.zeros_like(given[0])
    return encoded.get("depth_fg", nothing), encoded.get("depth_bg", nothing)


def _check_depth(depth: Tensor) -> None:
    if depth.device.type != "meta" and not bool(((depth >= 0) & (depth <= 1)).all()):
        low, high = (float(x) for x in depth.aminmax())
        raise ShapeError(
            "a depth map leaves its range",
            got=f"values from {low:.4g} to {high:.4g}",
            expected="values from 0 (far) to 1 (near), all of them numbers",
        )


def context_of(encoded: Encoded) -> Tensor:
    """Text, followed by the tokens of exemplars if there are some: (B, columns, D).

    Raises:
        UsageError: There is no text.
        ShapeError: The tokens have another width than the text.
    """
    if "text" not in encoded:
        raise UsageError(
            "this network needs a text embedding",
            got=sorted(encoded),
            expected="an Encoded with 'text' (B, L, D)",
            remedy="encode the prompt with the model's TextEncoder",
        )
    text, tokens = encoded["text"], encoded.get("tokens")
    if tokens is None:
        return text
    if tokens.dim() != 3 or tokens.shape[2] != text.shape[2]:
        raise ShapeError(
            "the tokens of the exemplars do not fit the text",
            got=tuple(tokens.shape),
            expected=f"(B, K N, {text.shape[2]})",
            remedy="use the global fuser that was trained for this model",
        )
    return torch.cat([text, tokens.to(text.dtype)], 1)


def modulation_of(encoded: Encoded) -> Modulation | None:
    """The modulation among prepared conditions; None when they hold no depth."""
    found = {
        k.removeprefix(_MODULATION): v for k, v in encoded.items() if k.startswith(_MODULATION)
    }
    return Modulation.from_named(found) if found else None


def guidance_of(
    encoded: Encoded,
    sizes: list[tuple[int, int]],
    rule: SoftGuidance,
    resize: Resize,
    dtype: torch.dtype,
) -> Guidance:
    """What the cross-attention layers are told, of prepared conditions or others.

    Raises:
        UsageError: There are tokens without a region to be heard in.
        ShapeError: The regions do not share out the tokens evenly, or were prepared for latents
            of another size.
    """
    prepared = {
        name.removeprefix(_KEY): KeyValue(value, encoded[_VALUE + name.removeprefix(_KEY)])
        for name, value in encoded.items()
        if name.startswith(_KEY)
    }
    text = encoded["text"].shape[1]
    tokens = encoded["tokens"].shape[1] if "tokens" in encoded else 0
    for key, _ in prepared.values():
        tokens = key.shape[1] - text
        break
    if rule == "off" or not tokens:
        return Guidance(prepared)
    seen = _seen(encoded, sizes, resize)
    count = seen[0].shape[1]
    if tokens % count:
        raise ShapeError(
            "the regions do not share the tokens out",
            got=f"{tokens} tokens for {count} regions",
            expected="as many tokens for each region, those of the region in front first",
        )
    shares = {x.shape[2] * x.shape[3]: regions.columns(x, text, tokens // count) for x in seen}
    return Guidance(prepared, shares, rule, dtype)


def _seen(encoded: Encoded, sizes: list[tuple[int, int]], resize: Resize) -> list[Tensor]:
    names = [f"{_REGION}{i}" for i in range(len(sizes))]
    if names[0] in encoded:
        seen = [encoded[name] for name in names]
        if tuple(seen[0].shape[2:]) != sizes[0]:
            raise ShapeError(
                "the regions were prepared for latents of another size",
                got=tuple(seen[0].shape[2:]),
                expected=sizes[0],
                remedy="prepare the conditions once for each size",
            )
        return seen
    if "region" not in encoded:
        raise UsageError(
            "there are tokens of exemplars, but no regions for them",
            got=sorted(name for name in encoded if not name.startswith("cnc.")),
            expected="'region' (B, K, H, W) beside 'tokens' (B, K N, D)",
            remedy="give masks, or turn soft guidance off",
        )
    regions.check_shape(encoded["region"], sizes[0])
    return [regions.at_size(encoded["region"], size, resize) for size in sizes]
