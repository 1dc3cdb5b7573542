"""Measures the models of domain expansion on what was held out; prints what a manifest records.

python -m compose_zoo.recipes.dde_measure dde-music-tiny --runs runs
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from compose_core.zoo import resolve
from compose_dde.classifier import Classifier
from compose_dde.coordinator import Transformer
from compose_dde.domain import span
from compose_dde.folder import Expansion, load_expansion
from compose_dde.training import DenoisingTask
from compose_worlds.dice import Dice
from compose_worlds.positions.scene import APART, places
from compose_zoo.recipes import dde_maps_tiny, dde_music_tiny, dde_positions_tiny
from compose_zoo.recipes.dde_lands import Lands
from compose_zoo.recipes.dde_songs import Songs
from compose_zoo.recipes.dde_toys import Toys

COUNT = 256
"""Samples of a loss, at as many even quantiles of the noise levels of training."""


def music(made: Expansion, cache: Path) -> Iterator[tuple[str, float]]:
    """Losses of the base model and of each coordinator.

    Args:
        made: The model.
        cache: Folder of rendered samples.
    """
    recipe, songs = dde_music_tiny, cache / "stems"
    held = Songs(songs, recipe.WINDOW, recipe.UNHEARD)
    yield _loss("base", recipe.base_task(made.base, held, held))
    for name, (_, stride) in recipe.coordinators().items():
        frames = span(recipe.windows_at(stride), recipe.WINDOW, stride)
        held = Songs(songs, frames, recipe.UNHEARD)
        one = made.coordinators[name]
        yield from _pair(name, recipe.coordinator_task(made.base, one, stride, held, held))


def positions(made: Expansion, cache: Path) -> Iterator[tuple[str, float]]:
    """Losses of the base model and of the coordinator; see `marks` for the classifier."""
    recipe, toys = dde_positions_tiny, cache / "toys"
    held = Toys(toys, recipe.UNSEEN)
    yield _loss("base", recipe.base_task(made.base, held, held))
    held = Toys(toys, recipe.UNSEEN, least=2)
    one = cast(Transformer, made.coordinators["full"])
    yield from _pair("coordinator", recipe.coordinator_task(made.base, one, held, held))


def maps(made: Expansion, cache: Path) -> Iterator[tuple[str, float]]:
    """Losses of the base model and of the coordinator."""
    recipe = dde_maps_tiny
    held = Lands(cache / "lands", recipe.UNSEEN)
    yield _loss("base", recipe.base_task(made.base, held, held))
    one = cast(Transformer, made.coordinators["full"])
    yield from _pair("coordinator", recipe.coordinator_task(made.base, one, held, held))


def marks(classifier: Classifier, cache: Path) -> Iterator[tuple[str, float]]:
    """How often the classifier sees toys that are there, and some that are not.

    Args:
        classifier: Of positions.
        cache: Folder of rendered samples.
    """
    held = Toys(cache / "toys", dde_positions_tiny.UNSEEN)
    seen: list[Tensor] = []
    absent: list[Tensor] = []
    for number in range(len(held)):
        batch = held.batch(cast(Any, torch.tensor([number])))
        there = batch["positions"][0]
        there = there[there[:, 0] >= 0]
        seen.append(classifier.holds(batch["x"], there[None])[0])
        other = torch.tensor(places(Dice(number, 77), 4, apart=APART))
        far = torch.cdist(other, there).amin(1) > APART
        absent.append(classifier.holds(batch["x"], other[None])[0][far])
    yield "classifier: toys it sees", float(torch.cat(seen).double().mean())
    yield "classifier: places without one where it does", float(torch.cat(absent).double().mean())


def _loss(name: str, task: DenoisingTask) -> tuple[str, float]:
    task.validated = COUNT
    return f"{name}: loss", task.validate(task.modules)["loss"]


def _pair(name: str, task: DenoisingTask) -> Iterator[tuple[str, float]]:
    task.validated = COUNT
    found = task.validate(task.modules)
    yield f"{name}: loss", found["loss"]
    yield f"{name}: loss of the plain average", found["loss_of_the_mean"]


MODELS: Mapping[str, Callable[[Expansion, Path], Iterator[tuple[str, float]]]] = {
    "dde-music-tiny": music,
    "dde-positions-tiny": positions,
    "dde-maps-tiny": maps,
}


def main(given: Sequence[str] | None = None) -> None:
    """Print tables of scores."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", choices=list(MODELS))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    args = parser.parse_args(given)
    folder, cache = resolve(args.model), args.runs / "cache"
    found = list(MODELS[args.model](load_expansion(folder), cache))
    if args.model == "dde-positions-tiny":
        found += marks(Classifier.load(folder), cache)
    json.dump(dict(found), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
