"""What the recipes of domain expansion and of the ears train, on a few small samples."""

from dataclasses import replace

import pytest
import torch

from compose_core.train import train
from compose_dde.classifier import Classifier
from compose_dde.folder import Expansion, load_expansion
from compose_metrics.audio.ears import Ears
from compose_worlds.stems import cache, draw, hear
from compose_zoo.recipes import (
    dde_lands,
    dde_maps_tiny,
    dde_marks,
    dde_measure,
    dde_music_tiny,
    dde_parts,
    dde_positions_tiny,
    dde_songs,
    dde_toys,
    ears_task,
    ears_tiny,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of runs."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def little(monkeypatch):
    """Recipes on a handful of samples."""
    monkeypatch.setattr(dde_songs.Songs.__init__, "__defaults__", (range(0, 4),))
    monkeypatch.setattr(dde_toys.Toys.__init__, "__defaults__", (range(0, 48), 1))
    monkeypatch.setattr(dde_lands.Lands.__init__, "__defaults__", (range(0, 10),))
    monkeypatch.setattr(dde_maps_tiny, "COORDINATOR_PLACES", range(0, 12))
    monkeypatch.setattr(ears_task.EarsTask.__init__, "__defaults__", (range(0, 4), 2))
    for module in (dde_music_tiny, dde_positions_tiny, dde_maps_tiny):
        for name in ("BASE_CONFIG", "COORDINATOR_CONFIG"):
            config = replace(getattr(module, name), batch_size=2, precision="no", validate_every=0)
            monkeypatch.setattr(module, name, config)
    for module in (dde_marks, ears_task):
        small = replace(module.CONFIG, batch_size=4, precision="no", validate_every=0)
        monkeypatch.setattr(module, "CONFIG", small)


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_songs_are_as_loud_as_models_expect(home):
    songs = dde_songs.Songs(home / "cache" / "stems", 16_384, range(0, 4))
    x = songs.batch(torch.arange(0, len(songs), 7))["x"]
    assert x.shape[1:] == (4, 16_384)
    assert float(x.std()) == pytest.approx(dde_songs.SIGMA_DATA, rel=0.3)
    again = songs.batch(torch.tensor([7]))["x"]
    assert torch.equal(again[0], x[1])
    places = {songs.place(i)[1] for i in range(len(songs))}
    assert len(places) > 200 and max(places) <= dde_songs.CLIP - 16_384


def test_ears_are_told_what_is_played(home):
    task = ears_task.EarsTask(home / "cache" / "stems", range(0, 4), 2)
    batch = task.batch(torch.arange(task.size))
    assert batch["x"].shape == (task.size, ears_task.ears.SHORTEST)
    assert set(batch["scale"].tolist()) == {
        ears_task.signature(draw(i).tonic, draw(i).mode) for i in range(4)
    }
    # The labels are those of the sound: its chords are heard where they are said to be.
    right = []
    for row in range(4):
        known = ears_task.told(row)
        mix = task.stems[row].float() / cache.SCALE
        heard = hear(mix, dde_songs.RATE).chords.argmax(1)
        for i, number in enumerate(heard.tolist()):
            chord = known.labels.chord_at(known.start + (i + 0.5) / 2)
            right.append(number == chord.root + 12 * (chord.quality == "minor"))
    assert sum(right) > 0.8 * len(right)
    out = torch.zeros(2, sum(ears_task.HEADS.values()))
    told = {k: v[:2] for k, v in batch.items()} | {"noise": torch.zeros(2)}
    loss, parts = ears_task.judged(out, told)
    wanted = [24, 12, 12, 2, 3]
    for name, options in zip(("chord", "scale", "tempo", "plays", "patch"), wanted, strict=True):
        assert parts[name] == pytest.approx(torch.tensor(float(options)).log().item(), rel=1e-5)
    assert float(loss) == pytest.approx(sum(parts.values()), rel=1e-6)


def test_the_ears_are_written_and_hear(home, little):
    ears_tiny.train(home / "ears-tiny", steps=2)
    ears = Ears.load(home / "ears-tiny" / "export" / "model.safetensors")
    song = torch.randn(12_000, generator=torch.Generator().manual_seed(0))
    assert ears.embed(song).shape == (1, ears.dim) and ears.source.id == "tiny-v1"
    assert size_of(home / "ears-tiny" / "export") < 700_000


def test_the_music_model_is_written_and_small(home, little):
    dde_music_tiny.train(home / "dde-music-tiny", steps=1)
    folder = home / "dde-music-tiny" / "export"
    made = load_expansion(folder)
    assert list(made.coordinators) == ["local", "full", "rnn-overlap", "rnn"]
    assert made.window == (16_384,) and made.facts["sample_rate"] == 4000
    assert size_of(folder) < 6.2e6 and (folder / "base.safetensors").stat().st_size < 3.7e6


@pytest.mark.parametrize("name", ["local", "full", "rnn-overlap", "rnn"])
def test_every_coordinator_of_music_learns_from_the_first_step(name, home, little):
    one, stride = dde_music_tiny.coordinators()[name]
    network = dde_music_tiny.base()
    with torch.no_grad():
        network.backbone.head.weight.normal_(0.0, 0.05, generator=torch.Generator().manual_seed(0))
    songs = dde_songs.Songs(home / "cache" / "stems", 4 * 16_384, range(0, 4))
    task = dde_music_tiny.coordinator_task(network, one, stride, songs, songs)
    loss, _ = task.loss(task.batch(torch.tensor([0, 5])), torch.Generator().manual_seed(0))
    loss.backward()
    assert max(float(w.grad.abs().max()) for w in one.parameters() if w.grad is not None) > 0


def test_the_positions_model_is_written_and_small(home, little):
    dde_positions_tiny.train(home / "dde-positions-tiny", steps=2)
    folder = home / "dde-positions-tiny" / "export"
    made = load_expansion(folder)
    judge = Classifier.load(folder)
    pictures = torch.zeros(2, 3, 32, 32)
    assert judge.holds(pictures, torch.rand(2, 5, 2)).shape == (2, 5)
    assert made.facts["apart"] == pytest.approx(0.17) and size_of(folder) < 1.75e6


def test_the_maps_model_is_written_and_small(home, little):
    dde_maps_tiny.train(home / "dde-maps-tiny", steps=2)
    folder = home / "dde-maps-tiny" / "export"
    assert load_expansion(folder).stride == (16, 16) and size_of(folder) < 1.55e6


def test_marks_are_learnt(home):
    """A few steps on a few scenes find most of their toys."""
    task = dde_marks.MarksTask(dde_toys.Toys(home / "cache" / "toys", range(0, 48)))
    config = replace(dde_marks.CONFIG, steps=30, batch_size=8, precision="no", warmup=2, ema=0.0)
    done = list(train(task, config, home / "marks"))
    first, last = done[0], done[-1]
    assert last.loss < 0.7 * first.loss


def test_seeds_leave_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    a = dde_parts.seeded(1, lambda: torch.rand(3))
    assert torch.equal(a, dde_parts.seeded(1, lambda: torch.rand(3)))
    assert torch.equal(before, torch.random.get_rng_state())


def test_what_is_untrained_measures_as_the_plain_average(home, monkeypatch):
    """A coordinator adds nothing before training, so both losses are one number."""
    monkeypatch.setattr(dde_measure, "COUNT", 3)
    recipe = dde_music_tiny
    made = Expansion(
        subject="music",
        base=recipe.base(),
        coordinators={name: one for name, (one, _) in recipe.coordinators().items()},
        channels=4,
        window=(recipe.WINDOW,),
        stride=(recipe.STRIDE,),
        facts={"sample_rate": recipe.RATE, "stems": list(recipe.STEMS)},
    )
    found = dict(dde_measure.music(made, home / "cache"))
    assert set(recipe.coordinators()) == {"local", "full", "rnn-overlap", "rnn"}
    assert found["base: loss"] > 0.5, "an untrained network knows about nothing"
    for name in recipe.coordinators():
        assert found[f"{name}: loss"] == found[f"{name}: loss of the plain average"] > 0.5


def test_a_judge_that_sees_toys_everywhere_is_found_out(home, monkeypatch):
    monkeypatch.setattr(dde_positions_tiny, "UNSEEN", range(0, 48))
    judge = Classifier(width=8, multipliers=(1,))
    monkeypatch.setattr(judge, "forward", lambda x: torch.ones(len(x), 1, 32, 32))
    scores = dict(dde_measure.marks(judge, home / "cache"))
    assert set(scores.values()) == {1.0}
    monkeypatch.setattr(judge, "forward", lambda x: -torch.ones(len(x), 1, 32, 32))
    assert set(dict(dde_measure.marks(judge, home / "cache")).values()) == {0.0}
