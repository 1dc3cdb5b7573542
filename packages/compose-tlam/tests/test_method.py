"""The method, the pipeline and the command: a scene or labels become a picture."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from compose_core.errors import SceneError, UsageError
from compose_core.sampler import Euler
from compose_core.schedule import KarrasVE
from compose_tlam import actions
from compose_tlam.labels import PRIMITIVES
from compose_tlam.method import Painted, TLAMMethod, noise_of
from compose_tlam.pipeline import TLAMPipeline
from compose_tlam.testing import tiny_painter


def plan_of(method, drawn):
    return method.plan(
        drawn,
        None,
        device="cpu",
        generator=torch.Generator().manual_seed(0),
        guidance=5.0,
        steps=2,
    )


def test_a_walk_of_any_length_ends_at_the_picture(scene, painter, draw):
    drawn = scene((0.0, 2.0))
    plan = plan_of(TLAMMethod(painter), drawn)
    truth = TLAMPipeline(painter)(drawn, output_type="pt").images
    assert plan.shape == (3, 16, 16) and plan.codec is not None
    for steps in (1, 4):
        walk = Euler(KarrasVE().levels(steps))
        dice = torch.Generator().manual_seed(1)
        x = walk.initial((2, *plan.shape), dice)
        found = plan.codec.decode(walk.sample(plan.denoiser, x, generator=dice))
        shown = (found / 2 + 0.5).clamp(0, 1)
        torch.testing.assert_close(shown, truth.expand_as(shown), atol=1e-4, rtol=0)


def test_with_noise_each_seed_has_its_picture_and_no_batch_changes_it(draw):
    painter = tiny_painter(noise=4).eval()
    stack = draw(1, 16, 16)
    denoiser = Painted(painter, stack)
    x = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    whole = denoiser.init(x).picture
    alone = denoiser.init(x[1:2] * 7.0).picture  # of any scale
    torch.testing.assert_close(whole[1:2], alone, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(whole[0], whole[1])


def test_noise_is_standard_normal():
    x = torch.randn(512, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = noise_of(x, 5)
    assert found.shape == (512, 5)
    # 2560 numbers: deviations of mean and of variance are 0.02 and 0.03
    assert abs(float(found.mean())) < 0.08 and abs(float(found.var()) - 1) < 0.15


def test_a_trace_shows_concept_and_attention(scene, painter):
    plan = plan_of(TLAMMethod(painter), scene((0.0, 2.0)))
    shown = plan.denoiser.traced(plan.denoiser.init(torch.randn(1, 3, 16, 16)))
    assert shown["concept"].shape == (1, 3, 16, 16)
    torch.testing.assert_close(shown["looked at"].sum(1), torch.ones(1, 16, 16))


def test_labels_that_are_dropped_change_the_picture_and_unknown_ones_are_refused(scene, painter):
    drawn = scene((0.0, 2.0))
    pipe = TLAMPipeline(painter)
    plain = pipe(drawn, output_type="pt").images
    less = pipe(drawn, drop=["depth"], output_type="pt").images
    weak = pipe(drawn, strength={"normals": 0.2}, output_type="pt").images
    assert not torch.allclose(plain, less) and not torch.allclose(plain, weak)
    with pytest.raises(UsageError, match="unknown label"):
        pipe(drawn, drop=["deep"])
    with pytest.raises(UsageError, match="unknown label"):
        plan_of(TLAMMethod(painter, drop=["deep"]), drawn)
    assert (
        "no label is left"
        in plan_of(TLAMMethod(painter, drop=PRIMITIVES.names), drawn).warnings[0]
    )


def test_no_label_at_all_is_a_picture_and_a_warning(painter, draw):
    told = []
    stack = draw(1, 16, 16).without(*PRIMITIVES.names)
    out = TLAMPipeline(painter)(stack, warn=told.append)
    assert out.images[0].size == (16, 16) and "no label is given" in told[0]
    with pytest.warns(UserWarning, match="no label"):
        again = TLAMPipeline(painter)(stack)
    assert again.images[0].tobytes() == out.images[0].tobytes()


def test_a_pipeline_takes_values_by_name_and_checks_them(painter):
    pipe = TLAMPipeline(painter)
    values = {"depth": torch.rand(2, 1, 16, 16)}
    out = pipe(values, output_type="np")
    assert out.images.shape == (2, 16, 16, 3) and 0 <= out.images.min() <= out.images.max() <= 1
    with pytest.raises(SceneError, match="another unit"):
        pipe({"depth": torch.rand(1, 1, 16, 16) * 9})
    with pytest.raises(UsageError, match="unknown label"):
        pipe({"deep": torch.rand(1, 1, 16, 16)})
    told = []
    pipe(values, num_images=2, warn=told.append)
    assert any("takes no noise" in line for line in told)
    with pytest.raises(UsageError):
        pipe(values, output_type="jpeg")


def test_the_concept_is_shown_in_colours_and_attention_needs_attention(painter):
    pipe = TLAMPipeline(painter)
    out = pipe({"depth": torch.rand(1, 1, 16, 16)})
    assert pipe.concept_picture(out)[0].size == (16, 16)
    assert pipe.attention(out).shape == (1, 5, 16, 16)
    with pytest.raises(UsageError, match="no attention"):
        other = TLAMPipeline(tiny_painter("clam"))
        other.attention(other({"depth": torch.rand(1, 1, 16, 16)}))


DOCUMENT = """
version = 1
canvas = [16, 16]
prompt = "a room"
[[layers]]
name = "board"
proxy = { shape = "cube", position = [%s, 0.5, %s], size = 0.5 }
"""


@pytest.fixture
def place(tmp_path, painter, renderer):
    painter.save(tmp_path / "model")
    (tmp_path / "room.toml").write_text(DOCUMENT % ("0.0", "4.0"))
    (tmp_path / "more.toml").write_text(DOCUMENT % ("0.2", "2.0"))
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def compose(*words):
    """The command as an installed package would run it."""
    import argparse

    from compose_tlam import cli

    parser = argparse.ArgumentParser()
    cli.configure(parser)
    return cli.run(parser.parse_args([str(word) for word in words]))


def test_the_command_from_scene_to_labels_to_edits(place, capsys):
    model = ("--model", place / "model")
    assert compose("labels", place / "room.toml", "--out", place / "labels") == 0
    assert (place / "labels" / "normals.png").is_file()
    assert compose("paint", place / "labels", *model, "--out", place / "a.png") == 0
    edits = {"in": ("--insert", place / "more.toml"), "out": ("--remove", place / "mask.png")}
    for name, what in edits.items():
        out = place / f"{name}.png"
        assert compose("edit", place / "labels", *what, *model, "--out", out) == 0
        assert Image.open(out).tobytes() != Image.open(place / "a.png").tobytes()
    assert compose("look", place / "room.toml", *model, "--out", place / "looks") == 0
    found = {p.name for p in (place / "looks").iterdir()}
    assert {"picture.png", "concept.png", "attention-depth.png"} <= found
    assert "in.png" in capsys.readouterr().out


def test_edited_labels_can_be_kept(place):
    kept = place / "kept"
    words = ("edit", place / "room.toml", "--remove", place / "mask.png", "--keep-labels", kept)
    words = (*words, "--fill", "none")
    assert compose(*words, "--model", place / "model", "--out", place / "x.png") == 0
    valid = np.asarray(Image.open(kept / "depth.valid.png"))
    assert not valid[4:12, 4:12].any() and valid[0, 0]


def test_wrong_commands_are_refused(place):
    model = ("--model", place / "model")
    with pytest.raises(UsageError, match="puts something in or takes something out"):
        compose("edit", place / "room.toml", *model)
    with pytest.raises(UsageError, match="NAME=NUMBER"):
        compose("paint", place / "room.toml", *model, "--strength", "depth")
    with pytest.raises(SceneError, match="no such labels"):
        compose("paint", place / "nothing", *model)
    assert actions.strengths(["depth=0.5"]) == {"depth": 0.5}


def test_help_needs_no_torch():
    import subprocess

    code = "import sys, compose_tlam.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_outputs_never_spoil_inputs(place, capsys):
    model = ("--model", place / "model")
    mask = (place / "mask.png").read_bytes()
    with pytest.raises(UsageError, match="take the place of an input"):
        compose("edit", place / "room.toml", "--remove", place / "mask.png", *model,
                "--out", place / "mask.png")  # fmt: skip
    assert (place / "mask.png").read_bytes() == mask
    compose("labels", place / "room.toml", "--out", place / "kept-labels")
    for action in ("paint", "look"):
        with pytest.raises(UsageError, match="would be taken for labels"):
            compose(action, place / "kept-labels", *model, "--out", place / "kept-labels")
    with pytest.raises(UsageError, match="written as PNG"):
        compose("paint", place / "kept-labels", *model, "--out", place / "x.jpg")
    compose("paint", place / "kept-labels", *model, "--out", place / "out")
    assert (place / "out" / "kept-labels-paint.png").is_file()


def test_looks_show_the_strengths_of_the_picture(place):
    model = ("--model", place / "model", "--out")
    compose("look", place / "room.toml", *model, place / "plain")
    compose("look", place / "room.toml", "--strength", "semantics=0", *model, place / "without")
    with Image.open(place / "without" / "attention-semantics.png") as seen:
        assert np.asarray(seen).max() == 0
    with Image.open(place / "plain" / "attention-semantics.png") as seen:
        assert np.asarray(seen).max() > 0
