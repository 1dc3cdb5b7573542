"""The facade keeps the promises of diffusers pipelines."""

import inspect
import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from compose_core.backbones import load_model
from compose_core.codec import VAECodec
from compose_core.errors import SceneError, ShapeError, UsageError, WeightsError
from compose_core.evaluate import Local
from compose_core.method import Method, Plan
from compose_core.pipeline import ComposePipeline
from compose_core.regional import RegionalMethod
from compose_core.sampler import Euler
from compose_core.scene import build
from compose_core.testing.devices import require
from compose_core.testing.folders import tiny_controlnet, tiny_stable_diffusion
from compose_core.trace import Trace


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_stable_diffusion(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def pipe(folder):
    pipe = ComposePipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def scene():
    layers = [
        {"name": "ball", "prompt": "a red sphere", "box": [0.1, 0.3, 0.5, 0.9], "z": 1.0},
        {"name": "cube", "prompt": "a blue cube", "box": [0.4, 0.2, 0.9, 0.8]},
    ]
    return build({"version": 1, "canvas": [64, 64], "prompt": "toys", "seed": 3, "layers": layers})


def seeded(*seeds):
    made = [torch.Generator().manual_seed(s) for s in seeds]
    return made if len(made) > 1 else made[0]


def run(pipe, what="a red sphere", **options):
    given = {"num_inference_steps": 2, "output_type": "pt", "generator": seeded(0)}
    return pipe(what, **{**given, **options}).images


def close(a, b, bound=1e-4):
    assert np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max() < bound


def test_saved_and_loaded_it_makes_the_same(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    again = ComposePipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert torch.equal(run(pipe), run(again))
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == "ComposePipeline"
    assert not list(tmp_path.rglob("*.bin")), "safetensors only"
    libraries = {v[0] for k, v in index.items() if not k.startswith("_")}
    assert libraries <= {"diffusers", "transformers", None}, "nothing asks for remote code"


def test_what_it_saves_diffusers_can_open(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    parts = StableDiffusionPipeline.from_pretrained(
        tmp_path, safety_checker=None, feature_extractor=None, use_safetensors=True
    )
    assert set(pipe.components) - {"controlnet"} <= set(parts.components)


def test_an_optional_component_is_saved_and_loaded(folder, tmp_path):
    controlnet = load_model(folder, controlnet=tiny_controlnet(tmp_path / "cn"))
    pipe = ComposePipeline(**controlnet.components)
    pipe.save_pretrained(tmp_path / "all")
    again = ComposePipeline.from_pretrained(tmp_path / "all")
    assert type(again.controlnet).__name__ == "ControlNetModel"
    assert type(again.model.network).__name__ == "ControlledUNet"
    none = ComposePipeline.from_pretrained(tmp_path / "all", controlnet=None)
    assert none.controlnet is None


def test_from_pipe_shares_the_components(pipe, folder):
    theirs = StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    ours = ComposePipeline.from_pipe(theirs)
    ours.set_progress_bar_config(disable=True)
    assert ours.unet is theirs.unet
    assert torch.equal(run(ours), run(pipe))


def test_it_equals_the_pipeline_of_diffusers(pipe, folder):
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
def test_a_picture_does_not_depend_on_its_batch(pipe, scene, kind):
    what = scene if kind == "scene" else "a red sphere"
    both = run(pipe, what, num_images_per_prompt=2, generator=seeded(0, 1), guidance_scale=2.0)
    for i in (0, 1):
        alone = run(pipe, what, generator=[seeded(i)], guidance_scale=2.0)
        close(both[i : i + 1], alone, 1e-3)


def test_a_list_of_prompts_equals_one_call_each(pipe):
    prompts = ["a red sphere", "a blue cube"]
    both = run(pipe, prompts, generator=seeded(0, 1), negative_prompt=["a", "b"])
    for i, prompt in enumerate(prompts):
        alone = run(pipe, prompt, generator=[seeded(i)], negative_prompt="ab"[i])
        close(both[i : i + 1], alone, 1e-3)


def test_pictures_per_prompt_come_in_the_order_of_prompts(pipe):
    four = run(
        pipe, ["a", "b"], num_images_per_prompt=2, generator=seeded(0, 1, 2, 3), guidance_scale=1.0
    )
    assert len(four) == 4
    close(four[2:3], run(pipe, "b", generator=[seeded(2)], guidance_scale=1.0), 1e-3)


def test_the_same_seed_gives_the_same_bytes(pipe, scene):
    assert torch.equal(run(pipe, scene), run(pipe, scene))
    assert not torch.equal(run(pipe, scene), run(pipe, scene, generator=seeded(1)))
    assert torch.equal(run(pipe, scene, generator=None), run(pipe, scene, generator=seeded(3)))


def test_output_types_are_equivalent(pipe):
    pt, array = run(pipe), run(pipe, output_type="np")
    pil = run(pipe, output_type="pil")
    close(pt.permute(0, 2, 3, 1), array)
    close(np.asarray(pil[0]), (array[0] * 255).round(), 1.01)
    latent = run(pipe, output_type="latent")
    assert latent.shape == (1, 4, 16, 16)
    with torch.no_grad():
        decoded = pipe.model.codec.decode(latent)
    close((decoded / 2 + 0.5).clamp(0, 1), pt)


def test_a_tuple_holds_the_same(pipe):
    (images,) = pipe(
        "a red sphere",
        num_inference_steps=2,
        output_type="pt",
        generator=seeded(0),
        return_dict=False,
    )
    assert torch.equal(images, run(pipe))


def test_given_latents_are_the_noise_that_would_be_drawn(pipe):
    noise = torch.randn(1, 4, 16, 16, generator=seeded(0))
    close(run(pipe, latents=noise, generator=seeded(9)), run(pipe))
    with pytest.raises(ShapeError, match="latents"):
        run(pipe, latents=noise[..., :8])


def test_the_callback_sees_every_step_and_may_change_the_latents(pipe):
    seen = []

    def look(own, index, t, tensors):
        assert own is pipe and set(tensors) == {"latents"}
        seen.append((index, float(t)))

    run(pipe, callback_on_step_end=look, num_inference_steps=3)
    assert [i for i, _ in seen] == [0, 1, 2] and seen[0][1] > seen[2][1]

    def blank(own, index, t, tensors):
        return {"latents": torch.zeros_like(tensors["latents"])} if index == 1 else tensors

    changed = run(pipe, callback_on_step_end=blank, output_type="latent")
    assert torch.count_nonzero(changed) == 0


def test_what_the_callback_returns_is_what_the_next_step_starts_from(pipe):
    start = torch.randn(1, 4, 16, 16, generator=seeded(5))

    def restart(own, index, t, tensors):
        return {"latents": start} if index == 0 else None

    first = run(pipe, callback_on_step_end=restart, generator=seeded(0), num_inference_steps=3)
    second = run(pipe, callback_on_step_end=restart, generator=seeded(1), num_inference_steps=3)
    assert torch.equal(first, second)


def test_a_callback_only_gets_what_there_is(pipe):
    with pytest.raises(UsageError, match="prompt_embeds"):
        run(pipe, callback_on_step_end_tensor_inputs=["prompt_embeds"])
    got = []
    run(
        pipe,
        callback_on_step_end=lambda p, i, t, tensors: got.append(dict(tensors)),
        callback_on_step_end_tensor_inputs=[],
    )
    assert got == [{}, {}]


def test_interrupting_stops_the_walk(pipe):
    steps = []

    def stop(own, index, t, tensors):
        steps.append(index)
        own._interrupt = index == 1

    images = run(pipe, callback_on_step_end=stop, num_inference_steps=10)
    assert steps == [0, 1] and images.shape == (1, 3, 64, 64)
    steps.clear()
    run(pipe, num_inference_steps=3, callback_on_step_end=lambda *a: steps.append(a[1]))
    assert len(steps) == 3, "the next call is not interrupted"


def test_the_progress_bar_counts_steps(pipe, capsys):
    pipe.set_progress_bar_config(disable=False)
    try:
        run(pipe, num_inference_steps=3)
    finally:
        pipe.set_progress_bar_config(disable=True)
    assert "3/3" in capsys.readouterr().err


def test_guidance_of_one_ignores_the_negative_prompt(pipe):
    plain = run(pipe, guidance_scale=1.0)
    assert torch.equal(plain, run(pipe, guidance_scale=1.0, negative_prompt="blurry"))
    assert not torch.equal(plain, run(pipe, guidance_scale=2.0))
    assert pipe.guidance_scale == 2.0 and pipe.num_timesteps == 2


@pytest.mark.parametrize("sampler", ["ddim", "euler", "heun", "scheduler"])
def test_samplers_by_name(pipe, scene, sampler):
    assert run(pipe, scene, sampler=sampler, num_inference_steps=3).isfinite().all()


def test_a_sampler_of_ones_own(pipe):
    own = Euler(pipe.model.schedule.levels(2))
    assert torch.equal(run(pipe, sampler=own), run(pipe, sampler="euler"))
    with pytest.raises(UsageError, match="scheduler"):
        run(pipe, sampler="plms")


def test_batches_are_split_without_effect(pipe, scene):
    whole, split = (run(pipe, scene, evaluator=Local(n), guidance_scale=2.0) for n in (None, 1))
    close(whole, split, 1e-3)


def test_size_follows_height_and_width(pipe):
    assert run(pipe, height=32, width=96).shape == (1, 3, 32, 96)
    with pytest.raises(ShapeError, match="68 x 64"):
        run(pipe, height=65, width=67)


def test_a_scene_decides_its_own_size_and_closes_its_panorama(pipe, scene):
    wide = scene.model_copy(update={"canvas": (128, 64), "wrap": True})
    assert run(pipe, wide).shape == (1, 3, 64, 128)


def test_a_canvas_off_the_grid_is_refused(pipe, scene):
    with pytest.raises(SceneError, match=r"\[64, 64\]"):
        run(pipe, scene.model_copy(update={"canvas": (65, 64)}))


def test_a_method_by_name_or_with_options(pipe, scene):
    assert torch.equal(run(pipe, scene), run(pipe, scene, method=RegionalMethod()))
    other = run(pipe, scene, method=RegionalMethod(bootstrap=0.0))
    assert not torch.equal(run(pipe, scene), other)
    with pytest.raises(UsageError, match="no method"):
        run(pipe, scene, method="other")


def test_warnings_of_a_plan_reach_the_user(pipe, scene):
    class Loud(Method):
        name, summary, accepts = "loud", "", RegionalMethod.accepts

        def plan(self, scene, model, **rest):
            made = RegionalMethod().plan(scene, model, **rest)
            return Plan(denoiser=made.denoiser, shape=made.shape, warnings=("look here",))

    heard = []
    run(pipe, scene, method=Loud(), warn=heard.append)
    assert heard == ["look here"]
    with pytest.warns(UserWarning, match="look here"):
        run(pipe, scene, method=Loud())


def test_a_prompt_too_long_is_reported(pipe):
    with pytest.warns(UserWarning, match="not seen.*the end"):
        run(pipe, "a" * 90 + " the end")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(pipe, "short")


def test_the_trace_holds_every_step(pipe, scene):
    log = pipe(scene, num_inference_steps=3, trace=True).trace
    assert len(log) == 3 and {"preview", "x0", "alpha", "sigma"} <= set(log.names)
    assert log.stack("preview").shape == (3, 1, 3, 64, 64)
    assert log.stack("x0").shape == (3, 1, 4, 16, 16)
    own = Trace({"a": 1})
    assert pipe(scene, num_inference_steps=2, trace=own).trace is own and len(own) == 2
    assert pipe("a", num_inference_steps=1).trace is None


@pytest.mark.parametrize("what", [None, [], ""])
def test_nothing_to_draw(pipe, what):
    if what == "":
        assert run(pipe, what).shape[0] == 1, "the empty prompt is a prompt: unconditional"
        return
    with pytest.raises(UsageError, match="nothing to draw"):
        run(pipe, what)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"output_type": "jpg"}, UsageError),
        ({"num_images_per_prompt": 0}, UsageError),
        ({"generator": [torch.Generator()] * 3}, ShapeError),
        ({"negative_prompt": ["a", "b"]}, UsageError),
        ({"negative_prompt": [3]}, UsageError),
        ({"height": 64.0}, UsageError),
        ({"num_inference_steps": 2.5}, UsageError),
        ({"generator": 3}, UsageError),
        ({"generator": [3]}, UsageError),
        ({"guidance_scale": "5"}, UsageError),
    ],
)
def test_bad_arguments(pipe, options, error):
    with pytest.raises(error):
        run(pipe, **options)


