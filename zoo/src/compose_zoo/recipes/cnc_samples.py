"""What the recipes of `cnc-tiny` and its baselines are trained with: the same scenes for all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file
from torch import LongTensor, Tensor
from transformers import CLIPTokenizer

from compose_worlds.primitives import cache, canny
from compose_zoo.recipes import cnc_crossed, cnc_exemplars, cnc_scenes, guide, parts
from compose_zoo.recipes.denoiser import CAPTIONS, encode
from compose_zoo.recipes.sd_tiny import latents_of

SCENES = guide.SCENES
"""Those of `controlnet-tiny-depth`."""
LAYERED = SCENES[: 2 * len(cnc_crossed.PAIRS)]
"""The scenes in layers: as many as there are pictures of pairs (`cnc_crossed`)."""

Kind = Literal["depth", "edges", "merged", "map"]
"""`"depth"`: two depth maps, two exemplars and a mask. `"edges"`: two maps of edges.
`"merged"`: one depth map and one exemplar of the whole scene. `"map"`: that depth map alone."""


@dataclass(frozen=True)
class SceneSamples:
    """Scenes, plain and mirrored, under several captions each; see `compose_cnc` `Samples`.

    Attributes:
        latents: (2 N, 4, h, w): of the pictures as they are, then mirrored.
        tokens: (2 N CAPTIONS, L), in the same order.
        maps: `depth_fg` and perhaps `depth_bg`, (N, H, W) each: inverse depth in 1 / metre,
            which is stretched to [0, 1], or edges (bool).
        mask: (N, H, W) bool; None without a foreground.
        embeddings: `embedding_fg` and perhaps `embedding_bg`, (2 N, E) each.
    """

    latents: Tensor
    tokens: Tensor
    maps: dict[str, Tensor]
    mask: Tensor | None
    embeddings: dict[str, Tensor]

    def __len__(self) -> int:
        """Pictures, plain and mirrored, times captions."""
        return len(self.tokens)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """The samples of these numbers (B,)."""
        number = indices // CAPTIONS
        count = len(self.latents) // 2
        scene, mirrored = number % count, number >= count
        found = {"latent": self.latents[number].float(), "tokens": self.tokens[indices]}
        seen = {name: _three(value[scene]) for name, value in self.maps.items()}
        if self.mask is not None:
            seen["mask"] = self.mask[scene][:, None].float()
        for value in seen.values():
            value[mirrored] = value[mirrored].flip(-1)
        told = {name: value[number].float() for name, value in self.embeddings.items()}
        return {**found, **seen, **told}


def _three(maps: Tensor) -> Tensor:
    """Maps (B, H, W) as (B, 3, H, W) in [0, 1]."""
    if maps.dtype == torch.bool:
        return maps.float()[:, None].repeat(1, 3, 1, 1)
    return guide.condition(maps)


def load(
    runs: Path, folder: Path, vae: AutoencoderTiny, kind: Kind, scenes: range = SCENES
) -> SceneSamples:
    """The samples of one kind.

    Args:
        runs: The folder of all runs, with the caches of scenes and the latents of `sd-tiny`.
        folder: Keeps the embeddings.
        vae: Of `sd-tiny`.
        kind: See `Kind`.
        scenes: Their numbers, from 0 on.
    """
    drawn = runs / "cache" / "primitives"
    kept = runs / "sd-tiny"
    kept.mkdir(parents=True, exist_ok=True)
    latents, tokens = _first(*latents_of(kept, drawn, vae), len(scenes))
    if kind in ("merged", "map"):
        maps = {"depth_fg": cache.load(drawn, scenes, ("depth",))["depth"]}
        told: dict[str, Tensor] = {}
        if kind == "merged":
            told["embedding_fg"] = _embeddings(runs, folder, scenes)["embedding_fg"]
        return SceneSamples(latents, tokens, maps, None, told)
    apart = runs / "cache" / "triplets"
    maps = cnc_scenes.load(apart, scenes, ("depth_fg", "depth_bg"))
    whole = cache.load(drawn, scenes, ("picture",))["picture"]
    behind = cnc_scenes.load(apart, scenes, ("background",))["background"]
    told = {} if kind == "edges" else _embeddings(runs, folder, scenes)
    return _layered(latents, tokens, maps, whole, behind, told)


def mixed(runs: Path, folder: Path, vae: AutoencoderTiny, kind: Kind) -> SceneSamples:
    """Scenes in layers and as many pictures of `cnc_crossed`; `kind` is `"depth"` or `"edges"`."""
    found = load(runs, folder, vae, kind, LAYERED)
    return joined(found, crossed(runs, folder, vae, kind, cnc_crossed.PAIRS))


def crossed(
    runs: Path, folder: Path, vae: AutoencoderTiny, kind: Kind, pairs: range
) -> SceneSamples:
    """Samples of `cnc_crossed`, of kind `"depth"` or `"edges"`; see `load`."""
    words = CLIPTokenizer.from_pretrained(parts.folder_of(runs) / "tokenizer")
    made = cnc_crossed.load(runs / "cache" / "crossed", words, pairs)
    whole, behind = made.pictures, made.backgrounds
    kept = folder / f"crossed-{pairs.start}-{pairs.stop}.safetensors"
    if not kept.exists():
        found = {"latents": torch.cat([encode(vae, x) for x in (whole, whole.flip(-1))])}
        if kind == "depth":
            see = cnc_exemplars.encoder(cnc_exemplars.folder_of(runs))
            found["embedding_fg"] = cnc_exemplars.embed(see, whole)
            found["embedding_bg"] = cnc_exemplars.embed(see, behind)
        _keep(found, kept)
    told = load_file(kept)
    maps = {"depth_fg": made.depth_fg, "depth_bg": made.depth_bg}
    return _layered(told.pop("latents"), made.tokens, maps, whole, behind, told)


def _layered(
    latents: Tensor,
    tokens: Tensor,
    maps: dict[str, Tensor],
    whole: Tensor,
    behind: Tensor,
    told: dict[str, Tensor],
) -> SceneSamples:
    """With exemplars, the maps of depth; without, those of edges."""
    mask = maps["depth_fg"] > 0
    return SceneSamples(
        latents, tokens, maps if told else edges_of(whole, behind, mask), mask, told
    )


def joined(one: SceneSamples, other: SceneSamples) -> SceneSamples:
    """All samples of two of one kind; the numbers of both change."""

    def both(a: Tensor, b: Tensor) -> Tensor:
        """Halves are the plain and the mirrored ones."""
        halves = zip(a.chunk(2), b.chunk(2), strict=True)
        return torch.cat([part for pair in halves for part in pair])

    if one.mask is None or other.mask is None:
        raise ValueError("only scenes in layers can be joined")
    return SceneSamples(
        both(one.latents, other.latents),
        both(one.tokens, other.tokens),
        {name: torch.cat([one.maps[name], other.maps[name]]) for name in one.maps},
        torch.cat([one.mask, other.mask]),
        {name: both(one.embeddings[name], other.embeddings[name]) for name in one.embeddings},
    )


def edges_of(whole: Tensor, behind: Tensor, mask: Tensor, batch: int = 512) -> dict[str, Tensor]:
    """Edges (N, H, W) bool of foregrounds and backgrounds; uint8 pictures, bool masks."""
    parts = zip(whole.split(batch), mask.split(batch), strict=True)
    front = [canny.canny(canny.foreground(x.float() / 255, m)) for x, m in parts]
    back = [canny.canny(x.float() / 255) for x in behind.split(batch)]
    return {"depth_fg": torch.cat(front), "depth_bg": torch.cat(back)}


def _first(latents: Tensor, tokens: Tensor, use: int) -> tuple[Tensor, Tensor]:
    """The first scenes, plain and mirrored, with their captions."""
    half = len(latents) // 2
    captions = len(tokens) // 2
    pick = use * (captions // half)
    return (
        torch.cat([latents[:use], latents[half : half + use]]),
        torch.cat([tokens[:pick], tokens[captions : captions + pick]]),
    )


def _embeddings(runs: Path, folder: Path, scenes: range) -> dict[str, Tensor]:
    """Of the whole pictures, which stand for the foreground as in the paper, and backgrounds."""
    kept = folder / f"embeddings-{scenes.start}-{scenes.stop}.safetensors"
    if not kept.exists():
        made = cnc_exemplars.encoder(cnc_exemplars.folder_of(runs))
        whole = cache.load(runs / "cache" / "primitives", scenes, ("picture",))["picture"]
        behind = cnc_scenes.load(runs / "cache" / "triplets", scenes, ("background",))
        found = {
            "embedding_fg": cnc_exemplars.embed(made, whole),
            "embedding_bg": cnc_exemplars.embed(made, behind["background"]),
        }
        _keep(found, kept)
    return load_file(kept)


def _keep(found: dict[str, Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    save_file(found, partial)
    partial.replace(path)
