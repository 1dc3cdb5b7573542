"""The baseline: one prompt for the whole, one for each layer in its region.

In each cell the predictions of all layers are averaged by soft masks (`Regional`). Nearer layers
cover farther ones. For the first part of the walk a layer sees its own region over a random plain
background, so that its object is drawn inside the region and not across its edge (Bar-Tal et al.
2023, MultiDiffusion, section 5.2 "bootstrapping"). Canvases larger than what the network was
trained on are covered by windows that agree by `Consensus`; closed ones go all the way round.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.codec import Codec
from compose_core.compose import Consensus, Regional
from compose_core.denoiser import Bound, Denoiser, Guided, State, Step, Switched
from compose_core.errors import UsageError
from compose_core.evaluate import Answers, Questions
from compose_core.images import Array
from compose_core.method import Method, Plan, latent_shape, too_long
from compose_core.noise import Generators, normal, normal_like
from compose_core.prediction import Prediction
from compose_core.scene import Layer, Scene, visible
from compose_core.scene.remarks import contradicted, doubled
from compose_core.schedule import Level
from compose_core.views import Whole, Window, cover

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["Bootstrapped", "RegionalMethod", "palette", "soften"]

_COVERED = 0.9
"""Share of a region from which on what covers it is its ground."""

_VISIBLE = 1e-3
"""Share below which a layer has no say in a cell."""


@final
class RegionalMethod(Method):
    """Regional prompts over a base prompt.

    Args:
        bootstrap: Share of the steps during which layers see a plain background; 0 to 1.
        apart: Share of the steps during which a layer is also guided away from the prompts of the
            others, unless it has a negative of its own; 0 to 1. A model that was trained on
            complete captions otherwise takes the object of another layer for the one it was asked
            for, and leaves its own region empty.
        soften: Blur of the masks, in latent cells (standard deviation); 0 keeps them as they are.
        base_share: How much of every region the base prompt keeps; 0 to 1. It ties the layers
            together (light, ground) at the price of weaker layers.
        overlap: Share of a window that neighbours have in common, on wide canvases; 0 to 1.
    """

    name: ClassVar[str] = "regional"
    summary: ClassVar[str] = "a prompt for each region over a base prompt (the baseline)"
    accepts: ClassVar[frozenset[str]] = frozenset(
        {"prompt", "negative", "box", "mask", "z", "weight", "wrap"}
    )

    def __init__(
        self,
        bootstrap: float = 0.8,
        apart: float = 0.3,
        soften: float = 0.5,
        base_share: float = 0.0,
        overlap: float = 0.5,
    ) -> None:
        shares = {
            "bootstrap": bootstrap,
            "apart": apart,
            "base_share": base_share,
            "overlap": overlap,
        }
        for key, value in shares.items():
            if not 0 <= value <= 1:
                raise UsageError(f"{key} is a share", got=value, expected="0 to 1")
        self.bootstrap, self.apart, self.soften = bootstrap, apart, soften
        self.base_share, self.overlap = base_share, overlap

    def plan(
        self,
        scene: Scene,
        model: Model,
        *,
        device: torch.device | str,
        generator: Generators,
        guidance: float,
        steps: int,
    ) -> Plan:
        """See `Method.plan`."""
        shape = latent_shape(scene, model)
        wrap = (False, scene.wrap)
        amodal, shares = self._masks(scene, shape[1:], wrap)
        amodal, shares = amodal.to(device), shares.to(device)
        leaves = _Leaves(model, guidance, device)
        base = leaves.guided(scene.prompt, scene.negative)
        layers = [
            leaves.layer(layer.prompt or scene.prompt, negative, rivals, self.apart)
            for layer, negative, rivals in self._asked(scene, amodal)
        ]
        colours = palette(model.codec).to(device) if self.bootstrap and layers else None
        windows = self._windows(shape[1:], model.sample_size, wrap)
        parts: list[Denoiser] = []
        for window in windows:
            here = window.observe(shares)
            booted = [
                layer
                if colours is None
                else Bootstrapped(
                    layer, window.observe(mask), colours, self.bootstrap, float(mask.max())
                )
                for layer, mask in zip(layers, amodal, strict=True)
            ]
            parts.append(_regional([base, *booted], here))
        whole = len(parts) == 1 and isinstance(windows[0], Whole)
        denoiser = parts[0] if whole else Consensus(parts, windows, "hann")
        return Plan(
            denoiser=denoiser,
            shape=shape,
            wrap=wrap,
            warnings=(
                *too_long(scene, model.text),
                *_unseen(scene, shares),
                *doubled(scene),
                *contradicted(scene, _by_name(scene, amodal)),
            ),
        )

    def _masks(
        self, scene: Scene, spatial: tuple[int, int], wrap: tuple[bool, bool]
    ) -> tuple[Tensor, Tensor]:
        """Amodal masks (K, h, w), and shares (1 + K, h, w) of base and layers, summing to one."""
        regions = {
            name: soften(torch.tensor(region), self.soften, wrap)
            for name, region in scene.regions(*spatial).items()
        }
        seen = visible({name: region.numpy() for name, region in regions.items()})
        layers = torch.stack([torch.tensor(seen[x.name]) for x in scene.ordered])
        weights = torch.tensor([x.weight for x in scene.ordered]).view(-1, 1, 1)
        rest = (1 - layers.sum(0)).clamp_min(0)
        # A weight shifts the balance where regions mix; alone in a cell, a layer keeps it.
        layers = layers * (1 - self.base_share) * weights
        base = rest + self.base_share * (1 - rest)
        base = base.clamp_min(1e-4)  # where all weights are zero the base takes over
        shares = torch.cat([base[None], layers])
        return torch.stack(list(regions.values())), shares / shares.sum(0)

    def _asked(self, scene: Scene, amodal: Tensor) -> Iterable[tuple[Layer, str, str]]:
        """Layers, their negatives, and what keeps them apart; `amodal` masks are (K, h, w).

        A layer that covers the region of another is its ground; these two are no rivals, and
        neither are two that ask for the same.
        """
        for layer, own in zip(scene.ordered, amodal, strict=True):
            if layer.negative is not None:
                yield layer, layer.negative, layer.negative
                continue
            rivals = [
                other.prompt
                for other, mask in zip(scene.ordered, amodal, strict=True)
                if other.prompt
                and other.prompt != layer.prompt
                and float((own * mask).sum()) < _COVERED * min(float(own.sum()), float(mask.sum()))
            ]
            said = dict.fromkeys(x for x in (scene.negative, *rivals) if x)
            yield layer, scene.negative, " and ".join(said)

    def _windows(
        self, spatial: tuple[int, int], trained: tuple[int, int], wrap: tuple[bool, bool]
    ) -> list[Whole] | list[Window]:
        if all(n <= t for n, t in zip(spatial, trained, strict=True)) and not any(wrap):
            return [Whole()]
        size = tuple(min(n, t) for n, t in zip(spatial, trained, strict=True))
        stride = tuple(max(round(n * (1 - self.overlap)), 1) for n in size)
        return cover(spatial, size, stride, wrap)


class _Leaves:
    """Prompts to denoisers; equal prompts share one `Encoded`, so they are asked once."""

    def __init__(self, model: Model, guidance: float, device: torch.device | str) -> None:
        self._model, self._guidance, self._device = model, guidance, device
        self._bound: dict[str, Bound] = {}

    def guided(self, prompt: str, negative: str) -> Denoiser:
        if self._guidance == 1:
            return self._leaf(prompt)
        return Guided(self._leaf(prompt), self._leaf(negative), self._guidance)

    def layer(self, prompt: str, negative: str, rivals: str, share: float) -> Denoiser:
        """Guided away from `rivals` for a share of the steps, then from `negative`."""
        if negative == rivals or not share or self._guidance == 1:
            return self.guided(prompt, negative)
        away: Denoiser = self._leaf(rivals)
        if share < 1:
            away = Switched([away, self._leaf(negative)], [0.0, share])
        return Guided(self._leaf(prompt), away, self._guidance)

    def _leaf(self, prompt: str) -> Bound:
        if prompt not in self._bound:
            encoded = self._model.text.encode(prompt).to(self._device)
            self._bound[prompt] = Bound(self._model.network, encoded)
        return self._bound[prompt]


def _regional(parts: list[Denoiser], shares: Tensor) -> Denoiser:
    """Only the parts that have a say somewhere in this window."""
    present = [i for i, share in enumerate(shares) if bool((share > _VISIBLE).any())]
    if len(present) == 1:
        return parts[present[0]]
    return Regional([parts[i] for i in present], shares[present])


@final
class Bootstrapped(Denoiser):
    """A layer's denoiser that at first sees its region alone, over a plain background.

    While bootstrapping it is asked about `m x_t + (1 - m) (alpha b + sigma eps)`, with a colour
    `b` and noise `eps` drawn anew at every step. Its prediction outside the region means little;
    whoever merges it gives it no weight there.

    Args:
        part: The layer.
        mask: Its region (h, w), hidden parts included; cells above half of the maximum are inside.
            Where none is, as in a window beside the region, it sees everything.
        colours: Latents (P, C) of plain colours to draw from.
        share: Share of the steps that bootstrap, from the first on.
        peak: The maximum, where `mask` is a window of a larger region; by default its own.
    """

    mask: Tensor
    colours: Tensor

    def __init__(
        self,
        part: Denoiser,
        mask: Tensor,
        colours: Tensor,
        share: float,
        peak: float | None = None,
    ) -> None:
        super().__init__()
        self.part = part
        self.share = share
        inside = mask > 0.5 * (float(mask.max()) if peak is None else peak)
        inside = inside if bool(inside.any()) else torch.ones_like(inside)
        self.register_buffer("mask", inside, persistent=False)
        self.register_buffer("colours", colours, persistent=False)

    def init(self, x_t: Tensor, generator: Generators | None = None) -> _Boot:
        """No background yet."""
        return _Boot(self.part.init(x_t, generator), None)

    def adapt(self, state: _Boot, x_t: Tensor, step: Step) -> _Boot:
        """Draw this step's background, or drop it when bootstrapping is over."""
        if step.index >= self.share * step.total:
            return _Boot(self.part.adapt(state.part, x_t, step), None)
        count = x_t.shape[0]
        drawn = normal((count, len(self.colours)), step.generator, device=x_t.device)
        colour = self.colours[drawn.argmax(1)].to(x_t).reshape(count, -1, 1, 1)
        ground = _Ground(colour, normal_like(x_t, step.generator))
        seen = self._seen(x_t, step.now, ground)
        return _Boot(self.part.adapt(state.part, seen, step), ground)

    def inner(self, state: _Boot) -> Iterable[tuple[str, Denoiser, State]]:
        """The layer."""
        return [("layer", self.part, state.part)]

    def traced(self, state: _Boot) -> Mapping[str, Tensor]:
        """The colour of this step's background, while there is one."""
        return {} if state.ground is None else {"ground": state.ground.colour}

    def queries(self, x_t: Tensor, level: Level, state: _Boot) -> Questions:
        """What the layer asks about the region over its background."""
        return self.part.queries(self._seen(x_t, level, state.ground), level, state.part)

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: _Boot) -> Prediction:
        """The layer's `x0`, as an answer about `x_t`."""
        seen = self._seen(x_t, level, state.ground)
        return self.part.combine(answers, seen, level, state.part).at(x_t, level)

    def _seen(self, x_t: Tensor, level: Level, ground: _Ground | None) -> Tensor:
        if ground is None:
            return x_t
        alpha, sigma = level.to_like(x_t)
        return torch.where(self.mask, x_t, alpha * ground.colour + sigma * ground.eps)


