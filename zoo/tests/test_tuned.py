"""Variants of `sd-tiny`: crayon drawings in latents, and what moves while they are learned."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from compose_core import zoo
from compose_core.backbones import load_model
from compose_core.errors import WeightsError
from compose_core.zoo.digest import hash_folder
from compose_worlds.primitives import cache
from compose_worlds.primitives.crayon import crayon
from compose_zoo.recipes import (
    autoencoder,
    denoiser,
    low_rank,
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


def test_only_the_changes_move(base) -> None:
    task = tuned.TunedTask(*_samples(), base)
    loss, _ = task.loss(task.batch(torch.arange(4)), torch.Generator().manual_seed(0))
    loss.backward()
    moving = {id(p) for p in task.changes.parameters()}
    for module in (base.unet, base.text_encoder):
        assert {id(p) for p in module.parameters() if p.requires_grad} <= moving
    ups = [p for name, p in task.changes.named_parameters() if name.endswith("up")]
    assert ups and all(p.grad is not None and p.grad.abs().sum() > 0 for p in ups)


def test_at_first_nothing_changes_and_then_every_layer_does(base) -> None:
    unet, dice = base.unet.eval(), torch.Generator().manual_seed(0)
    asked = torch.randn(2, 4, 16, 16, generator=dice), torch.tensor([500, 20])
    words = torch.randn(2, 8, 128, generator=dice)
    with torch.no_grad():
        before = unet(*asked, words).sample
        layers = {n: m.weight.clone() for n, m in unet.named_modules() if hasattr(m, "weight")}
        changes = low_rank.attach(unet, rank=3)
        assert torch.equal(unet(*asked, words).sample, before)
        for change in changes.values():
            change.up.normal_(generator=dice)
        assert not torch.allclose(unet(*asked, words).sample, before)
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    assert len(changes) == sum(isinstance(m, kinds) for m in unet.modules())
    for key, change in changes.items():
        name = key.replace("/", ".")
        moved = (unet.get_submodule(name).weight - layers[name]).flatten(1)
        assert torch.linalg.matrix_rank(moved, rtol=1e-4) == len(change.down) <= 3


def test_what_is_exported_loads_as_what_was_trained(tmp_path) -> None:
    folder = zoo.resolve("sd-tiny")
    unet = load_model(folder).components["unet"]
    changes, dice = low_rank.attach(unet), torch.Generator().manual_seed(0)
    for change in changes.values():
        torch.nn.init.normal_(change.up, std=0.02, generator=dice)
    low_rank.export(changes, unet, tmp_path / "lora", "sd-tiny", hash_folder(folder))
    made = load_model(tmp_path / "lora").components["unet"]
    for key in changes:
        name = key.replace("/", ".")
        trained, loaded = (m.get_submodule(name).weight for m in (unet, made))
        torch.testing.assert_close(loaded, trained, atol=2e-4, rtol=1e-3)


def test_changes_trained_on_another_base_are_refused(tmp_path) -> None:
    unet = load_model(zoo.resolve("sd-tiny")).components["unet"]
    low_rank.export(low_rank.attach(unet), unet, tmp_path, "sd-tiny", "0" * 64)
    with pytest.raises(WeightsError, match="another model than sd-tiny"):
        load_model(tmp_path)


@pytest.mark.parametrize("model", RECIPES)
def test_manifests_list_what_recipes_write(model, tmp_path) -> None:
    unet = load_model(zoo.resolve("sd-tiny")).components["unet"]
    low_rank.export(low_rank.attach(unet), unet, tmp_path, "sd-tiny")
    listed = {file.name for file in zoo.find(model).files}
    assert listed == {path.name for path in tmp_path.iterdir()}


def test_the_second_model_sees_other_scenes() -> None:
    seen = set(denoiser.SCENES) | set(denoiser.MORE)
    assert not seen & set(sd_tiny_second.SCENES)
    assert sd_tiny_second.SCENES.stop < cache.HELD_OUT


@pytest.mark.slow
@pytest.mark.parametrize("model", RECIPES)
def test_a_short_training_leaves_changes_of_sd_tiny(model, tmp_path, monkeypatch) -> None:
    recipe = RECIPES[model]
    if model == "sd-tiny-crayon":
        monkeypatch.setattr(recipe, "drawn_latents", lambda *_: _samples()[0])
        monkeypatch.setattr(recipe, "sentences", lambda _: ["a red sphere"] * len(_samples()[1]))
    else:
        monkeypatch.setattr(recipe, "latents_of", _samples)
    monkeypatch.setattr(tuned, "CONFIG", replace(tuned.CONFIG, batch_size=4))
    assert zoo.find_recipe(model) is recipe
    recipe.train(tmp_path / model, steps=3)
    out = tmp_path / model / "export"
    assert zoo.base_folder(out) == zoo.resolve("sd-tiny")
    base, made = load_model(zoo.resolve("sd-tiny")), load_model(out)
    before, after = (m.components["unet"].state_dict() for m in (base, made))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert len(changed) > 100 and all(name.endswith(".weight") for name in changed)
    encoders = [m.components["text_encoder"].state_dict() for m in (base, made)]
    assert all(torch.equal(value, encoders[1][name]) for name, value in encoders[0].items())
