"""How `dde-maps-tiny` was made: a base model of small maps, and a coordinator of large ones.

The sizes of the paper, halved: parts of 32 every 16, trained on 48, asked for 64 and more.
"""

from __future__ import annotations

from pathlib import Path

from compose_core.train import TrainConfig
from compose_dde.coordinator import CoordinatorConfig, Transformer
from compose_dde.folder import Expansion, Walk
from compose_dde.networks import EDMNetwork, MapUNet
from compose_dde.precondition import Spread
from compose_dde.training import BaseOfMaps, CoordinatedMaps, DenoisingTask
from compose_worlds.terrain.places import HELD_OUT
from compose_zoo.recipes import stages
from compose_zoo.recipes.dde_lands import Lands
from compose_zoo.recipes.dde_parts import seeded, write_half

SEED = 24
SIGMA_DATA = 0.5
UNSEEN = range(HELD_OUT, HELD_OUT + 256)
COORDINATOR_PLACES = range(0, 16_384)
"""More than the base model's. Taught on 4,096 of them the coordinator gained 0.021 +- 0.009 at a
noise of 10 on maps that it had seen, and 0.003 +- 0.012 on others."""

SPREAD, COORDINATOR_SPREAD = Spread(-1.0, 1.6), Spread(2.3, 0.8)
"""A coordinator has more to say where season and light are not decided yet. With the true textures
and the season unknown, parts of 32 pixels leave an error of 0.018 at a noise of 6, 0.090 at 10 and
0.218 at 20; a whole of 48 leaves 0.005, 0.037 and 0.138."""

WINDOW, STRIDE, LARGE = 32, 16, 48
WALK = Walk(steps=18, sigma_min=2e-3, sigma_max=20.0, churn=0.0)

BASE = {
    "channels_in": 3,
    "told": 3,
    "width": 16,
    "multipliers": (1, 2, 3),
    "features": 16,
    "heads": 4,
    "head_dim": 16,
}
COORDINATOR = CoordinatorConfig(
    channels=3,
    axes=2,
    patch=4,
    width=48,
    depth=3,
    heads=4,
    context=3,
    second="mlp",
    sigma_data=SIGMA_DATA,
)

BASE_CONFIG = TrainConfig(
    steps=3_000,
    batch_size=16,
    lr=1e-3,
    seed=SEED,
    warmup=100,
    ema=0.998,
    precision="bf16",
    checkpoint_every=250,
    validate_every=500,
)
COORDINATOR_CONFIG = TrainConfig(
    steps=3_000,
    batch_size=16,
    lr=1e-3,
    seed=SEED,
    warmup=100,
    ema=0.998,
    precision="bf16",
    checkpoint_every=500,
    validate_every=1_000,
)


def base() -> EDMNetwork:
    """The base model before training."""
    return seeded(SEED, lambda: EDMNetwork(MapUNet(**BASE), SIGMA_DATA))


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train both stages in `folder` and write ``folder/export``."""
    network = train_base(folder, device, resume, steps)
    coordinator = train_coordinator(folder, network, device, resume, steps)
    if stages.first():
        made = Expansion(
            subject="maps",
            base=network,
            coordinators={"full": coordinator},
            channels=3,
            window=(WINDOW, WINDOW),
            stride=(STRIDE, STRIDE),
            walk=WALK,
            facts={"map_channels": 3},
        )
        write_half(folder / "export", made)


def base_task(network: EDMNetwork, data: Lands, held_out: Lands) -> DenoisingTask:
    """What the first stage learns."""
    return DenoisingTask(
        BaseOfMaps(network, WINDOW),
        data,
        sigma_data=SIGMA_DATA,
        spread=SPREAD,
        held_out=held_out,
        validated=64,
    )


def coordinator_task(
    network: EDMNetwork, coordinator: Transformer, data: Lands, held_out: Lands
) -> DenoisingTask:
    """What the second stage learns, above a base model that is done."""
    return DenoisingTask(
        CoordinatedMaps(network, coordinator, WINDOW, STRIDE, LARGE),
        data,
        sigma_data=SIGMA_DATA,
        spread=COORDINATOR_SPREAD,
        held_out=held_out,
        validated=256,
    )


def train_base(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> EDMNetwork:
    """The first stage."""
    lands = folder.parent / "cache" / "lands"
    network = base()
    task = base_task(network, Lands(lands), Lands(lands, UNSEEN))
    stages.run(task, BASE_CONFIG, folder / "base", device=device, resume=resume, steps=steps)
    return network


def train_coordinator(
    folder: Path,
    network: EDMNetwork,
    device: str = "cpu",
    resume: bool = True,
    steps: int | None = None,
) -> Transformer:
    """The second stage."""
    lands = folder.parent / "cache" / "lands"
    coordinator = seeded(SEED, lambda: Transformer(COORDINATOR))
    data, held_out = Lands(lands, COORDINATOR_PLACES), Lands(lands, UNSEEN)
    task = coordinator_task(network, coordinator, data, held_out)
    config = COORDINATOR_CONFIG
    stages.run(task, config, folder / "coordinator", device=device, resume=resume, steps=steps)
    return coordinator
