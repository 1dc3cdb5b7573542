"""Baselines hear what they say they hear, as their papers do."""

import pytest
import torch

from compose_benchmarks.baselines.cnc_canny import CannyMethod
from compose_benchmarks.baselines.controlnet import ControlNetMethod, PastedControlNetMethod
from compose_benchmarks.baselines.t2i_adapter import T2IAdapterMethod
from compose_benchmarks.baselines.uni_controlnet import UniControlNetMethod
from compose_core.denoiser import Bound, Guided
from compose_core.encoded import Encoded
from compose_core.errors import ComposeError, UsageError, WeightsError
from compose_core.method import find, methods

METHODS = {
    one.name: one
    for one in (
        ControlNetMethod,
        PastedControlNetMethod,
        T2IAdapterMethod,
        UniControlNetMethod,
        CannyMethod,
    )
}
STEERED = [name for name in METHODS if name != "cnc-canny"]


@pytest.fixture
def predict(model, adapters):
    """What a method predicts of a scene: its plan, and `x0` of fixed latents."""

    def run(name, scene, guidance=3.0, method=None):
        method = method or METHODS[name](adapters[name])
        plan = method.plan(
            scene,
            model,
            device="cpu",
            generator=[torch.Generator().manual_seed(0)],
            guidance=guidance,
            steps=2,
        )
        x_t = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(1))
        level = model.schedule.levels(4)[1]
        denoiser = plan.denoiser
        with torch.no_grad():
            return plan, denoiser(x_t, level, denoiser.init(x_t)).x0

    return run


def test_all_are_announced():
    assert set(METHODS) <= set(methods())
    assert all(find(name) is kind for name, kind in METHODS.items())


@pytest.mark.parametrize("name", METHODS)
def test_depth_matters_and_words_do(name, predict, scene):
    _, first = predict(name, scene())
    _, again = predict(name, scene())
    _, other = predict(name, scene(front={"depth": "ground.png"}))
    _, said = predict(name, scene(prompt="a ball"))
    assert torch.equal(first, again) and first.isfinite().all()
    assert not torch.allclose(first, other) and not torch.allclose(first, said)


@pytest.mark.parametrize("name", STEERED)
def test_without_guidance_one_question_is_asked(name, predict, scene):
    plan, _ = predict(name, scene(negative="blurry"), 1.0)
    assert isinstance(plan.denoiser, Bound)
    plan, _ = predict(name, scene(negative="blurry"), 2.0)
    assert isinstance(plan.denoiser, Guided)


def test_controlnet_is_that_of_core(predict, scene, model, adapters):
    from compose_benchmarks.baselines.merged import one_map
    from compose_core.backbones import load_model

    whole = load_model(model.folder, controlnet=adapters["controlnet"])
    sides = [
        Bound(
            whole.network,
            Encoded({"text": whole.text.encode(text)["text"], "control": one_map(scene())}),
        )
        for text in ("a box", "")
    ]
    x_t = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = Guided(*sides, 3.0)(x_t, model.schedule.levels(4)[1]).x0
    _, found = predict("controlnet", scene())
    assert torch.equal(found, wanted)


def test_the_adapter_is_that_of_diffusers(predict, scene, model, adapters):
    """The UNet with the features that diffusers' own pipeline would give it."""
    from diffusers import T2IAdapter

    from compose_benchmarks.baselines.merged import one_map

    adapter = T2IAdapter.from_pretrained(adapters["t2i-adapter"])
    plan, _ = predict("t2i-adapter", scene(), 1.0)
    x_t = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(1))
    level = model.schedule.levels(4)[1]
    with torch.no_grad():
        eps = model.components["unet"](
            x_t,
            level.t,
            model.text.encode("a box")["text"],
            down_intrablock_additional_residuals=list(adapter(one_map(scene()))),
        ).sample
        found = plan.denoiser(x_t, level).eps
    torch.testing.assert_close(found, eps)


def test_only_pasting_hears_the_order(predict, scene):
    near = [predict("controlnet-pasted", scene(front={"z": z}))[1] for z in (1.0, -1.0)]
    assert not torch.allclose(*near)


def test_uni_controlnet_hears_one_exemplar_and_drops_it_on_one_side(predict, scene, model):
    red, blue = {"exemplar": "red.png"}, {"exemplar": "blue.png"}
    _, with_red = predict("uni-controlnet", scene(red, blue))
    _, other = predict("uni-controlnet", scene(blue, blue))
    _, same = predict("uni-controlnet", scene(red, red))
    _, none = predict("uni-controlnet", scene())
    assert not torch.allclose(with_red, other) and not torch.allclose(with_red, none)
    assert torch.equal(with_red, same), "the exemplar behind is not heard"
    plan, _ = predict("uni-controlnet", scene(red, blue))
    sides = [part.encoded for part in plan.denoiser.modules() if isinstance(part, Bound)]
    keys = [name for name in sides[0] if name.startswith("cnc.key.")]
    assert keys and all(
        not torch.equal(sides[0][name][:, -2:], sides[1][name][:, -2:]) for name in keys
    )


def test_uni_controlnet_can_do_with_looks_alone(predict, scene):
    bare = {"depth": None, "exemplar": "red.png"}
    _, found = predict("uni-controlnet", scene(bare, {"depth": None, "prompt": "grass"}))
    assert found.isfinite().all()


@pytest.mark.parametrize("name", STEERED)
def test_scenes_share_one_network(name, predict, scene, adapters):
    method = METHODS[name](adapters[name])
    plans = [predict(name, scene(prompt=text), method=method)[0] for text in ("a", "b")]
    networks = {
        id(part.network)
        for plan in plans
        for part in plan.denoiser.modules()
        if isinstance(part, Bound)
    }
    assert len(networks) == 1


@pytest.mark.parametrize("name", METHODS)
def test_an_unknown_adapter_is_the_zoos_error(name, predict, scene):
    with pytest.raises(UsageError):
        predict(name, scene(), method=METHODS[name]("no-such-adapter"))


@pytest.mark.parametrize("name", METHODS)
def test_a_folder_of_something_else_is_refused(name, predict, scene, tmp_path):
    with pytest.raises(ComposeError):
        predict(name, scene(), method=METHODS[name](tmp_path))


def test_an_adapter_of_another_base_is_refused(predict, scene, tmp_path):
    from diffusers import T2IAdapter

    kind = {"in_channels": 3, "num_res_blocks": 1, "adapter_type": "full_adapter"}
    T2IAdapter(channels=[8, 8], downscale_factor=4, **kind).save_pretrained(tmp_path / "a")
    T2IAdapter(channels=[16, 32], downscale_factor=8, **kind).save_pretrained(tmp_path / "b")
    for name in "ab":
        with pytest.raises(WeightsError, match="another base"):
            predict("t2i-adapter", scene(), method=T2IAdapterMethod(tmp_path / name))