@pytest.mark.parametrize("what", [[1, 2], 7, {"a": 1}, b"a", "scenes"])
def test_what_cannot_be_drawn_is_refused(pipe, scene, what):
    with pytest.raises(UsageError, match="cannot be drawn"):
        run(pipe, [scene, scene] if what == "scenes" else what)


def test_latents_of_a_callback_must_fit(pipe):
    with pytest.raises(ShapeError, match="callback"):
        run(pipe, callback_on_step_end=lambda *_: {"latents": torch.zeros(1, 4, 1, 1)})


def test_what_of_a_scene_is_not_used_is_said(pipe, scene):
    class Deaf(Method):
        name, summary, accepts, needs = "deaf", "", frozenset({"prompt", "z"}), frozenset()

        def plan(self, scene, model, **rest):
            return RegionalMethod().plan(scene, model, **rest)

    heard = []
    run(pipe, scene, method=Deaf(), warn=heard.append)
    assert heard == ["the method 'deaf' does not use `box` of layer 'ball', 'cube'"]
    Deaf.needs = frozenset({"depth"})
    with pytest.raises(SceneError, match="needs `depth`"):
        run(pipe, scene, method=Deaf())


@pytest.mark.parametrize("given", [{"height": 64}, {"width": 64}, {"negative_prompt": "blur"}])
def test_what_a_scene_has_of_its_own_cannot_be_given_beside_it(pipe, scene, given):
    with pytest.raises(UsageError, match=next(iter(given))):
        run(pipe, scene, **given)


