"""CGI: a panorama against the one of diffusers, and what its width costs.

Bars: at most 0.8 of the time of diffusers' `StableDiffusionPanoramaPipeline` with the same
weights, views, steps and guidance, at equal output (within 1e-4); 64 x 4096 pixels in the memory
of 64 x 512 and the canvas itself, with as many rows in a call; and a cost that grows with the
width to the power of 1.1 at most.

The peer has its windows and its 8 pixels per cell built in, so it is given the views of the tiny
model by a subclass. By default it asks about one view at a time; timed is also one that asks about
all at once (`view_batch_size`). With more than one picture per prompt it pairs the two sides of
guidance wrongly; by how much its pictures then differ from those made one by one is recorded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import measure
import torch
from diffusers import DDIMScheduler, StableDiffusionPanoramaPipeline

from compose_cgi import CGIMethod, CGIPipeline
from compose_core.evaluate import Local
from compose_core.views import cover

PROMPT, GUIDANCE = "a red sphere on grass", 5.0
WINDOW, STRIDE, FACTOR, HEIGHT = 16, 4, 4, 64
WIDTHS = (512, 1024, 2048, 4096)
ROWS = 16


class SameViews(StableDiffusionPanoramaPipeline):
    """The peer under the views of the tiny model."""

    def get_views(
        self,
        panorama_height: int,
        panorama_width: int,
        window_size: int = WINDOW,
        stride: int = STRIDE,
        circular_padding: bool = False,
    ) -> list[Any]:
        """(top, bottom, left, right) of each window, in cells."""
        size = (panorama_height // FACTOR, panorama_width // FACTOR)
        return [
            (w.start[0], w.start[0] + w.size[0], w.start[1], w.start[1] + w.size[1])
            for w in cover(size, window_size, stride, (False, circular_padding))
        ]


def main() -> None:
    """Time in turns, then measure memory and growth."""
    torch.set_num_threads(1)
    options = measure.arguments(__doc__, rounds=3, steps=5, width=256)
    ours = CGIPipeline.from_pretrained("sd-tiny")
    ours.set_progress_bar_config(disable=True)
    wide: dict[str, Callable[[], object]] = {
        f"{width}": lambda width=width: panorama(ours, width, 2, 0, kappa=0.7, kind="pt")
        for width in (WIDTHS[0], WIDTHS[-1])
    }
    if measure.peak_asked(options, wide):
        return
    theirs = peer(ours)
    width, steps = options.width, options.steps
    contenders: dict[str, Callable[[], object]] = {
        "ours": lambda: panorama(ours, width, steps, 0),
        "ours_with_step_sizes": lambda: panorama(ours, width, steps, 0, kappa=0.7),
        "diffusers": lambda: their_panorama(theirs, width, steps, [0], 1),
        "diffusers_all_views_at_once": lambda: their_panorama(theirs, width, steps, [0], 1000),
    }
    mine = panorama(ours, width, steps, 0)
    single = their_panorama(theirs, width, steps, [0], 1)
    pair = their_panorama(theirs, width, steps, [0, 1], 1)
    together = panorama(ours, width, steps, [0, 1])
    seconds = measure.in_turns(contenders, options.rounds)
    peaks = measure.peaks(wide)
    canvas = (WIDTHS[-1] - WIDTHS[0]) * HEIGHT * 3 * 4 / 2**20
    row: dict[str, Any] = {
        "subject": "sd-tiny",
        "pixels": [width, HEIGHT],
        "views": len(theirs.get_views(HEIGHT, width)),
        "steps": steps,
        "rounds": options.rounds,
        "seconds": measure.medians(seconds),
        "over_diffusers": measure.ratio(seconds, "ours", "diffusers"),
        "over_diffusers_all_views_at_once": measure.ratio(
            seconds, "ours", "diffusers_all_views_at_once"
        ),
        "step_sizes_over_none": measure.ratio(seconds, "ours_with_step_sizes", "ours"),
        "difference": float((mine - single).abs().max()),
        "difference_in_a_batch": {
            "ours": float((together[:1] - mine).abs().max()),
            "diffusers": float((pair[:1] - single).abs().max()),
        },
        "peak_megabytes": peaks,
        "megabytes_of_the_wider_canvas": canvas,
        "growth": growth(ours),
        "bars": {
            "over_diffusers": 0.8,
            "difference": 1e-4,
            "peak_of_4096_over_512_and_canvas": 1.0,
            "exponent": 1.1,
        },
    }
    row["peak_of_4096_over_512_and_canvas"] = peaks["4096"] / (peaks["512"] + canvas)
    measure.write("cgi", row, options.out)


def noise(seed: int, width: int) -> torch.Tensor:
    """The starting noise of a picture."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, 4, HEIGHT // FACTOR, width // FACTOR), generator=generator)


def panorama(
    pipe: CGIPipeline,
    width: int,
    steps: int,
    seeds: int | list[int],
    *,
    kappa: float = 1.0,
    kind: str = "latent",
) -> torch.Tensor:
    """What this package makes."""
    seeds = [seeds] if isinstance(seeds, int) else seeds
    overlap = 1 - STRIDE / WINDOW if kind == "latent" else 0.5
    out: Any = pipe.panorama(
        PROMPT,
        width=width,
        height=HEIGHT,
        method=CGIMethod(kappa=kappa, overlap=overlap, control=None),
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        num_images_per_prompt=len(seeds),
        latents=torch.cat([noise(seed, width) for seed in seeds]),
        generator=torch.Generator().manual_seed(0),
        evaluator=Local(ROWS) if kind == "pt" else None,
        output_type=kind,
    )
    return out.images


def peer(pipe: CGIPipeline) -> SameViews:
    """The peer with the same parts."""
    parts: Any = pipe.components
    make: Any = SameViews  # its annotations do not know that parts may be left out
    theirs = make(
        vae=parts["vae"],
        text_encoder=parts["text_encoder"],
        tokenizer=parts["tokenizer"],
        unet=parts["unet"],
        scheduler=DDIMScheduler.from_config(parts["scheduler"].config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    theirs.set_progress_bar_config(disable=True)
    return theirs


def their_panorama(
    pipe: SameViews, width: int, steps: int, seeds: list[int], views: int
) -> torch.Tensor:
    """What the peer makes, with that many views in a call."""
    out: Any = pipe(
        PROMPT,
        height=HEIGHT,
        width=width,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        num_images_per_prompt=len(seeds),
        latents=torch.cat([noise(seed, width) for seed in seeds]),
        view_batch_size=views,
        output_type="latent",
    )
    return out.images


def growth(pipe: CGIPipeline) -> dict[str, Any]:
    """Seconds by width, and the exponent that fits them: the slope in logarithms."""
    seconds: dict[str, float] = {}
    for width in WIDTHS:
        start = time.process_time()
        panorama(pipe, width, 2, 0, kappa=0.7, kind="pt")
        seconds[str(width)] = time.process_time() - start
    x = [math.log(width) for width in WIDTHS]
    y = [math.log(value) for value in seconds.values()]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return {"seconds": seconds, "exponent": slope / sum((a - mean_x) ** 2 for a in x)}


if __name__ == "__main__":
    main()