@dataclass(frozen=True)
class _Ground:
    colour: Tensor  # (B, C, 1, 1)
    eps: Tensor  # like x_t


@dataclass(frozen=True)
class _Boot:
    part: Any
    ground: _Ground | None


def palette(codec: Codec, steps: int = 3) -> Tensor:
    """Latents (steps^3, C) of plain colours spread evenly over the cube.

    Each is encoded as a small plain picture, of which the middle is kept.
    """
    values = torch.linspace(-0.9, 0.9, steps)
    colours = torch.cartesian_prod(values, values, values)
    pictures = colours[:, :, None, None].expand(-1, -1, 8 * codec.factor, 8 * codec.factor)
    with torch.no_grad():
        return codec.encode(pictures)[:, :, 3:5, 3:5].mean((2, 3))


def soften(mask: Tensor, sigma: float, wrap: tuple[bool, bool] = (False, False)) -> Tensor:
    """Blur a mask (h, w) with a Gaussian of `sigma` cells; stays in [0, 1].

    Closed axes are blurred across their seam; at open edges the mask goes on as it ends.
    """
    if sigma <= 0:
        return mask
    for axis, closed in enumerate(wrap):
        radius = min(math.ceil(3 * sigma), mask.shape[axis])
        x = torch.arange(-radius, radius + 1, dtype=mask.dtype)
        kernel = torch.exp(-0.5 * (x / sigma) ** 2)
        lines = mask.movedim(axis, -1)[:, None]
        lines = F.pad(lines, (radius, radius), mode="circular" if closed else "replicate")
        blurred = F.conv1d(lines, (kernel / kernel.sum())[None, None])
        mask = blurred[:, 0].movedim(-1, axis)
    return mask.clamp(0, 1)


def _unseen(scene: Scene, shares: Tensor) -> list[str]:
    """One sentence for each layer without a say; `shares` are of the base and the layers."""
    return [
        f"layer {layer.name!r} is nowhere visible: nearer layers cover it, its weight is 0, or "
        "it is smaller than a cell of the latents"
        for layer, share in zip(scene.ordered, shares[1:], strict=True)
        if not bool((share > _VISIBLE).any())
    ]


def _by_name(scene: Scene, amodal: Tensor) -> dict[str, Array]:
    return {x.name: mask.cpu().numpy() for x, mask in zip(scene.ordered, amodal, strict=True)}
