"""Labels lead a diffusion model: nothing before training, something after, saved and loaded."""

import pytest
import torch

from compose_core.errors import WeightsError
from compose_tlam.control import LabelControl, TLAMControlMethod, load_merger
from compose_tlam.labels import PRIMITIVES
from compose_tlam.stack import LabelStack


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from compose_core.backbones import load_model
    from compose_core.testing.folders import tiny_stable_diffusion

    return load_model(tiny_stable_diffusion(tmp_path_factory.mktemp("model") / "base"))


@pytest.fixture
def control(model):
    factor = model.codec.factor
    embedding = (8,) * factor.bit_length()
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        return LabelControl.from_unet(
            PRIMITIVES, model.components["unet"], embedding=embedding, width=6, layers=1
        )


def plan_of(method, scene, model, guidance=2.0):
    return method.plan(
        scene,
        model,
        device="cpu",
        generator=torch.Generator().manual_seed(0),
        guidance=guidance,
        steps=2,
    )


def answer(plan, model):
    x = torch.randn(1, *plan.shape, generator=torch.Generator().manual_seed(1))
    level = model.schedule.levels(4)[1]
    return plan.denoiser(x, level).x0


def test_a_fresh_control_changes_nothing_and_a_moved_one_does(control, model, scene, tmp_path):
    drawn = scene((0.0, 2.0), size=4 * model.codec.factor)
    control.save(tmp_path / "fresh")
    plain = answer(plan_of(TLAMControlMethod(tmp_path / "fresh"), drawn, model), model)
    other = scene((0.2, 3.0), size=4 * model.codec.factor)
    moved = answer(plan_of(TLAMControlMethod(tmp_path / "fresh"), other, model), model)
    assert torch.equal(plain, moved)
    for block in control.controlnet.controlnet_down_blocks:
        torch.nn.init.constant_(block.weight, 0.05)
    last = control.controlnet.controlnet_cond_embedding.conv_out
    torch.nn.init.constant_(last.weight, 0.05)
    control.save(tmp_path / "led")
    method = TLAMControlMethod(tmp_path / "led")
    assert not torch.allclose(
        answer(plan_of(method, drawn, model), model), answer(plan_of(method, other, model), model)
    )
    weak = TLAMControlMethod(tmp_path / "led", strength={"depth": 0.1})
    assert not torch.equal(
        answer(plan_of(method, drawn, model), model), answer(plan_of(weak, drawn, model), model)
    )


def test_gradients_reach_the_merger_once_the_control_speaks(control, model, draw):
    for block in control.controlnet.controlnet_down_blocks:
        torch.nn.init.constant_(block.weight, 0.05)
    torch.nn.init.constant_(control.controlnet.controlnet_cond_embedding.conv_out.weight, 0.05)
    side = 4
    unet = model.components["unet"]
    words = torch.zeros(1, 3, unet.config.cross_attention_dim)
    stack = draw(1, side * model.codec.factor, side * model.codec.factor)
    x = torch.zeros(1, unet.config.in_channels, side, side)
    down, middle = control(x, torch.tensor([3]), words, stack)
    (sum(one.square().sum() for one in down) + middle.square().sum()).backward()
    assert bool(control.merger.position.grad.any())


def test_what_is_saved_is_loaded(control, draw, tmp_path):
    control.save(tmp_path)
    found = load_merger(tmp_path)
    stack = draw(1, 4, 4)
    torch.testing.assert_close(found(stack), control.merger(stack), atol=0.02, rtol=0)
    assert (
        isinstance(stack, LabelStack)
        and next(control.controlnet.parameters()).dtype == torch.float32
    )
    (tmp_path / "merger.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError):
        load_merger(tmp_path)
