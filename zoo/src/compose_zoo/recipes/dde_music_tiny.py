"""How `dde-music-tiny` was made: a base model of four seconds of the band, then its coordinators.

As in the paper the coordinators learn on five windows with a quarter of overlap (the recurrent one
without overlaps on four) and are used on more. The noise levels of training are higher than the
paper's: at 4 kHz a note is decided far above its own amplitude, because its energy lies in one
frequency.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compose_core.train import TrainConfig
from compose_dde.coordinator import Coordinator, CoordinatorConfig, Recurrent, Transformer
from compose_dde.domain import span
from compose_dde.folder import Expansion, Walk
from compose_dde.networks import EDMNetwork, SpectralTransformer
from compose_dde.precondition import Spread
from compose_dde.training import BaseOfMusic, CoordinatedMusic, DenoisingTask
from compose_worlds.stems import STEMS, cache
from compose_zoo.recipes import stages
from compose_zoo.recipes.dde_parts import seeded, write_half
from compose_zoo.recipes.dde_songs import GAIN, RATE, SIGMA_DATA, Songs

SEED = 21
WINDOW, STRIDE, WINDOWS = 16_384, 12_288, 5
UNHEARD = range(cache.HELD_OUT, cache.HELD_OUT + 32)
SPREAD, COORDINATOR_SPREAD = Spread(-1.6, 1.5), Spread(0.0, 1.0)
"""A coordinator has more to say where chords are not decided yet."""

WALK = Walk(steps=25, sigma_min=1e-3, sigma_max=20.0, churn=0.0)
"""No churn: a small network doubts what it hears, and with added noise faint stems die away."""

BASE: dict[str, Any] = {
    "channels_in": 4,
    "block": 256,
    "width": 160,
    "depth": 4,
    "heads": 5,
    "sigma_data": SIGMA_DATA,
}
"""1.7M parameters; frames of 64 ms."""

MEMORY = 16
RECURRENT: dict[str, Any] = {
    "channels_in": 4 + MEMORY,
    "block": 64,
    "width": 48,
    "depth": 2,
    "heads": 2,
    "neighbours": 0,
    "together": True,
    "gated": False,
    "quiet": False,
}
"""0.2M parameters; 16 hidden channels, as in the paper."""

COORDINATOR = CoordinatorConfig(
    channels=4, axes=1, patch=128, width=72, depth=3, heads=4, lapped=True, sigma_data=SIGMA_DATA
)
"""0.4M parameters; tokens of 32 ms."""

LOCAL = CoordinatorConfig(
    channels=4,
    axes=1,
    patch=128,
    width=72,
    depth=3,
    heads=4,
    lapped=True,
    sigma_data=SIGMA_DATA,
    reach=1,
    summaries=4,
)
"""The same, hearing its neighbours token by token and others by four summaries each."""

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
    steps=1_600,
    batch_size=4,
    lr=1e-3,
    seed=SEED,
    warmup=100,
    ema=0.998,
    precision="bf16",
    checkpoint_every=200,
    validate_every=400,
)


def base() -> EDMNetwork:
    """The base model before training."""
    return seeded(SEED, lambda: EDMNetwork(SpectralTransformer(**BASE), SIGMA_DATA))


def coordinators() -> dict[str, tuple[Coordinator, int]]:
    """Coordinators before training, the default first, and the stride that each learns with."""
    return {
        "local": (seeded(SEED, lambda: Transformer(LOCAL)), STRIDE),
        "full": (seeded(SEED, lambda: Transformer(COORDINATOR)), STRIDE),
        "rnn-overlap": (seeded(SEED, recurrent), STRIDE),
        "rnn": (seeded(SEED, recurrent), WINDOW),
    }


def recurrent() -> Recurrent:
    """The recurrent baseline."""
    return Recurrent(SpectralTransformer(**RECURRENT), MEMORY, SIGMA_DATA)


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train all stages in `folder` and write ``folder/export``."""
    network = train_base(folder, device, resume, steps)
    trained: dict[str, Coordinator] = {}
    for name, (one, stride) in coordinators().items():
        train_coordinator(folder, name, network, one, stride, device, resume, steps)
        trained[name] = one
        if stages.first():
            export(folder / "export", network, trained)


def base_task(network: EDMNetwork, data: Songs, held_out: Songs) -> DenoisingTask:
    """What the first stage learns."""
    return DenoisingTask(
        BaseOfMusic(network, WINDOW),
        data,
        sigma_data=SIGMA_DATA,
        spread=SPREAD,
        held_out=held_out,
    )


def coordinator_task(
    network: EDMNetwork, coordinator: Coordinator, stride: int, data: Songs, held_out: Songs
) -> DenoisingTask:
    """What a later stage learns, above a base model that is done."""
    windows = windows_at(stride)
    return DenoisingTask(
        CoordinatedMusic(network, coordinator, WINDOW, stride, (windows, windows)),
        data,
        sigma_data=SIGMA_DATA,
        spread=COORDINATOR_SPREAD,
        held_out=held_out,
    )


def windows_at(stride: int) -> int:
    """How many are learnt with."""
    return WINDOWS if stride < WINDOW else WINDOWS - 1


def train_base(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> EDMNetwork:
    """The first stage."""
    songs = folder.parent / "cache" / "stems"
    network = base()
    task = base_task(network, Songs(songs, WINDOW), Songs(songs, WINDOW, UNHEARD))
    stages.run(task, BASE_CONFIG, folder / "base", device=device, resume=resume, steps=steps)
    return network


def train_coordinator(
    folder: Path,
    name: str,
    network: EDMNetwork,
    coordinator: Coordinator,
    stride: int,
    device: str = "cpu",
    resume: bool = True,
    steps: int | None = None,
) -> None:
    """One of the later stages."""
    songs = folder.parent / "cache" / "stems"
    frames = span(windows_at(stride), WINDOW, stride)
    data, held_out = Songs(songs, frames), Songs(songs, frames, UNHEARD)
    task = coordinator_task(network, coordinator, stride, data, held_out)
    config = COORDINATOR_CONFIG
    stages.run(task, config, folder / name, device=device, resume=resume, steps=steps)


def export(folder: Path, network: EDMNetwork, trained: dict[str, Coordinator]) -> None:
    """Write a folder of `compose_dde.folder` in half precision."""
    made = Expansion(
        subject="music",
        base=network,
        coordinators=trained,
        channels=len(STEMS),
        window=(WINDOW,),
        stride=(STRIDE,),
        walk=WALK,
        facts={
            "sample_rate": RATE,
            "stems": list(STEMS),
            "gain": GAIN,
            "windows": WINDOWS,
            "strides": {"rnn": [WINDOW]},
        },
    )
    write_half(folder, made)
