"""Changes of low rank beside their base: what they are, what they refuse, what a run remembers."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from compose_core import zoo
from compose_core.backbones import load_components, load_model
from compose_core.backbones.lora import add_lora
from compose_core.errors import WeightsError
from compose_core.run.execute import locate_model
from compose_core.run.limits import read_sizes
from compose_core.testing.folders import tiny_stable_diffusion
from compose_core.zoo.digest import hash_folder

LAYERS = {
    "conv_in": (torch.nn.Conv2d, 3),
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": (torch.nn.Linear, 2),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_stable_diffusion(tmp_path_factory.mktemp("models") / "base", seed=0)


def tensors(base):
    """A and B for two layers."""
    unet, found = load_model(base).components["unet"], {}
    dice = torch.Generator().manual_seed(0)
    for name, (kind, rank) in LAYERS.items():
        layer = unet.get_submodule(name)
        assert isinstance(layer, kind)
        out, *rest = layer.weight.shape
        found[f"unet.{name}.lora_A.weight"] = torch.randn(rank, *rest, generator=dice)
        ones = (1,) * len(rest[1:])
        found[f"unet.{name}.lora_B.weight"] = torch.randn(out, rank, *ones, generator=dice)
    return found


def written(folder, found, base="../base", header=None, **more):
    """A folder; `header` is what the tensors' header says of the UNet."""
    folder.mkdir(exist_ok=True)
    said = {f"unet.{key}": value for key, value in (header or {}).items()}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(said)} if said else None
    save_file(found, folder / "pytorch_lora_weights.safetensors", metadata)
    (folder / "lora.json").write_text(json.dumps({"format": 1, "base": base, **more}))
    return folder


@pytest.fixture
def changed(base, request):
    folder = base.parent / f"lora-{abs(hash(request.node.name))}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


SCALES = {
    "none said": (None, lambda r: 1.0),
    "alpha": ({"r": 4, "lora_alpha": 6}, lambda r: 6 / r),
    "rank-stabilised": ({"lora_alpha": 6.0, "use_rslora": True}, lambda r: 6 / r**0.5),
}


@pytest.mark.parametrize("strength", [1.0, 0.5, -2])
@pytest.mark.parametrize("said", SCALES)
def test_each_layer_is_w_plus_s_alpha_over_r_b_a(base, changed, strength, said):
    found = tensors(base)
    header, scale = SCALES[said]
    folder = written(changed, found, header=header, strength=strength)
    made = load_model(folder).components["unet"]
    before = load_model(base).components["unet"].state_dict()
    for name, value in made.state_dict().items():
        layer = name.removesuffix(".weight")
        want = before[name]
        if layer in LAYERS and name != layer:
            a, b = (found[f"unet.{layer}.lora_{x}.weight"] for x in "AB")
            flat = torch.einsum("or,ri->oi", b.flatten(1), a.flatten(1)).view_as(want)
            want = want + strength * scale(LAYERS[layer][1]) * flat
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


@pytest.mark.parametrize("alpha", [4, 10])
def test_what_diffusers_writes_is_read_as_diffusers_reads_it(base, changed, alpha):
    peft = pytest.importorskip("peft", reason="diffusers needs peft for LoRA")
    import diffusers

    pipe = diffusers.StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    config = peft.LoraConfig(r=4, lora_alpha=alpha, target_modules=["to_q", "conv_in"])
    pipe.unet.add_adapter(config)
    dice = torch.Generator().manual_seed(0)
    for name, value in pipe.unet.named_parameters():
        if "lora_" in name:
            value.data.normal_(generator=dice)
    diffusers.StableDiffusionPipeline.save_lora_weights(
        changed,
        peft.get_peft_model_state_dict(pipe.unet),
        unet_lora_adapter_metadata=config.to_dict() | {"target_modules": ["to_q", "conv_in"]},
    )
    (changed / "lora.json").write_text('{"format": 1, "base": "../base"}')
    fresh = diffusers.StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    fresh.load_lora_weights(changed)
    fresh.fuse_lora()
    fresh.unload_lora_weights()
    made = load_model(changed).components["unet"].state_dict()
    before = load_model(base).components["unet"].state_dict()
    wanted = fresh.unet.state_dict()
    assert sum(not torch.allclose(before[name], wanted[name]) for name in before) > 3
    for name, value in wanted.items():
        torch.testing.assert_close(made[name], value)


def _named(found, key, value):
    return found | {f"unet.{key}": value}


