"""Painters are measured at every checkpoint that their training kept."""

import pytest
import torch

from compose_benchmarks.convergence import FILE, load, main, paint
from compose_benchmarks.registry import find
from compose_core.errors import UsageError, WeightsError
from compose_core.train.checkpoint import Checkpoint, save
from compose_core.train.states import pack_modules
from compose_tlam.model import Painter
from compose_tlam.scene import from_scene
from compose_zoo.recipes.painters import PLANS

ID = "asap-naive-tiny"


def fresh(seed):
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return Painter(PLANS[ID].config()).eval()


def test_pictures_are_those_of_the_painter_one_by_one():
    painter = fresh(0)
    items = find("tlam-dense").items(2)
    made = paint(painter, items)
    assert made.dtype == torch.uint8 and made.shape == (2, 3, 64, 64)
    for one, picture in zip(items, made, strict=True):
        with torch.no_grad():
            alone = painter(from_scene(one.scene, painter.labels).stack)[0]
        levels = ((alone + 1) * 127.5).round().clamp(0, 255)
        assert float((levels - picture.float()).abs().max()) <= 1


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(UsageError, match="no painter"):
        main(["sd-tiny", "--num", "2", "--runs", str(tmp_path)])
    with pytest.raises(WeightsError, match="compose zoo train"):
        main([ID, "--num", "2", "--runs", str(tmp_path)])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_every_checkpoint_is_measured_on_the_same_scenes(tmp_path):
    for seed, step in enumerate((5, 10)):
        parts = {"ema": pack_modules({"painter": fresh(seed)})}
        kept = Checkpoint(step=step, parts=parts, facts={"seconds": 2.0 * step})
        save(tmp_path / ID / "game", kept, keep=2)
    out = tmp_path / "results"
    assert main([ID, "--num", "4", "--runs", str(tmp_path), "--results", str(out)]) == 0
    record = load(out / FILE)
    (curve,) = record.curves
    assert [(m.step, m.seconds) for m in curve.moments] == [(5, 10.0), (10, 20.0)]
    values = [m.metric("fid@tiny-v1").value for m in curve.moments]
    assert values[0] != values[1] and min(values) > 0
    assert all(m.metric("fid@tiny-v1").n == record.n == 4 for m in curve.moments)
