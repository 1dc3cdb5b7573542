"""Variants of `sd-tiny`: crayon drawings in latents, and what moves while they are learned."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from compose_core import zoo
from compose_worlds.primitives import cache
from compose_worlds.primitives.crayon import crayon
from compose_zoo.recipes import (
    autoencoder,
    denoiser,
    sd_tiny_crayon,
    sd_tiny_second,
    text,
    tuned,
)
from compose_zoo.recipes.denoiser import CAPTIONS

SCENES = range(6)
RECIPES = {"sd-tiny-crayon": sd_tiny_crayon, "sd-tiny-second": sd_tiny_second}


@pytest.fixture(scope="module")
def words():
    return text.tokenizer()


@pytest.fixture
def base(words):
    unet, encoder = denoiser.build(), text.text_encoder(words)
    return SimpleNamespace(
        unet=unet, text_encoder=encoder, tokenizer=words, vae=autoencoder.build()
    )


def _samples(*_):
    n = len(SCENES)
    dice = torch.Generator().manual_seed(0)
    latents = torch.randn(2 * n, 4, 16, 16, generator=dice)
    return latents, torch.randint(0, 100, (2 * n * CAPTIONS, text.LENGTH), generator=dice)


def test_drawings_are_of_the_scenes_by_number(tmp_path) -> None:
    made = sd_tiny_crayon.drawings(tmp_path, SCENES)
    seen = cache.make(SCENES)
    assert made.shape == seen["picture"].shape and made.dtype == torch.uint8
    wanted = crayon(
        seen["picture"][2:3].float() / 255,
        seen["instance"][2:3],
        seen["semantics"][2:3],
        seen["normals"][2:3],
        [SCENES[2]],
    )
    assert torch.equal(made[2:3], (wanted * 255).round().to(torch.uint8))


def test_latents_of_drawings_are_made_once(tmp_path, monkeypatch) -> None:
    vae = autoencoder.build()
    first = sd_tiny_crayon.drawn_latents(tmp_path / "run", tmp_path, vae, SCENES)
    assert first.shape == (2 * len(SCENES), 4, 16, 16)
    made = sd_tiny_crayon.drawings(tmp_path, SCENES)
    mirrored = denoiser.encode(vae, made[1:2].flip(-1))
    torch.testing.assert_close(first[len(SCENES) + 1], mirrored[0], atol=2e-2, rtol=2e-2)
    monkeypatch.setattr(sd_tiny_crayon, "drawings", None)
    again = sd_tiny_crayon.drawn_latents(tmp_path / "run", tmp_path, vae, SCENES)
    assert torch.equal(again, first)


def test_the_words_stay_as_they_are(base) -> None:
    task = tuned.TunedTask(*_samples(), base)
    loss, _ = task.loss(task.batch(torch.arange(4)), torch.Generator().manual_seed(0))
    loss.backward()
    assert list(task.modules) == ["unet"] and all(
        p.grad is not None for p in base.unet.parameters()
    )
    assert not any(p.requires_grad for p in base.text_encoder.parameters())


def test_the_second_model_sees_other_scenes() -> None:
    seen = set(denoiser.SCENES) | set(denoiser.MORE)
    assert not seen & set(sd_tiny_second.SCENES)
    assert sd_tiny_second.SCENES.stop < cache.HELD_OUT


@pytest.mark.slow
@pytest.mark.parametrize("model", RECIPES)
def test_a_short_training_leaves_a_pipeline(model, base, tmp_path, monkeypatch) -> None:
    recipe = RECIPES[model]
    before = {k: v.clone() for k, v in base.unet.state_dict().items()}
    said = {k: v.half().clone() for k, v in base.text_encoder.state_dict().items()}
    monkeypatch.setattr(recipe, "base_of", lambda _: base)
    monkeypatch.setattr(recipe, "latents_of", _samples)
    monkeypatch.setattr(recipe, "SCENES", SCENES)
    monkeypatch.setattr(tuned, "CONFIG", replace(tuned.CONFIG, batch_size=4))
    assert zoo.find_recipe(model) is recipe
    recipe.train(tmp_path / model, steps=3)
    out = tmp_path / model / "export"
    unet = load_file(out / "unet" / "diffusion_pytorch_model.safetensors")
    assert set(unet) == set(before)
    assert sum(not torch.equal(unet[k], v.half()) for k, v in before.items()) > 0.9 * len(unet)
    encoder = load_file(out / "text_encoder" / "model.safetensors")
    assert encoder and all(torch.equal(said[k], v) for k, v in encoder.items())
    pipe = StableDiffusionPipeline.from_pretrained(out, safety_checker=None)
    assert pipe.unet.config["sample_size"] == 16
