"""An adapter is written and read back to the bit, strictly."""

import json

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from compose_cnc.folder import Adapter, load_adapter, save_adapter
from compose_cnc.model import GlobalFuser
from compose_cnc.testing import tiny_adapter, tiny_encoder
from compose_core.errors import UsageError, WeightsError


@pytest.fixture
def folder(tmp_path, unet):
    return tiny_adapter(tmp_path / "cnc", unet)


def tensors(adapter):
    parts = (adapter.local_fuser, adapter.global_fuser, adapter.exemplars)
    return [tensor for part in parts for tensor in part.state_dict().values()]


def test_what_is_written_comes_back(folder, tmp_path, unet):
    one = load_adapter(folder)
    two = load_adapter(save_adapter(tmp_path / "again", one))
    assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(two), strict=True))
    assert two.exemplars.preprocess == one.exemplars.preprocess
    assert not any(m.training for m in (two.local_fuser, two.global_fuser, two.exemplars.network))
    two.check_base(unet, 4)
    assert not list(folder.rglob("*.bin")) and not list(folder.rglob("*.pt"))


def test_half_precision_and_parts_alone(tmp_path):
    alone = Adapter(global_fuser=GlobalFuser.fresh(12, 8), base="some-base")
    found = load_adapter(save_adapter(tmp_path, alone), torch.bfloat16)
    assert found.local_fuser is None and found.exemplars is None and found.base == "some-base"
    assert found.global_fuser.dtype == torch.bfloat16
    with pytest.raises(UsageError, match="nothing to save"):
        save_adapter(tmp_path, Adapter())


@pytest.mark.parametrize("part", ["local_fuser", "global_fuser", "image_encoder"])
@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "truncated", "pickle", "folder"])
def test_weights_that_do_not_fit_are_refused(folder, part, damage):
    (path,) = (folder / part).glob("*.safetensors")
    held = load_file(path)
    name = next(name for name in sorted(held) if held[name].dim() == 2)
    if damage == "missing":
        del held[name]
    elif damage == "extra":
        held["left.over"] = torch.zeros(1)
    elif damage == "shape":
        held[name] = torch.zeros(3, 3)
    if damage in ("missing", "extra", "shape"):
        save_file(held, path, metadata={"format": "pt"})
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "pickle":
        path.unlink()
        torch.save(held, path.with_suffix(".bin"))
    else:
        (folder / part).rename(folder / "elsewhere")
    with pytest.raises(WeightsError, match=part):
        load_adapter(folder)


def test_another_folder_is_named(folder, tmp_path):
    with pytest.raises(WeightsError, match="no folder of compose-cnc"):
        load_adapter(tmp_path / "nowhere")
    for change in ({"format": 99}, {"parts": []}, {"parts": ["unet"]}, {"parts": None}):
        index = json.loads((folder / "cnc.json").read_text())
        (folder / "cnc.json").write_text(json.dumps({**index, **change}))
        with pytest.raises(WeightsError, match="cannot be read"):
            load_adapter(folder)
        (folder / "cnc.json").write_text(json.dumps(index))
    (folder / "cnc.json").write_text("[]")
    with pytest.raises(WeightsError, match="damaged"):
        load_adapter(folder)


def test_an_encoder_of_another_width_is_refused():
    with pytest.raises(WeightsError, match="embeddings of width 12"):
        Adapter(global_fuser=GlobalFuser.fresh(10, 8), exemplars=tiny_encoder())


def test_another_base_model_is_refused(folder, unet):
    adapter = load_adapter(folder)
    with pytest.raises(WeightsError, match="factor of the codec = 8"):
        adapter.check_base(unet, 8)
    for change in ({"block_out_channels": [16, 16]}, {"cross_attention_dim": 24}):
        other = UNet2DConditionModel.from_config(unet.config, **change)
        with pytest.raises(WeightsError, match=next(iter(change))):
            adapter.check_base(other, 4)
