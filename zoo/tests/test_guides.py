"""Segmentations and keypoints: what ControlNets are shown of a scene, and a short training."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import ControlNetModel
from safetensors.torch import load_file

from compose_core import zoo
from compose_core.controls import read_style
from compose_worlds.primitives import cache, figure
from compose_worlds.primitives.world import CLASSES, SEMANTICS
from compose_zoo.recipes import autoencoder, denoiser, guide, parts, text
from compose_zoo.recipes import controlnet_tiny_keypoints as dots
from compose_zoo.recipes import controlnet_tiny_segments as segments
from compose_zoo.recipes.denoiser import CAPTIONS

SCENES = range(6)
RECIPES = {"controlnet-tiny-segments": segments, "controlnet-tiny-keypoints": dots}


@pytest.fixture(scope="module")
def words():
    return text.tokenizer()


@pytest.fixture(scope="module")
def drawn():
    return cache.make(SCENES)


def _base(words):
    unet, encoder = denoiser.build(), text.text_encoder(words)
    return SimpleNamespace(
        unet=unet, text_encoder=encoder, tokenizer=words, vae=autoencoder.build()
    )


def _samples():
    n = len(SCENES)
    dice = torch.Generator().manual_seed(0)
    latents = torch.randn(2 * n, 4, 16, 16, generator=dice)
    return latents, torch.randint(0, 100, (2 * n * CAPTIONS, text.LENGTH), generator=dice)


def test_classes_can_be_read_off_a_segmentation(drawn) -> None:
    shown = segments.segmentation(drawn["semantics"])
    assert shown.shape == (len(SCENES), 3, 64, 64)
    assert set(segments.PALETTE) == set(SEMANTICS)
    colors = torch.tensor([segments.PALETTE[name] for name in SEMANTICS]) / 255
    assert float(torch.cdist(colors, colors).add(9 * torch.eye(len(colors))).min()) > 0.4
    gaps = (shown[:, None] - colors[None, :, :, None, None]).abs().sum(2)
    assert (
        torch.equal(gaps.argmin(1), drawn["semantics"].long()) and float(gaps.amin(1).max()) == 0
    )


def test_every_second_map_shows_objects_alone(drawn) -> None:
    shown, whole = (f(drawn["semantics"]) for f in (segments.condition, segments.segmentation))
    solid = (drawn["semantics"] >= segments.OBJECTS)[:, None]
    kinds = set()
    for map_, all_, inside in zip(shown, whole, solid, strict=True):
        bare = bool(inside.sum() % 2)
        assert torch.equal(map_, all_ * inside if bare else all_)
        kinds.add(bare)
    assert kinds == {True, False}
    flipped = segments.condition(drawn["semantics"].flip(-1))
    assert torch.equal(flipped, shown.flip(-1))


def test_keypoints_of_a_diamond_are_its_corners() -> None:
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    instance = torch.full((1, 32, 32), 255, dtype=torch.uint8)
    instance[0][(x - 20).abs() + (y - 12).abs() <= 6] = 1
    found = dots.keypoints(instance)
    assert found.shape == (1, dots.SLOTS, 5, 2)
    assert bool(found[0, [0, 2, 3]].isnan().all())
    corners = torch.tensor([(20, 12), (14, 12), (26, 12), (20, 6), (20, 18)])
    torch.testing.assert_close(found[0, 1], (corners + 0.5) / 32)


def test_keypoints_are_drawn_where_they_are(drawn) -> None:
    """Centres are white, outermost points are near colour, and all else is black."""
    points = dots.keypoints(drawn["instance"])
    shown = dots.condition(drawn["instance"])
    assert shown.shape == (len(SCENES), 3, 64, 64)
    assert 0 <= float(shown.amin()) and float(shown.amax()) <= 1
    for picture, objects, mask in zip(shown, points, drawn["instance"], strict=True):
        seen = objects[~objects[:, 0, 0].isnan()]
        assert len(seen) == len(mask.unique()) - 1
        for thing in seen:
            column, row = (thing[0] * 64).long().tolist()
            assert float(picture[:, row, column].amin()) > 0.7
            for column, row in (thing[1:] * 64).long().clamp_max(63).tolist():
                assert float(picture[:, row, column].amax()) > 0.3
        assert float((picture.amax(0) == 0).float().mean()) > 0.5


def test_mirrored_keypoints_are_those_of_the_mirrored_scene(drawn) -> None:
    """So a mirrored drawing of a scene is the drawing of the mirrored scene."""
    flipped = dots.condition(drawn["instance"].flip(-1))
    torch.testing.assert_close(
        flipped, dots.condition(drawn["instance"]).flip(-1), atol=2e-4, rtol=0
    )


def test_scenes_of_the_base_hold_no_figure(drawn) -> None:
    """Why keypoints are those of solids: joints belong to figures."""
    assert "figure" in CLASSES and int(drawn["semantics"].max()) < CLASSES.index("figure")
    assert len(figure.JOINTS) > 5


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_task_shows_the_map_of_its_condition(words, drawn, recipe) -> None:
    label = "semantics" if recipe is segments else "instance"
    base = _base(words)
    empty = torch.tensor(words("", padding="max_length").input_ids)
    task = guide.GuideTask(
        *_samples(), drawn[label], base.unet, base.text_encoder, empty, recipe.condition
    )
    n = len(SCENES)
    batch = task.batch(torch.tensor([4 * CAPTIONS, (n + 4) * CAPTIONS]))
    assert torch.equal(batch["map"][0], recipe.condition(drawn[label][4:5])[0])
    assert torch.equal(batch["map"][1], batch["map"][0].flip(-1))


@pytest.mark.slow
@pytest.mark.parametrize("model", RECIPES)
def test_a_short_training_leaves_a_controlnet(model, words, drawn, tmp_path, monkeypatch) -> None:
    recipe, base = RECIPES[model], _base(words)
    before = {k: v.clone() for k, v in base.unet.state_dict().items()}
    monkeypatch.setattr(parts, "base_of", lambda _: base)
    monkeypatch.setattr(guide, "latents_of", lambda *_: _samples())
    monkeypatch.setattr(guide, "SCENES", SCENES)
    monkeypatch.setattr(recipe, "CONFIG", replace(recipe.CONFIG, batch_size=4))
    assert zoo.find_recipe(model) is recipe and recipe.CONFIG.seed == recipe.SEED
    recipe.train(tmp_path / model, steps=3)
    out = tmp_path / model / "export"
    kept = load_file(out / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in kept.values()} == {torch.float16}
    made = ControlNetModel.from_pretrained(out)
    style = read_style(out)
    assert style is not None and style.control == model.rpartition("-")[2]
    assert any(bool(block.weight.any()) for block in made.controlnet_down_blocks)
    assert all(torch.equal(before[k], v) for k, v in base.unet.state_dict().items())
