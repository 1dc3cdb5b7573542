"""The same request gives the same picture: as diffusers makes it, in any batch and any form."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from compose_core.codec import VAECodec
from compose_core.evaluate import Local


def test_it_equals_the_pipeline_of_diffusers(pipe, folder, seeded, close):
    """The same model, prompt, noise and scheduler give the same picture."""
    theirs = StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    theirs.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 4, "guidance_scale": 3.0, "output_type": "np"}
    want = theirs("a red sphere", generator=seeded(0), negative_prompt="blurry", **options).images
    for sampler in ("ddim", "scheduler"):
        got = pipe(
            "a red sphere",
            generator=seeded(0),
            negative_prompt="blurry",
            sampler=sampler,
            **options,
        ).images
        close(got, want, 2e-3)


@pytest.mark.parametrize("kind", ["prompt", "scene"])
def test_a_picture_does_not_depend_on_its_batch(pipe, scene, kind, run, seeded, close):
    what = scene if kind == "scene" else "a red sphere"
    both = run(pipe, what, num_images_per_prompt=2, generator=seeded(0, 1), guidance_scale=2.0)
    for i in (0, 1):
        alone = run(pipe, what, generator=[seeded(i)], guidance_scale=2.0)
        close(both[i : i + 1], alone, 1e-3)


def test_a_list_of_prompts_equals_one_call_each(pipe, run, seeded, close):
    prompts = ["a red sphere", "a blue cube"]
    both = run(pipe, prompts, generator=seeded(0, 1), negative_prompt=["a", "b"])
    for i, prompt in enumerate(prompts):
        alone = run(pipe, prompt, generator=[seeded(i)], negative_prompt="ab"[i])
        close(both[i : i + 1], alone, 1e-3)


def test_pictures_per_prompt_come_in_the_order_of_prompts(pipe, run, seeded, close):
    four = run(
        pipe, ["a", "b"], num_images_per_prompt=2, generator=seeded(0, 1, 2, 3), guidance_scale=1.0
    )
    assert len(four) == 4
    close(four[2:3], run(pipe, "b", generator=[seeded(2)], guidance_scale=1.0), 1e-3)


def test_the_same_seed_gives_the_same_bytes(pipe, scene, run, seeded):
    assert torch.equal(run(pipe, scene), run(pipe, scene))
    assert not torch.equal(run(pipe, scene), run(pipe, scene, generator=seeded(1)))
    assert torch.equal(run(pipe, scene, generator=None), run(pipe, scene, generator=seeded(3)))


def test_output_types_are_equivalent(pipe, run, close):
    pt, array = run(pipe), run(pipe, output_type="np")
    pil = run(pipe, output_type="pil")
    close(pt.permute(0, 2, 3, 1), array)
    close(np.asarray(pil[0]), (array[0] * 255).round(), 1.01)
    latent = run(pipe, output_type="latent")
    assert latent.shape == (1, 4, 16, 16)
    with torch.no_grad():
        decoded = pipe.model.codec.decode(latent)
    close((decoded / 2 + 0.5).clamp(0, 1), pt)


def test_a_tuple_holds_the_same(pipe, run, seeded):
    (images,) = pipe(
        "a red sphere",
        num_inference_steps=2,
        output_type="pt",
        generator=seeded(0),
        return_dict=False,
    )
    assert torch.equal(images, run(pipe))


def test_guidance_of_one_ignores_the_negative_prompt(pipe, run):
    plain = run(pipe, guidance_scale=1.0)
    assert torch.equal(plain, run(pipe, guidance_scale=1.0, negative_prompt="blurry"))
    assert not torch.equal(plain, run(pipe, guidance_scale=2.0))
    assert pipe.guidance_scale == 2.0 and pipe.num_timesteps == 2


def test_batches_are_split_without_effect(pipe, scene, run, close):
    whole, split = (run(pipe, scene, evaluator=Local(n), guidance_scale=2.0) for n in (None, 1))
    close(whole, split, 1e-3)


def test_a_scene_decides_its_own_size_and_closes_its_panorama(pipe, scene, run):
    wide = scene.model_copy(update={"canvas": (128, 64), "wrap": True})
    assert run(pipe, wide).shape == (1, 3, 64, 128)


def test_a_large_canvas_and_a_tiling_vae_are_decoded_in_tiles(pipe, monkeypatch, run):
    seen = []
    decode = VAECodec.decode

    def watched(self, latents, **options):
        seen.append(tuple(latents.shape[2:]))
        return decode(self, latents, **options)

    monkeypatch.setattr(VAECodec, "decode", watched)
    options = {"num_inference_steps": 1, "guidance_scale": 1.0}
    assert run(pipe, height=32, width=320, **options).shape == (1, 3, 32, 320)
    assert seen == [(8, 32)] * 3
    seen.clear()
    run(pipe, height=32, width=256, **options)
    monkeypatch.setattr(pipe.vae, "use_tiling", True)
    run(pipe, height=32, width=128, **options)
    assert seen == [(8, 64)] + [(8, 16)] * 3