NOWHERE = {f"unet.nowhere.lora_{x}.weight": torch.ones(2, 2) for x in "AB"}
NORM = {f"unet.conv_norm_out.lora_{x}.weight": torch.ones(2, 2) for x in "AB"}
BAD = {
    "no such layer": (lambda f: f | NOWHERE, "another model"),
    "a norm": (lambda f: f | NORM, "another model"),
    "a text encoder": (lambda f: {"text_encoder.q.lora_A.weight": torch.ones(1, 2)}, "cannot be"),
    "of another tool": (lambda f: {"lora_unet_a.lora_down.weight": torch.ones(1, 2)}, "cannot be"),
    "an alpha of its own": (lambda f: _named(f, "conv_in.alpha", torch.tensor(2.0)), "cannot be"),
    "half a pair": (lambda f: {k: v for k, v in f.items() if "conv_in.lora_B" not in k}, "half"),
    "another size": (lambda f: {k: v[:, :1].contiguous() for k, v in f.items()}, "another model"),
    "scalars": (lambda f: {k: torch.tensor(1.0) for k in f}, "another model"),
    "rank 0": (lambda f: {k: v[:0] if "_A" in k else v[:, :0] for k, v in f.items()}, "another m"),
    "twice": (lambda f: _named(f, "conv_in.lora.down.weight", torch.ones(2, 2)), "twice"),
    "not finite": (lambda f: {k: v / 0 for k, v in f.items()}, "not finite"),
    "nothing": (lambda f: {}, "empty"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_does_not_fit_is_refused_and_nothing_is_changed(base, changed, fault):
    harm, words = BAD[fault]
    written(changed, harm(tensors(base)))
    parts = load_components(base)
    before = {k: v.clone() for k, v in parts["unet"].state_dict().items()}
    with pytest.raises(WeightsError, match=words):
        add_lora(parts, changed)
    assert all(torch.equal(before[k], v) for k, v in parts["unet"].state_dict().items())


def test_what_overflows_in_half_precision_is_refused(base, changed):
    found = {k: 300 * v for k, v in tensors(base).items()}
    load_model(written(changed, found))
    with pytest.raises(WeightsError, match="not finite"):
        load_model(changed, torch.float16)


@pytest.mark.parametrize("key", ["alpha_pattern", "use_dora"])
def test_what_a_header_asks_for_beyond_alpha_is_refused(base, changed, key):
    value = {"conv_in": 3} if key == "alpha_pattern" else True
    written(changed, tensors(base), header={"lora_alpha": 4, key: value})
    with pytest.raises(WeightsError, match=key):
        load_model(changed)


INDICES = [
    "", "[]", '{"format": 2, "base": "x"}', '{"format": true, "base": "x"}', '{"format": 1}',
    '{"format": 1, "base": ""}', '{"format": 1, "base": "x", "strength": "much"}',
    '{"format": 1, "base": "x", "strength": NaN}', '{"format": 1, "base": "x", "strenght": 0.5}',
    '{"format": 1, "base": "x", "strength": 1' + 400 * "0" + "}", '{"format": 1, "base": "x"',
    '{"format": 1, "base": "nosuch"}',
]  # fmt: skip


@pytest.mark.parametrize("text", INDICES)
def test_an_index_that_cannot_be_used_is_named(base, changed, text):
    written(changed, tensors(base))
    (changed / "lora.json").write_text(text)
    with pytest.raises(WeightsError, match=r"lora\.json"):
        load_model(changed)


def test_damaged_tensors_and_a_base_with_a_base_are_refused(base, changed):
    written(changed, tensors(base))
    (changed / "pytorch_lora_weights.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_model(changed)
    written(changed, tensors(base), base=f"../{changed.name}")
    with pytest.raises(WeightsError, match="base of its own"):
        load_model(changed)


def test_a_folder_that_could_be_either_or_does_not_say_is_refused(base, changed):
    written(changed, tensors(base))
    (changed / "model_index.json").write_text("{}")
    with pytest.raises(WeightsError, match="whole model and changes"):
        load_model(changed)
    (changed / "model_index.json").unlink()
    (changed / "lora.json").unlink()
    with pytest.raises(WeightsError, match="does not say which model"):
        load_model(changed)


def test_the_base_is_found_from_any_working_directory(base, changed, tmp_path, monkeypatch):
    written(changed, tensors(base), base="../base")
    monkeypatch.chdir(tmp_path)
    assert zoo.base_folder(changed).resolve() == base.resolve()
    written(changed, tensors(base), base=str(base))
    assert zoo.base_folder(changed) == base


def test_another_base_than_the_one_that_is_pinned_is_refused(base, changed):
    written(changed, tensors(base), base_sha256=hash_folder(base))
    assert zoo.base_folder(changed).resolve() == base.resolve()
    written(changed, tensors(base), base_sha256="0" * 64)
    with pytest.raises(WeightsError, match="made for another model"):
        load_model(changed)
