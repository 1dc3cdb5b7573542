"""The local fuser: a clone that starts as the encoder, silent, and hears depth through FDN."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from compose_cnc.model import FDN, LocalFuser, Sizes
from compose_cnc.testing import SIZES, awake, draw
from compose_core.errors import UsageError


def given(seed=0, size=16):
    depth = [draw(2, 3, 4 * size, 4 * size, seed=seed + i, uniform=True) for i in (1, 2)]
    return draw(2, 4, size, size), torch.tensor(400), draw(2, 7, 32), depth


@torch.no_grad()
def test_before_training_it_adds_nothing(fuser):
    x, t, text, depth = given()
    down, mid = fuser(x, t, text, fuser.features(*depth))
    assert not mid.any() and all(not x.any() for x in down)


@torch.no_grad()
def test_before_training_the_clone_is_the_encoder(unet, fuser):
    """Whatever the depth: its features are zero, and the norms were taken over."""
    x, t, text, depth = given()
    outputs = {}

    def keep(name):
        return lambda module, args, out: outputs.setdefault(name, out)

    hooks = [unet.mid_block.register_forward_hook(keep("unet"))]
    hooks += [fuser.mid_block.register_forward_hook(keep("clone"))]
    unet(x, t, encoder_hidden_states=text)
    fuser(x, t, text, fuser.features(*depth))
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(outputs["clone"], outputs["unet"], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_residuals_fit_the_skips_of_the_unet(unet, fuser):
    x, t, text, depth = given()
    down, mid = awake(fuser)(x, t, text, fuser.features(*depth))
    out = unet(
        x,
        t,
        encoder_hidden_states=text,
        down_block_additional_residuals=down,
        mid_block_additional_residual=mid,
    ).sample
    assert (out - unet(x, t, encoder_hidden_states=text).sample).abs().max() > 1e-3


@torch.no_grad()
def test_depth_is_heard_at_every_resolution(fuser):
    x, t, text, depth = given()
    whole = awake(fuser).features(*depth)
    want = fuser(x, t, text, whole).mid
    for i, other in enumerate(fuser.features(depth[1], depth[0]).levels):
        levels = list(whole.levels)
        levels[i] = other
        changed = type(whole)(tuple(levels))
        assert (fuser(x, t, text, changed).mid - want).abs().max() > 1e-4


@torch.no_grad()
def test_any_proportions_that_the_unet_takes(fuser):
    x, depth = draw(1, 4, 9, 14), draw(1, 3, 36, 56, uniform=True)
    down, mid = awake(fuser)(x, torch.tensor(3), draw(1, 7, 32), fuser.features(depth, depth))
    assert down[0].shape[2:] == (9, 14) and mid.shape[2:] == (5, 7)


@torch.no_grad()
def test_one_time_per_sample_equals_one_call_each(fuser):
    x, _, text, depth = given()
    modulation = awake(fuser).features(*depth)
    both = fuser(x, torch.tensor([900, 10]), text, modulation).mid
    for i, t in enumerate((900, 10)):
        row = slice(i, i + 1)
        here = fuser.features(depth[0][row], depth[1][row])
        alone = fuser(x[row], torch.tensor(t), text[row], here).mid
        torch.testing.assert_close(both[row], alone, atol=1e-4, rtol=1e-4)


def test_recomputed_activations_give_the_same_gradients(fuser):
    x, t, text, depth = given()

    def gradient():
        fuser.zero_grad()
        fuser(x, t, text, fuser.features(*depth)).mid.square().mean().backward()
        return [p.grad.clone() for p in fuser.parameters() if p.grad is not None]

    awake(fuser)
    want = gradient()
    fuser.enable_gradient_checkpointing()
    got = gradient()
    assert fuser.gradient_checkpointing and len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_every_weight_learns_in_two_steps(fuser):
    """Zero convolutions first, then what lies behind them; nothing is left out."""
    x, t, text, depth = given()
    optimizer = torch.optim.SGD(fuser.parameters(), 0.5)
    before = {name: p.detach().clone() for name, p in fuser.named_parameters()}
    for _ in range(3):
        optimizer.zero_grad()
        down, mid = fuser(x, t, text, fuser.features(*depth))
        sum((y - 1).square().mean() for y in (*down, mid)).backward()
        optimizer.step()
    same = [name for name, p in fuser.named_parameters() if torch.equal(p, before[name])]
    assert same == []


def test_the_same_seed_gives_the_same_weights(unet):
    before = torch.random.get_rng_state()
    one, two = (LocalFuser.from_unet(unet, SIZES) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    bare = LocalFuser.from_unet(unet, SIZES, load_weights=False)
    assert not torch.equal(bare.conv_in.weight, unet.conv_in.weight)
    assert not any(p.any() for p in bare.controlnet_down_blocks.parameters())


@torch.no_grad()
def test_it_is_saved_and_read_as_any_model_of_diffusers(fuser, tmp_path):
    awake(fuser).save_pretrained(tmp_path)
    again = LocalFuser.from_pretrained(tmp_path, local_files_only=True).eval()
    assert again.factor == 4
    x, t, text, depth = given()
    want = fuser(x, t, text, fuser.features(*depth))
    got = again(x, t, text, again.features(*depth))
    assert torch.equal(got.mid, want.mid)


def test_a_unet_of_another_layout_is_refused(unet):
    with pytest.raises(UsageError, match="one feature for each"):
        LocalFuser.from_unet(unet, Sizes((8, 8), (1, 2), (8, 16, 24)))
    other = UNet2DConditionModel.from_config(unet.config, class_embed_type="timestep")
    with pytest.raises(UsageError, match="class_embed_type = timestep"):
        LocalFuser.from_unet(other, SIZES)


def test_sizes_of_the_published_networks():
    """Stable Diffusion 1: 411.8M, of which streams 8.1M, denormalisation 43.5M, zeros 11.5M."""

    def millions(*modules):
        return sum(p.numel() for module in modules for p in module.parameters()) / 1e6

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        fuser = LocalFuser()
    assert millions(unet) == pytest.approx(859.5, abs=0.1)
    assert millions(fuser) == pytest.approx(411.8, abs=0.1)
    assert millions(fuser.streams) == pytest.approx(8.1, abs=0.1)
    denormalisations = [m for m in fuser.modules() if isinstance(m, FDN)]
    assert millions(*denormalisations) == pytest.approx(43.5, abs=0.1)
    zeros = (fuser.controlnet_down_blocks, fuser.controlnet_mid_block)
    assert millions(*zeros) == pytest.approx(11.5, abs=0.1)
    assert len(fuser.controlnet_down_blocks) == 12
    widths = [
        (d.norm.num_channels, d.gamma.in_channels) for d in denormalisations if isinstance(d, FDN)
    ]
    assert widths == [
        *[(320, 192)] * 2,
        *[(320, 256), (640, 256)],
        *[(640, 384), (1280, 384)],
        *[(1280, 512)] * 2,
    ]
