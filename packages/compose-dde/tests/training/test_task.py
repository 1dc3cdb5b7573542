import os
import signal

import pytest
import torch

from compose_core.compose import Consensus
from compose_core.denoiser import Bound
from compose_core.errors import InterruptedRun, UsageError
from compose_core.schedule import KarrasVE
from compose_core.train import TrainConfig, train
from compose_dde.coordinator import CoordinatorConfig, Transformer
from compose_dde.domain import Domain
from compose_dde.networks import EDMNetwork, MapUNet, PositionUNet, UNet1d
from compose_dde.precondition import Spread
from compose_dde.training import (
    BaseOfMaps,
    BaseOfMusic,
    BaseOfPositions,
    CoordinatedMaps,
    CoordinatedMusic,
    CoordinatedPositions,
    DenoisingTask,
)


class Random:
    """Samples of noise that depend on their number alone."""

    def __init__(self, **shapes):
        self.shapes = shapes

    def __len__(self):
        return 8

    def batch(self, indices):
        rows = []
        for index in indices.tolist():
            generator = torch.Generator().manual_seed(index)
            rows.append({k: torch.rand(s, generator=generator) for k, s in self.shapes.items()})
        return {k: torch.stack([row[k] for row in rows]) for k in self.shapes}


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def sound():
    return EDMNetwork(UNet1d(2, 8, 2, (1, 2), (2,), (1,), (False,), 2, 4), 0.2)


def pictures():
    return EDMNetwork(PositionUNet(3, 8, (1, 2), 1, (2,), 8))


def charts():
    return EDMNetwork(MapUNet(3, 3, 8, (1, 2), 8, 2, 4))


def coordinator(**given):
    numbers = {"channels": 3, "axes": 2, "patch": 4, "width": 16, "depth": 1, "heads": 2, **given}
    return Transformer(CoordinatorConfig(**numbers))


POSES = {
    "base of music": (lambda: BaseOfMusic(sound(), 16), {"x": (2, 40)}),
    "music": (
        lambda: CoordinatedMusic(sound(), coordinator(channels=2, axes=1), 16, 12, (1, 3)),
        {"x": (2, 44)},
    ),
    "base of positions": (
        lambda: BaseOfPositions(pictures()),
        {"x": (3, 8, 8), "positions": (3, 2)},
    ),
    "positions": (
        lambda: CoordinatedPositions(pictures(), coordinator(maps=1, second="modulation")),
        {"x": (3, 8, 8), "positions": (3, 2)},
    ),
    "base of maps": (lambda: BaseOfMaps(charts(), 8, 0.1), {"x": (3, 20, 20), "map": (3, 20, 20)}),
    "maps": (
        lambda: CoordinatedMaps(charts(), coordinator(context=3, second="mlp"), 8, 4, 16),
        {"x": (3, 20, 20), "map": (3, 20, 20)},
    ),
}


def task(name, **options):
    make, shapes = POSES[name]
    given = {"sigma_data": 0.5, "spread": Spread(-1, 1.6), "max_batch": 3, **options}
    return DenoisingTask(seeded(make), Random(**shapes), **given)


def config(steps=4):
    return TrainConfig(steps=steps, batch_size=2, lr=1e-3, warmup=0, decay="none")


@pytest.mark.parametrize("name", POSES)
def test_every_pose_trains_and_leaves_frozen_networks_alone(name, tmp_path):
    posed = task(name, held_out=Random(**POSES[name][1]), validated=5)
    trained = {k: v.clone() for m in posed.modules.values() for k, v in m.state_dict().items()}
    frozen = {k: v.clone() for k, v in posed.pose.network.state_dict().items()}
    steps = list(train(posed, config(), tmp_path))
    assert len(steps) == 4 and all(0 < step.loss < 1e4 for step in steps)
    now = {k: v for m in posed.modules.values() for k, v in m.state_dict().items()}
    assert any(not torch.equal(now[k], trained[k]) for k in now)
    same = all(torch.equal(v, frozen[k]) for k, v in posed.pose.network.state_dict().items())
    assert same == posed.pose.frozen
    scores = posed.validate(posed.modules)
    assert scores == posed.validate(posed.modules), "validation is the same every time"
    assert ("loss_of_the_mean" in scores) == posed.pose.frozen


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    whole = task("positions")
    list(train(whole, config(), tmp_path / "whole"))
    run = train(task("positions"), config(), tmp_path / "parts")
    next(run), next(run)
    with pytest.raises(InterruptedRun):
        os.kill(os.getpid(), signal.SIGTERM)
        next(run)
    again = task("positions")
    list(train(again, config(), tmp_path / "parts"))
    pairs = zip(
        whole.modules["coordinator"].parameters(),
        again.modules["coordinator"].parameters(),
        strict=True,
    )
    assert all(torch.equal(a, b) for a, b in pairs)


@torch.no_grad()
def test_the_loss_is_the_formula():
    posed = task("music")
    generator = torch.Generator().manual_seed(3)
    batch = posed.batch(torch.arange(3))
    loss, _ = posed.loss(batch, generator)

    generator = torch.Generator().manual_seed(3)
    x, denoiser = posed.pose.pose(batch, generator, posed.modules)
    level = posed.spread.draw(3, generator)
    noise = torch.randn(x.shape, generator=generator)
    total = 0.0
    for i in range(3):
        sigma = float(level.sigma[i])
        x0 = denoiser(x[i : i + 1] + sigma * noise[i : i + 1], KarrasVE().level(sigma)).x0
        weight = (sigma**2 + 0.25) / (sigma * 0.5) ** 2
        total += weight * float((x0 - x[i : i + 1]).square().mean()) / 3
    assert float(loss) == pytest.approx(total, rel=1e-4)


def test_an_untrained_coordinator_has_the_loss_of_the_mean():
    posed = task("music", held_out=Random(x=(2, 44)), validated=4)
    scores = posed.validate(posed.modules)
    assert scores["loss"] == scores["loss_of_the_mean"]


def test_levels_follow_their_distribution():
    level = Spread(-3, 1).draw(20_000, torch.Generator().manual_seed(0))
    logs = level.sigma.log()
    assert float(logs.mean()) == pytest.approx(-3, abs=0.03)
    assert float(logs.std()) == pytest.approx(1, abs=0.03)
    even = Spread(-3, 1).even(101).sigma.log()
    assert float(even[50]) == pytest.approx(-3) and bool((even.diff() > 0).all())


def test_conditions_are_dropped_as_often_as_asked():
    posed = task("positions")
    generator = torch.Generator().manual_seed(0)
    batch = {
        k: v.repeat(500, *[1] * (v.dim() - 1)) for k, v in posed.batch(torch.arange(8)).items()
    }
    _, denoiser = posed.pose.pose(batch, generator, posed.modules)
    assert float(denoiser.null.float().mean()) == pytest.approx(0.1, abs=0.02)


def test_clips_that_are_too_short_are_refused():
    posed = task("base of music")
    with pytest.raises(UsageError, match="smaller than what is to be learnt"):
        posed.loss({"x": torch.zeros(1, 2, 15)}, torch.Generator())


def test_without_a_coordinator_the_pose_is_the_overlap_average(draw):
    posed = task("music")
    x, denoiser = posed.pose.pose({"x": draw(1, 2, 44)}, torch.Generator(), {})
    plain = Consensus(Bound(posed.pose.network), Domain.chain(x.shape[2], 16, 12).views)
    level = KarrasVE().level(0.3)
    assert torch.equal(denoiser(x, level).x0, plain(x, level).x0)
