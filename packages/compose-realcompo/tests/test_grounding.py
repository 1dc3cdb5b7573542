"""Gated layers: closed they are not there, open they hear boxes, and they are files."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from compose_core.backbones import load_model
from compose_core.conditions import Box
from compose_core.encoded import Encoded
from compose_core.errors import UsageError, WeightsError
from compose_core.testing.folders import tiny_stable_diffusion
from compose_core.testing.models import stable_diffusion_schedule
from compose_realcompo.gated import add_gates, hearing_boxes, new_tensors
from compose_realcompo.grounding import GatedUNet, embed_phrases, grounded
from compose_realcompo.sides import check_same_latents, load_spatial
from compose_realcompo.testing import tiny_gated

LEVELS = stable_diffusion_schedule().levels(10)
LEFT, RIGHT = Box(0.1, 0.2, 0.4, 0.8), Box(0.6, 0.2, 0.9, 0.8)


@pytest.fixture(scope="module")
def base(models):
    return models[1]


@pytest.fixture(scope="module")
def gated(base, folders):
    return add_gates(base, folders["gated"])


def asked(model, boxes, phrases=("a cube",), **more):
    heard, without = grounded(boxes, embed_phrases(model.text, phrases[: len(boxes)]), "cpu")
    text = model.text.encode("a cube")["text"]
    return Encoded({"text": text, **heard}), Encoded({"text": text, **without})


def test_without_boxes_it_is_the_base_bit_for_bit(base, gated, x_t):
    text = base.text.encode("a cube")
    plain = base.network(x_t, LEVELS[3], text).x0
    assert torch.equal(gated.network(x_t, LEVELS[3], text).x0, plain)


def test_closed_gates_are_not_there(base, folders, tmp_path, x_t):
    closed = add_gates(base, tiny_gated(tmp_path / "closed", folders["second"], gate=0.0))
    heard, _ = asked(base, [LEFT])
    plain = base.network(x_t, LEVELS[3], base.text.encode("a cube")).x0
    assert torch.equal(closed.network(x_t, LEVELS[3], heard).x0, plain)


def test_open_ones_hear_where_and_what(gated, x_t):
    left, nowhere = asked(gated, [LEFT])
    right, _ = asked(gated, [RIGHT])
    other, _ = asked(gated, [LEFT], ("a cone",))
    found = [gated.network(x_t, LEVELS[3], e).x0 for e in (left, nowhere, right, other)]
    for i in range(4):
        for j in range(i):
            assert (found[i] - found[j]).abs().max() > 1e-4


def test_weights_are_shared_with_the_base(base, gated):
    ours, theirs = gated.components["unet"].state_dict(), base.components["unet"].state_dict()
    assert set(theirs) | set(new_tensors(gated.components["unet"])) == set(ours)
    assert all(ours[name].data_ptr() == value.data_ptr() for name, value in theirs.items())


def test_a_missing_box_is_the_learned_one_whatever_it_says(gated, x_t):
    _, a = asked(gated, [LEFT])
    _, b = asked(gated, [RIGHT], ("a cone",))
    assert torch.equal(gated.network(x_t, LEVELS[3], a).x0, gated.network(x_t, LEVELS[3], b).x0)


def test_gates_close_over_the_walk(base, gated, x_t):
    unet = gated.components["unet"]
    heard, _ = asked(gated, [LEFT])
    half = GatedUNet(unet, base.schedule, "epsilon", on=0.5)
    early, late = LEVELS[0], LEVELS[8]
    plain = base.network(x_t, late, base.text.encode("a cube")).x0
    assert torch.equal(half(x_t, early, heard).x0, gated.network(x_t, early, heard).x0)
    assert torch.equal(half(x_t, late, heard).x0, plain)
    fading = GatedUNet(unet, base.schedule, "epsilon", on=0.0, fade=1.0)
    level = LEVELS[5]
    between = fading(x_t, level, heard).x0
    full = gated.network(x_t, level, heard).x0
    none = base.network(x_t, level, base.text.encode("a cube")).x0
    assert 0 < (between - none).norm() < (full - none).norm()
    assert not any("forward" in m.__dict__ for m in unet.modules())
    with pytest.raises(UsageError, match="schedule"):
        GatedUNet(unet, base.schedule, "epsilon", on=0.7, fade=0.5)


def test_a_scaled_gate_is_the_layer_of_diffusers_at_one(gated):
    from compose_realcompo.grounding import _forward

    fuser = gated.components["unet"].down_blocks[0].attentions[0].transformer_blocks[0].fuser
    x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))
    objects = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = fuser(x, objects)
        torch.testing.assert_close(_forward(fuser, torch.ones(()))(x, objects), expected)


def test_a_whole_gligen_folder(gated, base, tmp_path, x_t, folders):
    import shutil

    folder = tmp_path / "whole"
    shutil.copytree(folders["second"], folder)
    shutil.rmtree(folder / "unet")
    gated.components["unet"].save_pretrained(folder / "unet", safe_serialization=True)
    side = load_spatial(folder, base, "cpu")
    model = side.model
    assert side.hears == "boxes" and side.style is None
    heard, _ = asked(base, [LEFT])
    expected = gated.network(x_t, LEVELS[3], heard).x0
    torch.testing.assert_close(model.network(x_t, LEVELS[3], heard).x0, expected)
    with pytest.raises(WeightsError, match="does not hear boxes"):
        hearing_boxes(load_model(folders["first"]))


def test_thirty_boxes_are_enough(base):
    with pytest.raises(UsageError, match="more boxes"):
        grounded([LEFT] * 31, torch.zeros(31, 32), "cpu")


def test_damaged_or_foreign_files_are_refused(base, folders, tmp_path):
    with pytest.raises(WeightsError, match="no gated layers"):
        add_gates(base, tmp_path)
    folder = tiny_gated(tmp_path / "g", folders["second"])
    tensors = load_file(folder / "gligen.safetensors")
    name = next(iter(tensors))
    save_file({**tensors, name: torch.zeros(3, 3)}, folder / "gligen.safetensors")
    with pytest.raises(WeightsError, match="another model"):
        add_gates(base, folder)
    (folder / "gligen.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="cannot be read"):
        add_gates(base, folder)
    (folder / "gligen.json").write_text(json.dumps({"format": 9}))
    with pytest.raises(WeightsError, match="format 1"):
        add_gates(base, folder)
    with pytest.raises(WeightsError, match="no spatially aware model"):
        load_spatial(_empty(tmp_path), base, "cpu")


def _empty(home):
    folder = home / "empty"
    folder.mkdir()
    return folder


def test_other_latents_are_refused_by_name(models, tmp_path):
    other = load_model(tiny_stable_diffusion(tmp_path / "third", seed=5))
    with pytest.raises(WeightsError, match="what a latent looks like"):
        check_same_latents(models[0], other, ("text", "layout"))
    scaled = copy.deepcopy(models[0])
    scaled.components["vae"].register_to_config(scaling_factor=0.5)
    with pytest.raises(WeightsError, match="scaling_factor = 0.5"):
        check_same_latents(models[0], scaled, ("text", "layout"))
    check_same_latents(models[0], copy.deepcopy(models[0]), ("text", "layout"))
