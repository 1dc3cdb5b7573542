"""Diffusers models behave as networks, and load strictly or not at all."""

import json
import shutil

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

from compose_core.backbones import ControlledUNet, UNetNetwork, assemble, load_model
from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, UsageError, WeightsError
from compose_core.pipeline import ComposePipeline
from compose_core.prediction import Prediction, translate
from compose_core.schedule import KarrasVE
from compose_core.testing.folders import (
    tiny_controlnet,
    tiny_stable_diffusion,
    tiny_stable_diffusion_xl,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_stable_diffusion(tmp_path_factory.mktemp("sd"), seed=0)


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "sd")


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_x0_is_what_the_diffusers_scheduler_reads(model, kind):
    network = UNetNetwork(model.network.unet, model.schedule, kind)
    scheduler = DDIMScheduler.from_config(
        model.components["scheduler"].config, prediction_type=kind, clip_sample=False
    )
    scheduler.set_timesteps(10)
    x, text, t = noise(2, 4, 16, 16), model.text.encode(["a", "b"]), scheduler.timesteps[3]
    raw = model.network.unet(x, t, encoder_hidden_states=text["text"]).sample
    want = scheduler.step(raw, t, x).pred_original_sample
    got = network(x, model.schedule.level(float(t)), text).x0
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_asked_through_another_schedule_the_picture_is_the_same(model):
    x, text = noise(1, 4, 16, 16), model.text.encode("a red sphere")
    level = model.schedule.level(500.0)
    want = model.network(x, level, text).x0
    x_ve, level_ve = translate(x, level, KarrasVE())
    got = model.network(x_ve, level_ve, text)
    torch.testing.assert_close(got.x0, want, atol=1e-4, rtol=1e-4)
    assert got.x_t is x_ve and got.level is level_ve


@torch.no_grad()
def test_one_level_per_sample_equals_one_call_each(model):
    x, text = noise(2, 4, 16, 16), model.text.encode(["a", "b"])
    both = model.network(x, model.schedule.level(torch.tensor([700.0, 100.0])), text).x0
    for i, t in enumerate((700.0, 100.0)):
        rows = slice(i, i + 1)
        alone = model.network(x[rows], model.schedule.level(t), text.select(rows)).x0
        torch.testing.assert_close(both[rows], alone, atol=1e-4, rtol=1e-4)


def test_what_a_network_needs_is_said(model):
    x, level = noise(1, 4, 16, 16), model.schedule.level(10.0)
    with pytest.raises(UsageError, match="text embedding"):
        model.network(x, level, Encoded())
    with pytest.raises(ShapeError, match="another model"):
        model.network(x, level, Encoded(text=noise(1, 77, 5)))
    with pytest.raises(UsageError, match="v_prediction"):
        UNetNetwork(model.network.unet, model.schedule, "noise")


@torch.no_grad()
def test_controlnet_steers_only_the_questions_that_hold_a_control(folder, model, tmp_path):
    controlled = load_model(folder, controlnet=tiny_controlnet(tmp_path / "cn"))
    assert isinstance(controlled.network, ControlledUNet)
    x, level, text = noise(1, 4, 16, 16), model.schedule.level(500.0), model.text.encode("a")
    plain = model.network(x, level, text).x0
    torch.testing.assert_close(controlled.network(x, level, text).x0, plain)
    answers = [
        controlled.network(x, level, Encoded({**text, "control": noise(1, 3, 64, 64, seed=s)})).x0
        for s in (0, 1)
    ]
    assert (answers[0] - plain).abs().max() > 1e-4
    assert (answers[0] - answers[1]).abs().max() > 1e-4
    controlled.network.scale = 0.0
    off = controlled.network(x, level, Encoded({**text, "control": noise(1, 3, 64, 64)})).x0
    torch.testing.assert_close(off, plain, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_control_that_does_not_fit_is_named(folder, tmp_path):
    """Under windows each part would be given the control of the whole canvas."""
    network = load_model(folder, controlnet=tiny_controlnet(tmp_path / "cn")).network
    x, text = noise(1, 4, 16, 8), Encoded(text=noise(1, 77, 32))
    level = network.schedule.level(500.0)
    network(x, level, Encoded({**text, "control": noise(1, 3, 64, 32)}))
    for size in ((64, 64), (32, 64), (16, 8)):
        with pytest.raises(ShapeError, match=r"\(B, 3, 64, 32\)"):
            network(x, level, Encoded({**text, "control": noise(1, 3, *size)}))


@torch.no_grad()
def test_embeddings_are_those_of_the_diffusers_pipeline(folder, model):
    pipe = StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    want, _ = pipe.encode_prompt("a red sphere", "cpu", 1, False)
    torch.testing.assert_close(model.text.encode("a red sphere")["text"], want)


def test_the_cut_of_a_long_prompt_is_reported(model):
    assert model.text.cut("a red sphere") == ""
    long = "a" * model.text.length + " the end"
    assert model.text.cut(long).endswith("the end")
    assert model.text.encode([long, ""])["text"].shape[:2] == (2, model.text.length)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"in_channels": 9}, "in_channels = 9"),  # inpainting
        ({"out_channels": 8}, "out_channels = 8"),  # learned variances
        ({"cross_attention_dim": 64}, "cross_attention_dim = 64"),  # another text encoder
        ({"class_embed_type": "timestep"}, "class_embed_type = timestep"),
        ({"num_class_embeds": 10}, "num_class_embeds = 10"),
        (
            {
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 8,
                "projection_class_embeddings_input_dim": 80,
            },
            "addition_embed_type = text_time",
        ),  # SDXL
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_unet_that_needs_more_is_refused_before_the_first_step(model, config, named):
    unet = type(model.network.unet).from_config(model.network.unet.config, **config)
    with pytest.raises(WeightsError, match=named):
        assemble({**model.components, "unet": unet})


