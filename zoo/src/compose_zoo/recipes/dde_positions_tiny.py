"""How `dde-positions-tiny` was made: a base model of one position, a classifier, a coordinator.

As in the paper the coordinator learns with one or two positions and is asked for up to five.
"""

from __future__ import annotations

from pathlib import Path

from compose_core.train import TrainConfig
from compose_dde.coordinator import CoordinatorConfig, Transformer
from compose_dde.folder import Expansion, Walk
from compose_dde.networks import EDMNetwork, PositionUNet
from compose_dde.precondition import Spread
from compose_dde.training import BaseOfPositions, CoordinatedPositions, DenoisingTask
from compose_worlds.positions.scene import APART, HELD_OUT
from compose_zoo.recipes import dde_marks, stages
from compose_zoo.recipes.dde_parts import seeded, write_half
from compose_zoo.recipes.dde_toys import SIZE, Toys

SEED = 22
SIGMA_DATA = 0.5
UNSEEN = range(HELD_OUT, HELD_OUT + 256)
SPREAD, COORDINATOR_SPREAD = Spread(-1.0, 1.6), Spread(1.0, 1.2)
"""A coordinator has more to say where it is not decided yet what is at which place."""

WALK = Walk(steps=18, sigma_min=2e-3, sigma_max=80.0, churn=0.0, w=20.0, clip=1.0)
"""The guidance of the paper, which takes pixels out of their range unless they are kept in it."""

BASE = {
    "channels_in": 3,
    "channels": 20,
    "multipliers": (1, 2, 2),
    "blocks": 1,
    "attentions": (4,),
    "head_dim": 20,
    "place": "mark",
}
COORDINATOR = CoordinatorConfig(
    channels=3,
    axes=2,
    patch=4,
    width=48,
    depth=3,
    heads=4,
    maps=1,
    second="modulation",
    sigma_data=SIGMA_DATA,
)

BASE_CONFIG = TrainConfig(
    steps=2_400,
    batch_size=32,
    lr=1e-3,
    seed=SEED,
    warmup=100,
    ema=0.999,
    precision="bf16",
    channels_last=True,
    checkpoint_every=300,
    validate_every=600,
)
COORDINATOR_CONFIG = TrainConfig(
    steps=5_000,
    batch_size=16,
    lr=1e-3,
    seed=SEED,
    warmup=100,
    hold=0.3,
    ema=0.998,
    precision="bf16",
    checkpoint_every=500,
    validate_every=1_000,
)


def base() -> EDMNetwork:
    """The base model before training."""
    return seeded(SEED, lambda: EDMNetwork(PositionUNet(**BASE), SIGMA_DATA))


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train all stages in `folder` and write ``folder/export``."""
    network = train_base(folder, device, resume, steps)
    toys = folder.parent / "cache" / "toys"
    marks = dde_marks.MarksTask(Toys(toys))
    options = {"device": device, "resume": resume, "steps": steps}
    stages.run(marks, dde_marks.CONFIG, folder / "classifier", **options)
    coordinator = train_coordinator(folder, network, device, resume, steps)
    if stages.first():
        made = Expansion(
            subject="positions",
            base=network,
            coordinators={"full": coordinator},
            channels=3,
            window=(SIZE, SIZE),
            stride=(SIZE, SIZE),
            walk=WALK,
            facts={"apart": APART},
        )
        write_half(folder / "export", made)
        marks.classifier.save(folder / "export")


def base_task(network: EDMNetwork, data: Toys, held_out: Toys) -> DenoisingTask:
    """What the first stage learns."""
    return DenoisingTask(
        BaseOfPositions(network),
        data,
        sigma_data=SIGMA_DATA,
        spread=SPREAD,
        held_out=held_out,
        validated=64,
    )


def coordinator_task(
    network: EDMNetwork, coordinator: Transformer, data: Toys, held_out: Toys
) -> DenoisingTask:
    """What the last stage learns, above a base model that is done."""
    return DenoisingTask(
        CoordinatedPositions(network, coordinator, (1, 2)),
        data,
        sigma_data=SIGMA_DATA,
        spread=COORDINATOR_SPREAD,
        held_out=held_out,
        validated=64,
    )


def train_base(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> EDMNetwork:
    """The first stage."""
    toys = folder.parent / "cache" / "toys"
    network = base()
    task = base_task(network, Toys(toys), Toys(toys, UNSEEN))
    stages.run(task, BASE_CONFIG, folder / "base", device=device, resume=resume, steps=steps)
    return network


def train_coordinator(
    folder: Path,
    network: EDMNetwork,
    device: str = "cpu",
    resume: bool = True,
    steps: int | None = None,
) -> Transformer:
    """The last stage; scenes with two toys or more."""
    toys = folder.parent / "cache" / "toys"
    coordinator = seeded(SEED, lambda: Transformer(COORDINATOR))
    data, held_out = Toys(toys, least=2), Toys(toys, UNSEEN, least=2)
    task = coordinator_task(network, coordinator, data, held_out)
    config = COORDINATOR_CONFIG
    stages.run(task, config, folder / "coordinator", device=device, resume=resume, steps=steps)
    return coordinator
