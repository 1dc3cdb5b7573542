"""The tiny folder is a Stable Diffusion folder to everybody who loads one."""

import hashlib

import pytest
import torch

from compose_core.testing.folders import tiny_controlnet, tiny_stable_diffusion

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", seed=3)


def digests(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.safetensors"))
    }


def test_diffusers_loads_and_runs_it(folder):
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pictures = [
        pipeline(
            prompt,
            num_inference_steps=2,
            output_type="pt",
            generator=torch.Generator().manual_seed(0),
        ).images
        for prompt in ("a red sphere", "a blue cube")
    ]
    assert pictures[0].shape == (1, 3, 64, 64)
    assert bool(pictures[0].isfinite().all()) and pictures[0].std() > 0.01
    assert not torch.equal(*pictures), "the prompt has an effect"


def test_any_text_can_be_spelled(folder):
    tokenizer = diffusers.StableDiffusionPipeline.from_pretrained(folder).tokenizer
    ids = tokenizer("Ünïcode, 日本 and 🎈", padding="max_length", max_length=77).input_ids
    assert len(ids) == 77 and ids[0] == tokenizer.bos_token_id
    assert ids.index(tokenizer.eos_token_id) > 20
    assert "balloon" in tokenizer.decode(tokenizer("a balloon").input_ids)


def test_the_seed_decides_the_weights_and_nothing_else_is_random(folder, tmp_path):
    state = torch.get_rng_state()
    again = tiny_stable_diffusion(tmp_path / "again", seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert digests(again) == digests(folder) and len(digests(folder)) == 3
    other = digests(tiny_stable_diffusion(tmp_path / "other", seed=4))
    assert not set(other.values()) & set(digests(folder).values())


def test_the_controlnet_fits(folder, tmp_path):
    control = diffusers.ControlNetModel.from_pretrained(tiny_controlnet(tmp_path / "control"))
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    g = torch.Generator().manual_seed(0)
    x, text = torch.randn(1, 4, 16, 16, generator=g), torch.randn(1, 77, 32, generator=g)

    def eps(depth):
        down, mid = control(x, 10, text, depth, return_dict=False)
        return unet(x, 10, text, down_block_additional_residuals=down,
                    mid_block_additional_residual=mid).sample  # fmt: skip

    with torch.no_grad():
        near, far = eps(torch.ones(1, 3, 64, 64)), eps(torch.zeros(1, 3, 64, 64))
    assert near.shape == x.shape and not torch.allclose(near, far)
