"""The pipeline is loaded, saved and moved as those of diffusers are."""

import inspect
import json
import shutil

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from compose_core.backbones import load_model
from compose_core.errors import UsageError, WeightsError
from compose_core.pipeline import ComposePipeline
from compose_core.testing.devices import require
from compose_core.testing.folders import tiny_controlnet


def test_saved_and_loaded_it_makes_the_same(pipe, tmp_path, run):
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
    assert set(pipe.components) - {"controlnet", "text_encoder_2", "tokenizer_2"} <= set(
        parts.components
    )


def test_an_optional_component_is_saved_and_loaded(folder, tmp_path):
    controlnet = load_model(folder, controlnet=tiny_controlnet(tmp_path / "cn"))
    pipe = ComposePipeline(**controlnet.components)
    pipe.save_pretrained(tmp_path / "all")
    again = ComposePipeline.from_pretrained(tmp_path / "all")
    assert type(again.controlnet).__name__ == "ControlNetModel"
    assert type(again.model.network).__name__ == "ControlledUNet"
    none = ComposePipeline.from_pretrained(tmp_path / "all", controlnet=None)
    assert none.controlnet is None


def test_from_pipe_shares_the_components(pipe, folder, run):
    theirs = StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    ours = ComposePipeline.from_pipe(theirs)
    ours.set_progress_bar_config(disable=True)
    assert ours.unet is theirs.unet
    assert torch.equal(run(ours), run(pipe))


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


def test_loaded_in_half_precision_it_stays_close(folder, pipe, run):
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
    assert set(order) == {"text_encoder", "text_encoder_2", "controlnet", "unet", "vae"}


@pytest.mark.cuda
@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloaded_it_makes_the_same(folder, scene, offload, run, close):
    require("cuda")
    here = ComposePipeline.from_pretrained(folder).to("cuda")
    there = ComposePipeline.from_pretrained(folder)
    getattr(there, f"enable_{offload}_cpu_offload")(device="cuda")
    for pipe in (here, there):
        pipe.set_progress_bar_config(disable=True)
    close(run(here, scene).cpu(), run(there, scene).cpu(), 2e-4)
