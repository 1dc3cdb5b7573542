import pytest
import torch
from safetensors.torch import save_file

from compose_core.encoded import Encoded
from compose_core.errors import WeightsError
from compose_core.schedule import KarrasVE
from compose_dde.networks import PositionUNet, UNet1d
from compose_dde.published import load_msdm, load_rrr

SOUND = {
    "channels_in": 2,
    "channels": 8,
    "patch": 2,
    "multipliers": (1, 2),
    "factors": (2,),
    "blocks": (1,),
    "attentions": (True,),
    "heads": 2,
    "head_dim": 4,
}
PLACES = {"channels_in": 3, "channels": 8, "multipliers": (1, 2), "blocks": 1, "attentions": (2,),
          "head_dim": 8}  # fmt: skip


def lightning(net, **more):
    """Weights as Lightning lays them out there: twice, beside what it notes of a run."""
    own = net.state_dict()
    weights = {f"model.unet.{k}": v for k, v in own.items()}
    weights |= {f"model.diffusion.net.{k}": v.clone() for k, v in own.items()}
    return {"epoch": 3, "state_dict": {**weights, **more}, "hyper_parameters": {"lr": 1e-4}}


def test_multi_source_weights_are_read(tmp_path, draw):
    net = UNet1d(**SOUND).requires_grad_(False)
    torch.save(lightning(net), tmp_path / "x.ckpt")
    found = load_msdm(tmp_path / "x.ckpt", settings=SOUND)
    x, noise = draw(1, 2, 16), torch.zeros(1)
    assert torch.equal(found.backbone(x, noise, Encoded()), net(x, noise, Encoded()))
    assert found.clamp and found.precondition.sigma_data == 0.2
    assert float(found(50 * x, KarrasVE().level(9.0), Encoded()).x0.abs().max()) <= 1
    save_file(
        {k: v for k, v in lightning(net)["state_dict"].items() if "unet" in k},
        tmp_path / "x.safetensors",
    )
    assert load_msdm(tmp_path / "x.safetensors", settings=SOUND).clamp


@pytest.mark.parametrize("damage", ["stranger", "differ", "missing", "code", "other"])
def test_other_files_are_refused(damage, tmp_path):
    net = UNet1d(**SOUND).requires_grad_(False)
    saved = lightning(net)
    weights = saved["state_dict"]
    name = next(k for k in weights if k.startswith("model.unet."))
    if damage == "stranger":
        weights["encoder.weight"] = torch.zeros(1)
    elif damage == "differ":
        weights[name] = weights[name] + 1
    elif damage == "missing":
        del weights[name]
    elif damage == "code":
        saved["hyper_parameters"] = KarrasVE()
    else:
        saved = {"state_dict": {"a": torch.zeros(1)}}
    torch.save(saved, tmp_path / "x.ckpt")
    with pytest.raises(WeightsError):
        load_msdm(tmp_path / "x.ckpt", settings=SOUND)


def test_weights_for_one_position_are_read(tmp_path, draw):
    net = PositionUNet(**PLACES, place="linear").requires_grad_(False)
    torch.save(net.state_dict(), tmp_path / "x.pt")
    found = load_rrr(tmp_path / "x.pt", settings=PLACES)
    where = Encoded(position=torch.tensor([[0.2, 0.7]]))
    level = found.schedule.level(torch.tensor(300.0))
    x = draw(1, 3, 8, 8)
    eps = net(x, torch.tensor([300.0]), where)
    torch.testing.assert_close(found(x, level, where).eps, eps, rtol=1e-4, atol=1e-4)
    # The same question in EDM's words: x / alpha at sigma / alpha.
    alpha, ratio = float(level.alpha), float(level.ratio)
    same = found(x / alpha, KarrasVE().level(ratio), where)
    torch.testing.assert_close(same.x0, found(x, level, where).x0, rtol=1e-3, atol=1e-3)