def test_the_header_of_a_trace_says_what_was_asked(pipe, scene):
    meta = pipe(scene, num_inference_steps=1, trace=True).trace.meta
    assert meta["scene"]["prompt"] == "toys" and meta["method"] == "regional"
    assert pipe("a", num_inference_steps=1, trace=True).trace.meta["prompt"] == "a"


def test_a_large_canvas_and_a_tiling_vae_are_decoded_in_tiles(pipe, monkeypatch):
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


def test_the_arguments_of_tutorials_are_taken(folder):
    usual = {"use_safetensors": True, "local_files_only": True, "revision": None}
    pipe = ComposePipeline.from_pretrained(
        folder, safety_checker=None, controlnet=None, torch_dtype=torch.float32, **usual
    )
    assert pipe.controlnet is None
    for refused in ({"use_safetensors": False}, {"device_map": "auto"}, {"vae": None}):
        with pytest.raises(UsageError, match=next(iter(refused))):
            ComposePipeline.from_pretrained(folder, **refused)


def test_a_variant_is_read_where_there_is_one(folder, tmp_path, pipe):
    half = shutil.copytree(folder, tmp_path / "half")
    weights = half / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    with pytest.raises(WeightsError, match="unet cannot be loaded"):
        ComposePipeline.from_pretrained(half)
    read = ComposePipeline.from_pretrained(half, variant="fp16")
    assert torch.equal(read.unet.conv_in.weight, pipe.unet.conv_in.weight)
    with pytest.raises(WeightsError, match="no weights of this variant"):
        ComposePipeline.from_pretrained(half, variant="ema")


