"""Codecs: scaling, tiles, closed axes."""

import copy

import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from diffusers import AutoencoderKL, AutoencoderTiny

from compose_core.codec import Identity, Tiled, VAECodec, closed
from compose_core.errors import ShapeError, UsageError
from compose_core.testing.laws import check_restored


def kl(**config):
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        return AutoencoderKL(
            block_out_channels=(8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            norm_num_groups=4,
            latent_channels=4,
            **config,
        ).eval()


def tiny():
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        return AutoencoderTiny(
            encoder_block_out_channels=(8, 8, 8),
            decoder_block_out_channels=(8, 8, 8),
            num_encoder_blocks=(1, 1, 1),
            num_decoder_blocks=(1, 1, 1),
            latent_channels=4,
        ).eval()


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("vae", [kl(), tiny()], ids=["kl", "tiny"])
def test_shapes_follow_factor_and_channels(vae):
    codec = VAECodec(vae)
    z = codec.encode(noise(2, 3, 16, 24))
    assert z.shape == (2, codec.channels, 16 // codec.factor, 24 // codec.factor)
    assert codec.decode(z).shape == (2, 3, 16, 24)


@torch.no_grad()
def test_scaling_and_shift_undo_themselves():
    raw, scaled = kl(scaling_factor=1.0), kl(scaling_factor=0.25, shift_factor=0.5)
    x, z = noise(1, 3, 8, 8), noise(1, 4, 2, 2)
    torch.testing.assert_close(VAECodec(scaled).encode(x), (VAECodec(raw).encode(x) - 0.5) * 0.25)
    torch.testing.assert_close(VAECodec(scaled).decode(z), VAECodec(raw).decode(z / 0.25 + 0.5))


@torch.no_grad()
def test_means_and_deviations_per_channel():
    mean, std = [0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]
    raw, whitened = (
        kl(scaling_factor=1.0),
        kl(scaling_factor=1.0, latents_mean=mean, latents_std=std),
    )
    x = noise(1, 3, 8, 8)
    z = VAECodec(whitened).encode(x)
    back = z * torch.tensor(std).view(1, 4, 1, 1) + torch.tensor(mean).view(1, 4, 1, 1)
    torch.testing.assert_close(back, VAECodec(raw).encode(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(VAECodec(whitened).decode(z), VAECodec(raw).decode(back))


@torch.no_grad()
@pytest.mark.parametrize("size", [(40, 40), (24, 56), (16, 37)])
def test_tiled_equals_whole_when_the_margin_holds_the_receptive_field(size):
    codec = VAECodec(tiny())
    z = noise(1, 4, *size)
    tiled = Tiled(codec, tile=24, overlap=20, margin=8)
    torch.testing.assert_close(tiled.decode(z), codec.decode(z), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_tiled_is_close_for_a_decoder_with_global_layers():
    codec = VAECodec(kl())
    z = noise(1, 4, 16, 48)
    whole, tiled = codec.decode(z), Tiled(codec, tile=16, overlap=8).decode(z)
    assert (whole - tiled).square().mean() < 0.02 * whole.var()


@torch.no_grad()
@pytest.mark.parametrize("vae", [kl(), tiny()], ids=["kl", "tiny"])
@pytest.mark.parametrize("wrap", [(False, True), (True, False), (True, True)])
def test_rolled_latents_give_rolled_pictures(vae, wrap, device):
    codec = VAECodec(copy.deepcopy(vae).to(device))
    z = noise(1, 4, 6, 8).to(device)
    shift = (2 * wrap[0], 3 * wrap[1])
    rolled = codec.decode(z.roll(shift, (-2, -1)), wrap=wrap)
    want = codec.decode(z, wrap=wrap).roll(tuple(s * codec.factor for s in shift), (-2, -1))
    torch.testing.assert_close(rolled, want, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_tiled_and_closed_equals_whole_and_closed():
    codec = VAECodec(tiny())
    z = noise(1, 4, 16, 56)
    tiled = Tiled(codec, tile=24, overlap=20, margin=8)
    wrap = (False, True)
    torch.testing.assert_close(
        tiled.decode(z, wrap=wrap), codec.decode(z, wrap=wrap), atol=1e-5, rtol=1e-4
    )


@torch.no_grad()
def test_closing_is_undone_exactly_even_after_an_exception():
    vae = kl()
    inside = []

    def disturb():
        with closed(vae, (True, True)):
            inside.append(vae.decode(noise(1, 4, 4, 4)).sample)
            raise ZeroDivisionError

    check_restored(vae, lambda: vae.decode(noise(1, 4, 4, 4)).sample, disturb)
    assert not torch.equal(inside[0], vae.decode(noise(1, 4, 4, 4)).sample)


@torch.no_grad()
@pytest.mark.parametrize("build", [kl, tiny])
def test_an_offloaded_model_gets_its_input_where_its_hook_brings_it(build):
    """`enable_model_cpu_offload`, with the meta device in the place of a GPU."""
    for use, shape in (("encode", (1, 3, 16, 16)), ("decode", (1, 4, 4, 4))):
        vae, _ = cpu_offload_with_hook(build(), torch.device("meta"))
        assert getattr(VAECodec(vae), use)(noise(*shape)).device.type == "meta"


@torch.no_grad()
def test_a_model_offloaded_layer_by_layer_answers_where_it_was_asked():
    """`enable_sequential_cpu_offload`: at rest its weights are on the meta device."""
    want = VAECodec(kl()).decode(noise(1, 4, 4, 4))
    got = VAECodec(cpu_offload(kl(), torch.device("cpu"))).decode(noise(1, 4, 4, 4))
    torch.testing.assert_close(got, want)


def test_identity_is_identity():
    x = noise(1, 3, 5, 7)
    assert Identity().decode(Identity().encode(x)) is x


def test_wrong_shapes_are_named():
    codec = VAECodec(tiny())
    with pytest.raises(ShapeError, match="multiples of 4"):
        codec.encode(noise(1, 3, 10, 16))
    with pytest.raises(ShapeError, match=r"\(B, 4, h, w\)"):
        codec.decode(noise(1, 3, 4, 4))
    with pytest.raises(UsageError, match="overlap"):
        Tiled(codec, tile=4, overlap=4)


@torch.no_grad()
def test_half_precision_weights_give_back_the_dtype_of_the_input():
    codec = VAECodec(tiny().to(torch.bfloat16))
    assert codec.decode(noise(1, 4, 4, 4)).dtype == torch.float32
