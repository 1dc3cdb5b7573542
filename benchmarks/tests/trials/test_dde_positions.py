"""Table 2 of DDE: the same places for everybody, and an untrained coordinator changes nothing."""

import math
from dataclasses import replace

import pytest
import torch

from compose_benchmarks.trials import command, dde_positions, find
from compose_benchmarks.trials.dde_positions import NEAR, TRIAL, Kept, _exact, _made, asked
from compose_benchmarks.trials.sit import FOLDER, sit, write
from compose_benchmarks.trials.trial import Sitting, load
from compose_core.cli import main
from compose_core.errors import ComposeError, UsageError
from compose_dde.classifier import Classifier
from compose_dde.coordinator import Transformer
from compose_dde.folder import Expansion, Walk
from compose_dde.pipeline import PositionsPipeline
from compose_metrics.result import Source
from compose_worlds.positions import find as centres
from compose_worlds.positions import picture, stack
from compose_worlds.positions.scene import APART, HELD_OUT, draw
from compose_zoo.recipes import dde_positions_tiny as recipe
from compose_zoo.recipes.dde_parts import seeded, write_half


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The networks of the recipe before training; the base model says something."""
    folder = tmp_path_factory.mktemp("models") / "positions"
    base = recipe.base()
    dice = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in base.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=dice))
    made = Expansion(
        subject="positions",
        base=base,
        coordinators={"full": seeded(0, lambda: Transformer(recipe.COORDINATOR))},
        channels=3,
        window=(32, 32),
        stride=(32, 32),
        walk=Walk(steps=3, sigma_min=2e-3, sigma_max=80.0, churn=0.0, w=4.0),
        facts={"apart": APART},
    )
    write_half(folder, made)
    seeded(0, lambda: Classifier(width=12, multipliers=(1, 2, 2))).save(folder)
    return str(folder)


@pytest.fixture
def short(monkeypatch):
    """The trial with two settings."""
    made = replace(TRIAL, settings=(1, 3))
    monkeypatch.setattr(dde_positions, "TRIAL", made)
    return made


@pytest.mark.parametrize("count", [1, 5])
def test_places_keep_their_distance_and_more_samples_change_no_earlier_ones(count):
    some = asked(count, 6)
    assert some.shape == (6, count, 2)
    assert torch.equal(asked(count, 3), some[:3])
    for one in some.tolist():
        gaps = [math.dist(a, b) for i, a in enumerate(one) for b in one[:i]]
        assert all(gap >= APART for gap in gaps)


def test_renders_are_exactly_what_was_asked_for():
    toys = stack([draw(HELD_OUT + i) for i in range(16)])
    shown = picture(toys)
    hits = [
        _exact(centres(one), told[told[:, 0] >= 0])
        for one, told in zip(shown, toys.positions, strict=True)
    ]
    assert sum(hits) >= 15


def test_a_missing_an_extra_and_a_misplaced_object_are_seen():
    told = torch.tensor([[0.2, 0.2], [0.8, 0.8]])
    assert _exact(told.flip(0), told)
    assert not _exact(told[:1], told)
    assert not _exact(torch.cat([told, torch.tensor([[0.5, 0.5]])]), told)
    assert not _exact(told + torch.tensor([1.5 * NEAR, 0.0]), told)
    assert not _exact(told[:1].repeat(2, 1), told)


class One(Classifier):
    """Sees an object wherever a picture is brightest."""

    def forward(self, pictures):
        """Sure of it."""
        heat = pictures.sum(1)
        return torch.where(heat == heat.amax((1, 2), keepdim=True), 9.0, -9.0)


@pytest.mark.parametrize(("off", "there", "near"), [(0, 1, 1), (1, 0, 1), (2, 0, 0)])
def test_near_is_a_pixel_beside(off, there, near):
    pictures = -torch.ones(1, 3, 32, 32)
    pictures[0, :, 9 + off, 20 - off] = 1.0
    given = torch.tensor([[[20.5 / 32, 9.5 / 32]]])
    for slack, wanted in ((False, there), (True, near)):
        judge = Kept(One(width=4, multipliers=(1,)), Source("tiny-v1", "0" * 64, False), slack)
        judge.update(pictures, given, keys=[0])
        judge.update(pictures, given, keys=[1])
        assert judge.compute().value == wanted


def test_an_untrained_coordinator_is_multidiffusion_and_everybody_starts_alike(model):
    pipe = PositionsPipeline.from_pretrained(model)
    sitting = Sitting(model=model, n=3, micro_batch=2)
    made = {
        name: torch.cat([pictures for _, _, pictures in _made(pipe, sitting, name, 2)])
        for name in TRIAL.methods
    }
    torch.testing.assert_close(made["dde"], made["multidiffusion-strong"], atol=1e-5, rtol=0)
    assert not torch.allclose(made["dde"], made["multidiffusion"], atol=1e-3)
    assert not torch.allclose(made["dde"], made["rrr"], atol=1e-3)
    whole = Sitting(model=model, n=3, micro_batch=3)
    again = torch.cat([pictures for _, _, pictures in _made(pipe, whole, "rrr", 2)])
    torch.testing.assert_close(again, made["rrr"], atol=5e-3, rtol=0)


def test_a_record_holds_every_cell_and_can_be_read_again(model, tmp_path, short):
    record = sit(short, Sitting(model=model, n=2), command="x", methods=["rrr", "dde"])
    assert [(one.method, one.setting) for one in record.entries] == [
        (m, str(s)) for m in ("rrr", "dde") for s in (1, 3)
    ]
    assert load(write(record, tmp_path)) == record
    shown = command.table(record)
    assert shown.count("| rrr | ") == shown.count("| dde | ") == 3  # one row for each metric
    assert all(0 <= one.metric("accuracy").value <= 1 for one in record.entries)


def test_cells_are_measured_once_and_processes_share_them(model, tmp_path, short):
    calls = []

    def measure(sitting, method, count):
        calls.append((method, count))
        return dde_positions.measure(sitting, method, count)

    measure.__module__ = dde_positions.__name__
    counted, sitting = replace(short, measure=measure), Sitting(model=model, n=2)
    first = sit(counted, sitting, command="x", methods=["rrr"], out=tmp_path)
    whole = sit(counted, sitting, command="x", methods=["rrr", "dde"], out=tmp_path)
    assert calls == [("rrr", 1), ("rrr", 3), ("dde", 1), ("dde", 3)]
    assert whole.entries[:2] == first.entries
    assert (
        sit(counted, sitting, command="x", methods=["dde"], out=tmp_path).entries
        == (whole.entries[2:])
    )
    assert len(calls) == 4
    sit(counted, replace(sitting, n=3), command="x", methods=["rrr"], out=tmp_path)
    sit(replace(counted, version=2), sitting, command="x", methods=["rrr"], out=tmp_path)
    assert len(calls) == 8


def test_a_broken_cell_is_named(model, tmp_path, short):
    sit(short, Sitting(model=model, n=2), command="x", methods=["rrr"], out=tmp_path)
    (cell,) = tmp_path.glob("trials/*/rrr-3.json")
    cell.write_text("{")
    with pytest.raises(ComposeError, match="no record of a cell") as caught:
        sit(short, Sitting(model=model, n=2), command="x", methods=["rrr"], out=tmp_path)
    assert str(cell) in str(caught.value)


def test_at_the_command_line(model, tmp_path, capsys, short):
    results = tmp_path / "results"
    told = ["bench", "trial", "dde-positions", "--model", model, "--num", "2", "--quiet"]
    where = ["--out", str(tmp_path / "runs"), "--results", str(results)]
    assert main([*told, *where, "--publish", "--device", "cpu"]) == 0
    assert "### dde-positions, n = 2" in capsys.readouterr().out
    record = load(results / FOLDER / "dde-positions.json")
    assert len(record.entries) == 2 * len(TRIAL.methods)
    assert record.command.startswith("compose bench trial dde-positions --model")


def test_what_makes_no_sense(model, tmp_path):
    with pytest.raises(UsageError, match="no trial"):
        find("dde-position")
    with pytest.raises(UsageError, match="no method"):
        sit(TRIAL, Sitting(model=model, n=2), command="x", methods=["concat"])
    with pytest.raises(UsageError, match="needs samples"):
        sit(TRIAL, Sitting(model=model, n=1), command="x")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ComposeError, match="no record of a trial"):
        load(tmp_path / "bad.json")
