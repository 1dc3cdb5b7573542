"""The loss is that of the paper, and each stage trains its own fusers and nothing else."""

import math

import pytest
import torch

from compose_cnc.training import DisentanglementTask, Dropout
from compose_core.errors import UsageError
from compose_core.testing.devices import device  # noqa: F401 (a fixture)
from compose_core.train import TrainConfig, export, train

PARTS = {
    "local": {"local_fuser"},
    "global": {"global_fuser"},
    "joint": {"local_fuser", "global_fuser"},
}
CONFIG = TrainConfig(steps=3, batch_size=2, lr=1e-3, warmup=0, ema=0.0, seed=3)


def weights(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("stage", sorted(PARTS))
def test_a_stage_trains_its_own_fusers(make_task, stage, tmp_path):
    task = make_task(stage, dropout=Dropout())
    assert set(task.modules) == PARTS[stage]
    network = task.network
    everything = {
        "unet": network.unet,
        "text": task.text_encoder,
        "local_fuser": network.local_fuser,
        "global_fuser": network.global_fuser,
    }
    before = {name: weights(module) for name, module in everything.items()}
    losses = [progress.loss for progress in train(task, CONFIG, tmp_path)]
    assert len(losses) == 3 and all(map(math.isfinite, losses))
    moved = {
        name for name, module in everything.items() if not same(before[name], weights(module))
    }
    assert moved == PARTS[stage]
    assert not any(p.grad is not None for p in network.unet.parameters())


def test_a_run_goes_on_bit_for_bit(make_task, tmp_path):
    """Stopped after two steps of three and resumed, by the same draws."""
    whole, parts = make_task("joint"), make_task("joint")
    list(train(whole, CONFIG, tmp_path / "whole"))
    run = train(parts, TrainConfig(**{**vars(CONFIG), "checkpoint_every": 2}), tmp_path / "parts")
    next(run), next(run)
    run.close()
    again = make_task("joint")
    list(train(again, CONFIG, tmp_path / "parts"))
    for folder, task in (("whole", whole), ("parts", again)):
        export(tmp_path / folder, task.modules)
    for name in PARTS["joint"]:
        assert same(weights(whole.modules[name]), weights(again.modules[name]))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("cap", [None, 5.0])
def test_the_loss_by_a_loop(make_task, kind, cap, monkeypatch):
    """Eq. 1 in what the base predicts; with a cap, min(SNR, cap) times the error of x0."""
    task = make_task("local", prediction=kind, snr_cap=cap)
    answers = []

    def forward(x_t, t, text, batch):
        answers.append((x_t, t))
        return torch.zeros_like(x_t)

    monkeypatch.setattr(task, "forward", forward)
    batch = task.batch(torch.arange(4))
    loss, logs = task.loss(batch, torch.Generator().manual_seed(7))
    ((x_t, times),) = answers
    total = plain = 0.0
    for i, t in enumerate(times.tolist()):
        a2 = float(task.network.schedule.alphas_cumprod[t])
        alpha, sigma, x0 = a2**0.5, (1 - a2) ** 0.5, batch["latent"][i]
        eps = (x_t[i] - alpha * x0) / sigma
        want = {"epsilon": eps, "v_prediction": alpha * eps - sigma * x0, "sample": x0}[kind]
        error, snr = float(want.square().mean()), a2 / (1 - a2)
        per_x0 = {"epsilon": 1 / snr, "v_prediction": 1 / (snr + 1), "sample": 1.0}[kind]
        total += error * (1.0 if cap is None else min(snr, cap) * per_x0) / 4
        plain += error / 4
    assert float(loss) == pytest.approx(total, rel=1e-3)
    assert logs["mse"] == pytest.approx(plain, rel=1e-3)


def test_captions_are_drawn_and_left_out(make_task, empty):
    """With all text left out only "" is heard; else each of the captions, now and then."""
    task = make_task("local")
    said = []
    task.text_encoder.register_forward_pre_hook(lambda module, given: said.append(given[0]))
    batch = task.batch(torch.arange(8))
    for seed in range(6):
        with torch.no_grad():
            task.loss(batch, torch.Generator().manual_seed(seed))
    heard = torch.stack(said)
    own = (heard[:, :, None] == batch["tokens"][None]).all(-1)
    assert bool(own.any(-1).all())
    assert bool(own.any(0).any(0).all())
    said.clear()
    task.dropout = Dropout(text=1.0)
    with torch.no_grad():
        task.loss(batch, torch.Generator().manual_seed(0))
    assert torch.equal(said[0], empty.expand(8, -1))


def test_pictures_are_encoded(make_task, base):
    """The codec's latents of the pictures: the same loss as with those."""
    task = make_task("local", codec=base.codec)
    batch = task.batch(torch.arange(2))
    del batch["latent"]
    batch["picture"] = batch["depth_bg"] * 2 - 1
    with torch.no_grad():
        coded = {**batch, "latent": base.codec.encode(batch["picture"])}
        one, _ = task.loss(batch, torch.Generator().manual_seed(0))
        two, _ = task.loss(coded, torch.Generator().manual_seed(0))
    assert torch.equal(one, two)
    task.codec = None
    with pytest.raises(UsageError, match="codec"):
        task.loss(batch, torch.Generator().manual_seed(0))


def test_bad_tasks_are_refused(make_task, empty):
    with pytest.raises(UsageError, match="stage"):
        make_task("both")
    task = make_task("joint")
    task.network.global_fuser = None
    with pytest.raises(UsageError, match="global_fuser"):
        DisentanglementTask(task.network, task.text_encoder, empty, task.samples, "global")


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("stage", sorted(PARTS))
def test_it_trains_on_any_device(make_task, stage, precision, device, tmp_path):  # noqa: F811
    task = make_task(stage, dropout=Dropout())
    config = TrainConfig(
        steps=1, batch_size=2, lr=1e-3, warmup=0, precision=precision, channels_last=True
    )
    (last,) = train(task, config, tmp_path, device=device)
    assert math.isfinite(last.loss)
