"""Changes of low rank beside their base: what they are, what they refuse, what a run remembers."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from compose_core import zoo
from compose_core.backbones import load_model
from compose_core.errors import WeightsError
from compose_core.run.execute import locate_model
from compose_core.run.limits import read_sizes
from compose_core.testing.folders import tiny_stable_diffusion

LAYERS = {
    "conv_in": (torch.nn.Conv2d, 3),
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": (torch.nn.Linear, 2),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_stable_diffusion(tmp_path_factory.mktemp("models") / "base", seed=0)


def tensors(base, **alphas):
    """A and B for two layers; `alphas` puts an alpha beside each of them."""
    unet, found = load_model(base).components["unet"], {}
    dice = torch.Generator().manual_seed(0)
    for name, (kind, rank) in LAYERS.items():
        layer = unet.get_submodule(name)
        assert isinstance(layer, kind)
        out, *rest = layer.weight.shape
        found[f"unet.{name}.lora_A.weight"] = torch.randn(rank, *rest, generator=dice)
        ones = (1,) * len(rest[1:])
        found[f"unet.{name}.lora_B.weight"] = torch.randn(out, rank, *ones, generator=dice)
        if alphas:
            found[f"unet.{name}.alpha"] = torch.tensor(alphas["alpha"])
    return found


def written(folder, found, base="../base", **more):
    folder.mkdir(exist_ok=True)
    save_file(found, folder / "pytorch_lora_weights.safetensors")
    (folder / "lora.json").write_text(json.dumps({"format": 1, "base": base, **more}))
    return folder


@pytest.fixture
def changed(base, request):
    folder = base.parent / f"lora-{abs(hash(request.node.name))}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("strength, alpha", [(1.0, None), (0.5, None), (1.0, 6.0), (-2.0, 1.5)])
def test_each_layer_is_w_plus_s_alpha_over_r_b_a(base, changed, strength, alpha):
    found = tensors(base, **({} if alpha is None else {"alpha": alpha}))
    made = load_model(written(changed, found, strength=strength)).components["unet"]
    before = load_model(base).components["unet"].state_dict()
    for name, value in made.state_dict().items():
        layer = name.removesuffix(".weight")
        want = before[name]
        if layer in LAYERS and name != layer:
            rank = LAYERS[layer][1]
            a, b = (found[f"unet.{layer}.lora_{x}.weight"] for x in "AB")
            flat = torch.einsum("or,ri->oi", b.flatten(1), a.flatten(1)).view_as(want)
            want = want + strength * (1.0 if alpha is None else alpha / rank) * flat
        torch.testing.assert_close(value, want)


def test_the_older_names_mean_the_same(base, changed):
    found = tensors(base)
    new = load_model(written(changed, found)).components["unet"].state_dict()
    names = {".lora_A.": ".lora.down.", ".lora_B.": ".lora.up."}
    old = {k.replace(a, b): v for k, v in found.items() for a, b in names.items() if a in k}
    again = load_model(written(changed, old)).components["unet"].state_dict()
    assert len(old) == len(found) and all(torch.equal(new[k], again[k]) for k in new)


def test_sizes_are_those_of_the_base_and_the_hash_is_of_both(base, changed, tmp_path):
    written(changed, tensors(base))
    assert read_sizes(changed) == read_sizes(base)
    first = locate_model(changed)
    assert first[0] == changed and first[1] not in (locate_model(base)[1],)
    other = tiny_stable_diffusion(tmp_path / "base", seed=1)
    there = written(tmp_path / "lora", tensors(base))
    assert zoo.base_folder(there).resolve() == other.resolve()
    assert locate_model(there)[1] != first[1]
    written(changed, tensors(base), strength=0.5)
    assert locate_model(changed)[1] != first[1]


def test_a_pipeline_of_diffusers_reads_the_same_file(base, changed):
    pytest.importorskip("peft", reason="diffusers needs peft for LoRA")
    import diffusers

    written(changed, tensors(base))
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    pipe.load_lora_weights(changed)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    made = load_model(changed).components["unet"].state_dict()
    for name, value in pipe.unet.state_dict().items():
        torch.testing.assert_close(made[name], value)


BAD = {
    "another layer": lambda f: f | {"unet.nowhere.lora_A.weight": torch.ones(1, 2)},
    "a text encoder": lambda f: {"text_encoder.q.lora_A.weight": torch.ones(1, 2)},
    "of another tool": lambda f: {"lora_unet_conv_in.lora_down.weight": torch.ones(1, 2)},
    "half a pair": lambda f: {k: v for k, v in f.items() if "conv_in.lora_B" not in k},
    "another size": lambda f: {
        k: v[:, :2].contiguous() if "to_q.lora_A" in k else v for k, v in f.items()
    },
    "not finite": lambda f: {k: v / 0 for k, v in f.items()},
    "nothing": lambda f: {},
}


@pytest.mark.parametrize("fault", BAD)
def test_what_does_not_fit_is_refused(base, changed, fault):
    written(changed, BAD[fault](tensors(base)))
    with pytest.raises(WeightsError) as error:
        load_model(changed)
    assert str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"format": 2, "base": "x"}', '{"format": 1}', '{"format": 1, "base": ""}']
    + [
        '{"format": 1, "base": "x", "strength": "much"}',
        '{"format": 1, "base": "x", "strength": ',
    ],
)
def test_an_index_that_cannot_be_read_is_named(base, changed, text):
    written(changed, tensors(base))
    (changed / "lora.json").write_text(text)
    with pytest.raises(WeightsError, match=r"lora\.json"):
        load_model(changed)


def test_damaged_tensors_and_a_base_with_a_base_are_refused(base, changed):
    written(changed, tensors(base))
    (changed / "pytorch_lora_weights.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_model(changed)
    written(changed, tensors(base), base=f"./../{changed.name}")
    with pytest.raises(WeightsError, match="base of its own"):
        load_model(changed)
