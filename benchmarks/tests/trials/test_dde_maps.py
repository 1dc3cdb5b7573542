"""Table 3 of DDE: renders are read as they are, and an untrained coordinator changes nothing."""

from dataclasses import replace

import pytest
import torch

from compose_benchmarks.trials.dde_maps import TRIAL, Agreement, Fidelity, _made, lands
from compose_benchmarks.trials.sit import sit
from compose_benchmarks.trials.trial import Sitting
from compose_dde.coordinator import Transformer
from compose_dde.folder import Expansion, Walk
from compose_dde.pipeline import MapsPipeline
from compose_worlds.terrain import draw, satellite
from compose_worlds.terrain.places import HELD_OUT
from compose_zoo.recipes import dde_maps_tiny as recipe
from compose_zoo.recipes.dde_parts import seeded, write_half


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The networks of the recipe before training; the base model says something."""
    folder = tmp_path_factory.mktemp("models") / "maps"
    base = recipe.base()
    dice = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in base.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=dice))
    made = Expansion(
        subject="maps",
        base=base,
        coordinators={"full": seeded(0, lambda: Transformer(recipe.COORDINATOR))},
        channels=3,
        window=(32, 32),
        stride=(16, 16),
        walk=Walk(steps=2, sigma_min=2e-3, sigma_max=20.0, churn=0.0),
        facts={"map_channels": 3},
    )
    write_half(folder, made)
    return str(folder)


def renders(n, side):
    return torch.stack([satellite(*draw(HELD_OUT + i, (side, side))) for i in range(n)]) * 2 - 1


def agreement(aspect, pictures, told):
    metric = Agreement(aspect)
    metric.update(pictures, told.classes)
    return float(metric.compute().value)


def under(weathers, n=8):
    """The same maps under given weather."""
    made = [satellite(draw(HELD_OUT + i, (64, 64))[0], weathers(i)) for i in range(n)]
    return torch.stack(made) * 2 - 1


def test_renders_are_true_to_their_map_and_agree_with_themselves():
    told = lands(64, 8)
    fidelity = Fidelity()
    fidelity.update(renders(8, 64), told.classes)
    assert float(fidelity.compute().value) > 0.8
    assert agreement("season", renders(8, 64), told) > 0.9
    assert agreement("light", renders(8, 64), told) > 0.9


def test_halves_of_two_seasons_agree_by_half():
    told = lands(64, 8)
    summer, winter = (
        under(lambda _, s=s: replace(draw(0, (8, 8))[1], season=s)) for s in ("summer", "winter")
    )
    torn = torch.cat([summer[..., :32], winter[..., 32:]], -1)
    assert agreement("season", summer, told) > 0.9
    assert agreement("season", torn, told) < 0.6


def test_quarters_of_other_weathers_and_noise_do_not_agree_and_grey_is_winter():
    """Grey is told from winter by not being true to its map."""
    told = lands(64, 8)
    own = renders(8, 64)
    for k, (y, x) in enumerate([(0, 0), (0, 32), (32, 0), (32, 32)]):
        other = under(lambda i, k=k: draw(HELD_OUT + 100 + 4 * i + k, (64, 64))[1])
        own[:, :, y : y + 32, x : x + 32] = other[:, :, y : y + 32, x : x + 32]
    noise = torch.rand(own.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert agreement("season", own, told) < 0.7 and agreement("light", own, told) < 0.7
    grey = Fidelity()
    grey.update(torch.zeros_like(own), told.classes)
    assert float(grey.compute().value) < 0.4
    assert agreement("season", torch.zeros_like(own), told) == 1
    assert agreement("light", torch.zeros_like(own), told) < 0.3
    assert agreement("season", noise, told) < 0.1


def test_more_samples_change_no_earlier_ones():
    assert torch.equal(lands(48, 3).charts[:2], lands(48, 2).charts)


def test_an_untrained_coordinator_is_multidiffusion_and_swap_is_not(model):
    pipe = MapsPipeline.from_pretrained(model)
    told = lands(48, 2)
    made = {
        name: torch.cat([x for _, x in _made(pipe, Sitting(model=model, n=2), name, told)])
        for name in TRIAL.methods
    }
    assert made["dde"].shape == (2, 3, 48, 48)
    torch.testing.assert_close(made["dde"], made["multidiffusion"], atol=1e-4, rtol=0)
    assert not torch.allclose(made["swap"], made["dde"], atol=1e-3)
    torch.testing.assert_close(made["real"], renders(2, 48))


@pytest.mark.slow
def test_every_cell_is_measured(model):
    short = replace(TRIAL, settings=(48,))
    record = sit(short, Sitting(model=model, n=2), command="x")
    assert [one.method for one in record.entries] == list(TRIAL.methods)
    for one in record.entries:
        assert one.metric("fid").value > 0 and 0 <= one.metric("one-season").value <= 1
