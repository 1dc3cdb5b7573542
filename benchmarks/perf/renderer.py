"""Pictures per second and core of the ray-caster, with every label and without any.

The peer is one dot product per ray, over as many rays as the pictures take: it says how fast the
machine was in this run.
"""

from __future__ import annotations

import measure
import torch

from compose_worlds.primitives import draw
from compose_worlds.primitives.labels import background, centres, edges, labels
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import World, stack

SIZE, SAMPLES = 64, 4


def main() -> None:
    """Render one batch in turns with and without labels."""
    options = measure.arguments(__doc__, rounds=5, batch=64)
    torch.set_num_threads(1)
    scenes = stack([draw.scene(seed)[0] for seed in range(options.batch)])
    rays = torch.ones(options.batch * SIZE * SIZE * SAMPLES, 3)
    runs = {
        "pictures": lambda: picture(scenes, (SIZE, SIZE), samples=SAMPLES),
        "with_labels": lambda: with_labels(scenes),
        "one_product_per_ray": lambda: (rays * rays).sum(-1),
    }
    if measure.peak_asked(options, runs):
        return
    held = measure.peaks(runs)
    seconds = measure.in_turns(runs, options.rounds)
    speed = {name: options.batch / took for name, took in measure.medians(seconds).items()}
    row = {
        "size": SIZE,
        "samples": SAMPLES,
        "batch": options.batch,
        "objects": int((scenes.shape >= 0).sum()) / options.batch,
        "pictures_per_second_and_core": speed["pictures"],
        "with_labels_per_second_and_core": speed["with_labels"],
        "peak_megabytes": held,
        "with_labels_over_pictures": measure.ratio(seconds, "with_labels", "pictures"),
        "pictures_over_one_product": measure.ratio(seconds, "pictures", "one_product_per_ray"),
    }
    measure.write("renderer", row, options.out)


def with_labels(scenes: World) -> None:
    """Render the picture, its hidden background and every dense label."""
    shape = (SIZE, SIZE)
    rgb, known = picture(scenes, shape, samples=SAMPLES), labels(scenes, shape)
    edges(rgb, known)
    centres(scenes)
    background(scenes, shape, samples=SAMPLES)


if __name__ == "__main__":
    main()