def rewrite(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def weights(copy, part):
    return next((copy / part).glob("*.safetensors"))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "truncated", "absent", "pickle"])
def test_weights_that_do_not_fit_are_refused(copy, part, damage):
    path = weights(copy, part)
    tensors = load_file(path)
    name = next(n for n in sorted(tensors) if tensors[n].ndim == 2 or tensors[n].ndim == 4)
    if damage == "missing":
        del tensors[name]
    elif damage == "extra":
        tensors["left.over"] = torch.zeros(1)
    elif damage == "shape":
        tensors[name] = torch.zeros(3, 3)
    if damage in ("missing", "extra", "shape"):
        save_file(tensors, path, metadata={"format": "pt"})
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.unlink()
        if damage == "pickle":
            torch.save(tensors, copy / part / path.with_suffix(".bin").name)
    with pytest.raises(WeightsError, match=part):
        load_model(copy)


@pytest.mark.parametrize(
    "entry", [["os", "system"], ["diffusers", "UNet1DModel"], ["x.py", "Evil"], "UNet", 5, []]
)
def test_unknown_classes_are_never_built(copy, entry):
    rewrite(copy / "model_index.json", lambda d: d.update(unet=entry))
    with pytest.raises(WeightsError, match="unet"):
        load_model(copy)


def test_a_folder_that_is_no_model_is_named(tmp_path):
    with pytest.raises(WeightsError, match="no model folder"):
        load_model(tmp_path)
    (tmp_path / "model_index.json").write_text("[]")
    with pytest.raises(WeightsError, match="damaged"):
        load_model(tmp_path)


def test_unknown_schedulers_are_refused(copy):
    rewrite(copy / "scheduler" / "scheduler_config.json", lambda d: d.update(_class_name="Popen"))
    with pytest.raises(WeightsError, match="scheduler"):
        load_model(copy)


def test_loading_is_silent_and_leaves_the_loggers_as_they_were(copy, capfd):
    rewrite(copy / "vae" / "config.json", lambda d: d.update(spare_key=1))
    level = diffusers.utils.logging.get_verbosity()
    load_model(copy)
    assert capfd.readouterr().err == ""
    assert diffusers.utils.logging.get_verbosity() == level


@torch.no_grad()
def test_a_narrow_network_answers_in_the_dtype_it_was_asked(folder):
    model = load_model(folder, dtype=torch.bfloat16)
    x, text = noise(1, 4, 16, 16), model.text.encode("a")
    prediction = model.network(x, model.schedule.level(500.0), text)
    assert prediction.x0.dtype == torch.float32 and isinstance(prediction, Prediction)


@pytest.fixture(scope="module")
def xl_folder(tmp_path_factory):
    return tiny_stable_diffusion_xl(tmp_path_factory.mktemp("xl"), seed=1)


@torch.no_grad()
def test_xl_answers_as_the_diffusers_pipeline_asks(xl_folder):
    """Embeddings of both encoders, the pooled one, and the size of the picture."""
    pipe = StableDiffusionXLPipeline.from_pretrained(
        xl_folder, use_safetensors=True, add_watermarker=False
    )
    model = load_model(xl_folder)
    want, unsaid, pooled, unsaid_pooled = pipe.encode_prompt("a red sphere", device="cpu")
    found, nothing = model.text.encode("a red sphere"), model.text.encode("")
    torch.testing.assert_close(found["text"], want)
    torch.testing.assert_close(found["pooled"], pooled)
    assert torch.equal(nothing["text"], unsaid)
    assert torch.equal(nothing["pooled"], unsaid_pooled)
    x, level = noise(1, 4, 16, 8), model.schedule.level(300.0)
    sizes = torch.tensor([[64.0, 32.0, 0.0, 0.0, 64.0, 32.0]])
    out = pipe.unet(
        x,
        300,
        encoder_hidden_states=want,
        added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
    ).sample
    eps = model.network(x, level, found).eps
    torch.testing.assert_close(eps, out, atol=1e-4, rtol=1e-4)
    with pytest.raises(UsageError, match="pooled"):
        model.network(x, level, Encoded(text=want))


@torch.no_grad()
def test_xl_draws_prompts_and_scenes_and_is_saved_whole(xl_folder, tmp_path):
    def draw(folder):
        pipe = ComposePipeline.from_pretrained(folder)
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(0)
        options = {"num_inference_steps": 2, "output_type": "pt", "generator": generator}
        return pipe, pipe(["a cube", "a cone"], **options).images

    pipe, pictures = draw(xl_folder)
    assert pictures.shape == (2, 3, 64, 64)
    assert not torch.equal(pictures[0], pictures[1])
    pipe.save_pretrained(tmp_path / "again")
    assert torch.equal(draw(tmp_path / "again")[1], pictures)


def test_half_of_a_second_encoder_is_refused(xl_folder):
    parts = dict(load_model(xl_folder).components)
    with pytest.raises(WeightsError, match="tokenizer_2 alone"):
        assemble({**parts, "text_encoder_2": None})
    with pytest.raises(WeightsError, match="cross_attention_dim = 64"):
        assemble({**parts, "text_encoder_2": None, "tokenizer_2": None})
