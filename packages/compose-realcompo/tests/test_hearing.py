"""Which layers are listened to: those of the paper at full size, the analogous ones elsewhere."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from compose_core.errors import UsageError
from compose_realcompo.hearing import Ears, ears


def on_no_device(**config):
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


def test_stable_diffusion_15_is_heard_at_16_by_16():
    """Five layers on the way down and up, the middle left out, as in the published code."""
    unet = on_no_device(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    heard = ears(unet)
    assert heard.factor == 4
    assert heard.size((64, 64)) == (16, 16)
    assert heard.size((96, 64)) == (24, 16)
    prefixes = sorted(name.split(".attentions")[0] for name in heard.where)
    assert prefixes == ["down_blocks.2"] * 2 + ["up_blocks.1"] * 3
    assert all(name.endswith("attn2") for name in heard.where)


def test_gated_layers_are_not_mistaken_for_cross_attention():
    plain = on_no_device(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    gated = on_no_device(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8, attention_type="gated"
    )
    assert ears(gated) == ears(plain)


def test_sdxl_is_heard_at_32_by_32():
    unet = on_no_device(
        sample_size=128,
        cross_attention_dim=2048,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        use_linear_projection=True,
    )
    heard = ears(unet)
    assert heard.factor == 4
    assert heard.size((128, 128)) == (32, 32)
    assert len(heard.where) == 20 + 30


def test_another_resolution_may_be_asked_for(models):
    unet = models[0].network.unet
    assert ears(unet).factor == 1
    assert {name.split(".")[0] for name in ears(unet, 2).where} == {"down_blocks", "up_blocks"}
    with pytest.raises(UsageError, match=r"8 times coarser[\s\S]*\[1, 2\]"):
        ears(unet, 8)


def test_maps_cover_more_than_latents_that_are_no_multiple_of_a_cell():
    ear = Ears((), 4)
    assert (ear.size((64, 66)), ear.covered((64, 66))) == ((16, 17), (1.0, 66 / 68))