def test_a_name_of_the_hub_is_answered_with_the_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="nothing is downloaded") as caught:
        ComposePipeline.from_pretrained("stabilityai/sd")
    assert "hf download stabilityai/sd" in caught.value.remedy


def test_loading_is_strict_and_knows_its_arguments(folder, tmp_path):
    with pytest.raises(UsageError, match="trust_remote_code"):
        ComposePipeline.from_pretrained(folder, trust_remote_code=True)
    with pytest.raises(WeightsError):
        ComposePipeline.from_pretrained(tmp_path)


def test_loaded_in_half_precision_it_stays_close(folder, pipe):
    half = ComposePipeline.from_pretrained(folder, dtype=torch.bfloat16)
    half.set_progress_bar_config(disable=True)
    assert half.unet.dtype == torch.bfloat16
    got = run(half, guidance_scale=1.0)
    assert got.dtype == torch.float32
    assert (got - run(pipe, guidance_scale=1.0)).abs().mean() < 0.05


def test_it_is_a_diffusers_pipeline():
    assert issubclass(ComposePipeline, DiffusionPipeline)
    names = set(inspect.signature(ComposePipeline.__call__).parameters)
    assert names >= {
        "prompt",
        "height",
        "width",
        "num_inference_steps",
        "guidance_scale",
        "negative_prompt",
        "num_images_per_prompt",
        "generator",
        "latents",
        "output_type",
        "return_dict",
        "callback_on_step_end",
        "callback_on_step_end_tensor_inputs",
    }
    order = ComposePipeline.model_cpu_offload_seq.split("->")
    assert set(order) == {"text_encoder", "controlnet", "unet", "vae"}


@pytest.mark.cuda
@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloaded_it_makes_the_same(folder, scene, offload):
    require("cuda")
    here = ComposePipeline.from_pretrained(folder).to("cuda")
    there = ComposePipeline.from_pretrained(folder)
    getattr(there, f"enable_{offload}_cpu_offload")(device="cuda")
    for pipe in (here, there):
        pipe.set_progress_bar_config(disable=True)
    close(run(here, scene).cpu(), run(there, scene).cpu(), 2e-4)
