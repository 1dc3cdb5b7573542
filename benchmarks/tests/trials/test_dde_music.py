"""Table 1 of DDE: everybody from the same noise, borders where windows begin."""

from dataclasses import replace

import pytest
import torch

from compose_benchmarks.trials import dde_music, find
from compose_benchmarks.trials.dde_music import TRIAL, _borders, _made
from compose_benchmarks.trials.sit import sit
from compose_benchmarks.trials.trial import Sitting
from compose_dde.coordinator import Recurrent, Transformer
from compose_dde.domain import Domain, span
from compose_dde.folder import Expansion, Walk
from compose_dde.networks import EDMNetwork, SpectralTransformer
from compose_dde.pipeline import MusicPipeline
from compose_metrics.audio.ears import Ears, EarsNet
from compose_metrics.result import Source
from compose_zoo.recipes import dde_music_tiny as recipe
from compose_zoo.recipes.dde_parts import seeded, write_half

FRAMES = span(2, recipe.WINDOW, recipe.STRIDE)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of the recipe before training, with small networks that say something."""
    folder = tmp_path_factory.mktemp("models") / "music"
    small = {"width": 16, "depth": 1, "heads": 1}
    base = seeded(
        0, lambda: EDMNetwork(SpectralTransformer(**{**recipe.BASE, **small}), recipe.SIGMA_DATA)
    )
    dice = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in base.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=dice))

    def recurrent():
        net = SpectralTransformer(**{**recipe.RECURRENT, **small})
        return Recurrent(net, recipe.MEMORY, recipe.SIGMA_DATA)

    made = Expansion(
        subject="music",
        base=base,
        coordinators={
            "full": seeded(0, lambda: Transformer(recipe.COORDINATOR)),
            "local": seeded(0, lambda: Transformer(recipe.LOCAL)),
            "rnn-overlap": seeded(0, recurrent),
            "rnn": seeded(0, recurrent),
        },
        channels=4,
        window=(recipe.WINDOW,),
        stride=(recipe.STRIDE,),
        walk=Walk(steps=2, sigma_min=1e-3, sigma_max=20.0, churn=0.0),
        facts={
            "sample_rate": recipe.RATE,
            "stems": list(recipe.STEMS),
            "gain": recipe.GAIN,
            "windows": recipe.WINDOWS,
            "strides": {"rnn": [recipe.WINDOW]},
        },
    )
    write_half(folder, made)
    return str(folder)


def test_borders_are_where_the_number_of_windows_changes(model):
    pipe = MusicPipeline.from_pretrained(model)
    stride, window = recipe.STRIDE, recipe.WINDOW
    five = span(5, window, stride)
    covered = Domain.chain(five, window, stride).coverage().flatten()
    changes = (covered.diff() != 0).nonzero()[:, 0] + 1
    assert _borders(pipe, "dde", five) == changes.tolist()
    assert len(changes) == 8
    assert _borders(pipe, "concat", five) == [window, 2 * window, 3 * window]


def test_the_long_trial_asks_for_twenty_times_what_was_taught():
    long = find("dde-length")
    assert max(long.settings) == 20 * recipe.WINDOWS and min(long.settings) == recipe.WINDOWS
    assert long.measure is TRIAL.measure and set(long.methods) < set(TRIAL.methods)


def test_untrained_coordinators_are_multidiffusion_and_windows_apart_are_not(model):
    pipe = MusicPipeline.from_pretrained(model)
    how = Sitting(model=model, n=1)
    made = {
        name: torch.cat([x for _, x in _made(pipe, how, name, FRAMES)]) for name in TRIAL.methods
    }
    assert {tuple(one.shape) for one in made.values()} == {(1, 4, FRAMES)}
    for name in ("dde", "dde-full", "rnn-overlap"):
        torch.testing.assert_close(made[name], made["multidiffusion"], atol=1e-4, rtol=0)
    for name in ("concat", "rnn"):
        assert not torch.allclose(made[name], made["multidiffusion"], atol=1e-3)


@pytest.mark.slow
def test_every_cell_is_measured(model, monkeypatch):
    ears = Ears(seeded(0, EarsNet), Source("ears", "0" * 64, False))
    pipe = MusicPipeline.from_pretrained(model)
    monkeypatch.setattr(dde_music, "_loaded", lambda *_: (pipe, ears))
    short = replace(TRIAL, settings=(5,))
    record = sit(short, Sitting(model=model, n=2), command="x", methods=["dde", "concat"])
    for one in record.entries:
        names = [metric.id.partition("@")[0] for metric in one.metrics]
        assert names[:2] == ["fad", "seam-audibility"] and "structure-recall" in names
        assert all(-1 <= one.metric(f"structure-{x}").value <= 1 for x in dde_music.ASPECTS)
