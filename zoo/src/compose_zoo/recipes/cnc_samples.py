"""What the recipes of `cnc-tiny` and its baselines are trained with: the same scenes for all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file
from torch import LongTensor, Tensor

from compose_worlds.primitives import cache, canny
from compose_zoo.recipes import cnc_exemplars, cnc_scenes, guide
from compose_zoo.recipes.denoiser import CAPTIONS
from compose_zoo.recipes.sd_tiny import latents_of

SCENES = guide.SCENES
"""Those of `controlnet-tiny-depth`."""

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
    mask = maps["depth_fg"] > 0
    if kind == "depth":
        return SceneSamples(latents, tokens, maps, mask, _embeddings(runs, folder, scenes))
    whole = cache.load(drawn, scenes, ("picture",))["picture"]
    behind = cnc_scenes.load(apart, scenes, ("background",))["background"]
    return SceneSamples(latents, tokens, edges_of(whole, behind, mask), mask, {})


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
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial")
        save_file(found, partial)
        partial.replace(kept)
    return load_file(kept)
