"""The whole way: a checkpoint file, a folder, and the components that load from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from compose_cnc.convert import checkpoint as module
from compose_cnc.convert import convert, verify
from compose_cnc.convert.read import read_checkpoint
from compose_cnc.folder import load_adapter
from compose_core.errors import UsageError, WeightsError
from compose_core.testing.folders import tiny_stable_diffusion

Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("convert")


@pytest.fixture(scope="module")
def file(place: Path, official: Tensors) -> Path:
    """As Lightning writes it: the weights, and other things beside them."""
    path = place / "cnc_v1.ckpt"
    torch.save({"state_dict": official, "global_step": 5, "lr_schedulers": []}, path)
    return path


@pytest.fixture(scope="module")
def base(place: Path) -> Path:
    return tiny_stable_diffusion(place / "base")


@pytest.fixture(scope="module")
def converted(file: Path, place: Path, base: Path) -> Any:
    return convert(file, place / "out", base=base, check=True)


def test_everything_is_compared_and_counted(converted: Any, weights: Tensors):
    assert converted.compared == len(weights)
    assert sum(converted.parameters.values()) == sum(x.numel() for x in weights.values())
    assert "betas" in converted.ignored and len(converted.ignored) == 13
    assert set(converted.absent) == {"image_encoder"}


def test_core_loads_the_base(converted: Any, weights: Tensors):
    from compose_core.backbones.load import load_model

    model = load_model(converted.folder)
    unet = model.components["unet"]
    key = "model.diffusion_model.output_blocks.5.2.conv.weight"
    found = unet.up_blocks[1].upsamplers[0].conv.weight
    assert torch.equal(found, weights[key])
    key = "cond_stage_model.transformer.text_model.final_layer_norm.weight"
    assert torch.equal(
        model.components["text_encoder"].state_dict()["final_layer_norm.weight"], weights[key]
    )


def test_the_adapter_loads_strictly(converted: Any, weights: Tensors):
    adapter = load_adapter(converted.folder / "cnc")
    assert adapter.local_fuser is not None and adapter.global_fuser is not None
    fdn = adapter.local_fuser.down_blocks[2].resnets[0].norm_out.gamma
    key = "local_adapter.input_blocks.7.0.norm_out.conv_gamma.weight"
    assert torch.equal(fdn.weight, weights[key])
    levels = adapter.local_fuser.streams.levels
    key = "local_adapter.feature_extractor.extractors.3.0.bias"
    assert torch.equal(levels[3][0].bias, weights[key])
    key = "global_adapter.ff2_bg.net.2.weight"
    assert torch.equal(adapter.global_fuser.bg.ff2.net[2].weight, weights[key])


def test_the_record_says_where_it_came_from(converted: Any, file: Path):
    said = json.loads((converted.folder / "cnc" / "conversion.json").read_text())
    assert said["checkpoint"]["name"] == file.name
    assert said["tensors"]["local_fuser"] == 372


def test_safetensors_give_the_same(official: Tensors, converted: Any, place: Path):
    path = place / "cnc.safetensors"
    save_file(official, path)
    done = convert(path, place / "again")
    assert set(done.absent) == {"tokenizer", "image_encoder"}
    index = json.loads((done.folder / "model_index.json").read_text())
    assert index["tokenizer"] == [None, None] and index["unet"][1] == "UNet2DConditionModel"
    name = "cnc/local_fuser/diffusion_pytorch_model.safetensors"
    one, two = load_file(done.folder / name), load_file(converted.folder / name)
    assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_verify_names_what_differs(converted: Any, official: Tensors):
    key = "local_adapter.zero_convs.3.0.weight"
    with pytest.raises(WeightsError, match="differs") as caught:
        verify(official | {key: official[key] + 1}, converted.folder)
    assert key in str(caught.value)
    with pytest.raises(WeightsError, match="differs"):
        verify({k: v for k, v in official.items() if k != key}, converted.folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.pop("global_adapter.norm1_bg.weight"), "global_adapter.norm1_bg.weight"),
        (
            lambda x: x.update({"local_adapter.extra.weight": torch.zeros(1)}),
            "local_adapter.extra",
        ),
        (
            lambda x: x.update(
                {"local_adapter.input_blocks.0.0.weight": torch.zeros(32, 9, 3, 3)}
            ),
            "of another shape",
        ),
        (lambda x: x.update({"model_ema.decay": torch.zeros(())}), "moving average"),
        (
            lambda x: x.update({"model.diffusion_model.out.2.bias": torch.full((4,), torch.nan)}),
            "NaN",
        ),
        (lambda x: x.update({"betas": torch.linspace(1e-4, 0.02, 1000)}), "noise schedule"),
    ],
)
def test_other_contents_are_refused(official: Tensors, tmp_path: Path, change: Any, said: str):
    changed = dict(official)
    change(changed)
    save_file(changed, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError) as caught:
        convert(tmp_path / "x.safetensors", tmp_path / "out")
    assert said in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.safetensors"]


@pytest.mark.parametrize(
    ("prefix", "said"),
    [("control_model.", "ControlNet"), ("conditioner.", "XL"), ("down_blocks.", "diffusers")],
)
def test_other_models_are_recognised(tmp_path: Path, prefix: str, said: str):
    save_file({f"{prefix}weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="not a checkpoint of Compose and Conquer") as caught:
        convert(tmp_path / "x.safetensors", tmp_path / "out")
    assert said in str(caught.value)


def test_the_model_it_began_as_is_recognised(official: Tensors, tmp_path: Path):
    old, new = (f"local_adapter.feature_extractor.{x}." for x in ("fg_extractor", "pre_extractor"))
    save_file({k.replace(old, new): v for k, v in official.items()}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError) as caught:
        convert(tmp_path / "x.safetensors", tmp_path / "out")
    assert "looks like Uni-ControlNet" in str(caught.value)


def test_a_plain_base_lacks_the_adapters(official: Tensors, tmp_path: Path):
    plain = {k: v for k, v in official.items() if "adapter" not in k}
    save_file(plain, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError) as caught:
        convert(tmp_path / "x.safetensors", tmp_path / "out")
    assert "local_adapter." in str(caught.value)


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must never run",)


def test_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.save({"state_dict": {"a": torch.zeros(1)}, "extra": _Code()}, tmp_path / "bad.ckpt")
    with pytest.raises(WeightsError, match="names code"):
        read_checkpoint(tmp_path / "bad.ckpt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("old", [False, True])
def test_both_pickle_formats_are_read(tmp_path: Path, old: bool):
    path = tmp_path / "x.ckpt"
    torch.save({"a": torch.arange(3.0)}, path, _use_new_zipfile_serialization=not old)
    assert torch.equal(read_checkpoint(path)["a"], torch.arange(3.0))


@pytest.mark.parametrize(
    "data", [b"", b"hello, this is text", b"PK\x03\x04 but no archive", b"\x80\x02garbage"]
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, data: bytes):
    (tmp_path / "x.ckpt").write_bytes(data)
    with pytest.raises(WeightsError):
        read_checkpoint(tmp_path / "x.ckpt")


def test_a_cut_file_is_refused(file: Path, tmp_path: Path):
    (tmp_path / "x.ckpt").write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(WeightsError):
        read_checkpoint(tmp_path / "x.ckpt")
    with pytest.raises(WeightsError, match="no such"):
        read_checkpoint(tmp_path / "nothing.ckpt")


@pytest.mark.parametrize("held", [[1, 2], {"state_dict": {"a": 3}}, {}, torch.zeros(2)])
def test_only_named_tensors_are_taken(tmp_path: Path, held: Any):
    torch.save(held, tmp_path / "x.ckpt")
    with pytest.raises(WeightsError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_nothing_half_written_stays(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "verify", broken)
    with pytest.raises(KeyboardInterrupt):
        convert(file, tmp_path / "out", check=True)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_result_is_not_touched(file: Path, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        convert(file, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_base_without_a_fitting_tokenizer_is_refused(
    file: Path, tmp_path: Path, base: Path, official: Tensors
):
    with pytest.raises(UsageError, match="no tokenizer"):
        convert(file, tmp_path / "out", base=tmp_path)
    key = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    save_file(official | {key: official[key][:-1].clone()}, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="does not belong"):
        convert(tmp_path / "x.safetensors", tmp_path / "out", base=base)


def test_a_picture_encoder_must_fit(file: Path, tmp_path: Path):
    from compose_cnc.testing import tiny_encoder

    with pytest.raises(WeightsError, match="does not fit"):
        convert(file, tmp_path / "out", exemplars=tiny_encoder())
