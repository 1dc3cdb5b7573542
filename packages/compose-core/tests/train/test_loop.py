"""A run: interrupted anywhere it ends where an uninterrupted one does, bit for bit."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, LongTensor, Tensor, nn

from compose_core.errors import ComposeError, InterruptedRun, UsageError, WeightsError
from compose_core.train import Task, TrainConfig, export, load_newest, train
from compose_core.train.checkpoint import save


class Toy(Task):
    """A small network with dropout and batch statistics that learns noisy sines."""

    def __init__(self, size: int = 13) -> None:
        generator = Generator().manual_seed(3)
        net = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.GELU(), nn.Linear(8, 1)
        )
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)
        self.net = net
        self.samples = size
        self.seen: list[int] = []
        self.hook = lambda call: None

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"net": self.net}

    @property
    def size(self) -> int:
        return self.samples

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        self.hook(len(self.seen))
        self.seen.append(indices[0].item())
        x = torch.sin(indices.float()[:, None] * torch.arange(1, 5))
        return {"x": x, "y": x.sum(1, keepdim=True)}

    def loss(self, batch: dict[str, Tensor], generator: Generator) -> tuple[Tensor, dict]:
        noise = torch.randn(batch["x"].shape, generator=generator, device=batch["x"].device)
        error = (self.net(batch["x"] + 0.1 * noise) - batch["y"]).square().mean()
        return error, {"error": error.item()}

    def validate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        torch.rand(7)  # a careless task: must not disturb the run
        return {"weight": modules["net"][0].weight.sum().item()}

    def pictures(self, modules: dict[str, nn.Module]) -> Tensor:
        return torch.zeros(3, 3, 4, 4)


def config(**changes) -> TrainConfig:
    values = {"steps": 9, "batch_size": 4, "lr": 1e-2, "warmup": 2, "accumulate": 2, "seed": 5}
    return TrainConfig(**(values | {"checkpoint_every": 2} | changes))


def final(folder: Path) -> dict[str, Tensor]:
    found = load_newest(folder)
    facts = {k: v for k, v in found.facts.items() if k not in ("seconds", "config")}
    return {f"{p}/{k}": v for p, part in found.parts.items() for k, v in part.items()} | facts


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for key, value in a.items():
        same = torch.equal(value, b[key]) if isinstance(value, Tensor) else value == b[key]
        assert same, key


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("whole")
    list(train(Toy(), config(), folder))
    return final(folder)


@pytest.mark.parametrize("call", [1, 3, 6, 7, 10, 13, 16, 17])
def test_resume_after_a_crash_in_any_micro_batch_is_bit_exact(tmp_path, whole, call):
    # 18 micro-batches of 4 over epochs of 13: cuts fall inside epochs and inside accumulations.
    class Crash(Exception):
        pass

    def crash(now: int) -> None:
        if now == call:
            raise Crash

    task = Toy()
    task.hook = crash
    with pytest.raises(Crash):
        list(train(task, config(), tmp_path))
    torch.rand(5)  # whatever happens in between
    list(train(Toy(), config(), tmp_path))
    assert_same(final(tmp_path), whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("call", [0, 5, 10])
def test_a_signal_saves_the_step_and_resumes_bit_exactly(tmp_path, whole, call, number):
    task = Toy()
    task.hook = lambda now: os.kill(os.getpid(), number) if now == call else None
    before = signal.getsignal(number)
    with pytest.raises(InterruptedRun, match="all is saved"):
        list(train(task, config(checkpoint_every=0), tmp_path))
    assert signal.getsignal(number) is before
    assert load_newest(tmp_path).step == call // 2 + 1
    list(train(Toy(), config(checkpoint_every=0), tmp_path))
    assert_same(final(tmp_path), whole)


def test_validation_does_not_change_the_run(tmp_path, whole):
    steps = list(train(Toy(), config(validate_every=3), tmp_path))
    assert [p.validation is not None for p in steps] == [False, False, True] * 3
    assert_same(final(tmp_path), whole)
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 3
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 9


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_every_device_resumes_bit_exactly(tmp_path, device, precision):
    options = config(precision=precision, channels_last=True)
    list(train(Toy(), options, tmp_path / "whole", device=device))
    steps = train(Toy(), options, tmp_path / "cut", device=device)
    for _ in range(5):
        next(steps)
    steps.close()
    list(train(Toy(), options, tmp_path / "cut", device=device))
    assert_same(final(tmp_path / "cut"), final(tmp_path / "whole"))


@pytest.mark.parametrize("kept", ["elsewhere", "cpu"])
def test_dropout_is_fixed_after_a_checkpoint_of_another_device(tmp_path, device, kept):
    options = config(steps=5, warmup=0)
    list(train(Toy(), config(steps=4, warmup=0), tmp_path / "a"))
    found = load_newest(tmp_path / "a")
    state = {f"0.{kept}": found.parts["rng"]["0.cpu"]}
    for name, disturbed in (("a", 1), ("b", 2)):
        folder = tmp_path / name
        save(folder, replace(found, parts=found.parts | {"rng": state}), keep=1)
        torch.rand(disturbed)
        torch.rand(disturbed, device=device)
        list(train(Toy(), options, folder, device=device))
    a, b = final(tmp_path / "a"), final(tmp_path / "b")
    assert load_newest(tmp_path / "a").step == load_newest(tmp_path / "b").step == 5
    assert_same(a, b)


def test_training_lowers_the_loss_and_export_gives_the_average(tmp_path):
    losses = [p.loss for p in train(Toy(), config(steps=150, ema=0.9), tmp_path)]
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    task = Toy()
    found = export(tmp_path, task.modules)
    assert not task.net.training
    assert torch.equal(task.net[0].weight, found.parts["ema"]["net.0.weight"])
    assert list(train(Toy(), config(steps=150, ema=0.9), tmp_path)) == []


def test_there_must_be_something_to_export(tmp_path):
    with pytest.raises(WeightsError, match="no checkpoint to export"):
        export(tmp_path, Toy().modules)


def test_accumulated_gradients_equal_one_large_batch(tmp_path):
    class Linear(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(4, 1).double()
            nn.init.ones_(self.net.weight)
            nn.init.zeros_(self.net.bias)

        def loss(self, batch, generator):
            return (self.net(batch["x"].double()) - batch["y"]).square().mean(), {}

    list(train(Linear(), config(accumulate=4, batch_size=2), tmp_path / "a"))
    list(train(Linear(), config(accumulate=1, batch_size=8), tmp_path / "b"))
    a, b = (load_newest(tmp_path / name).parts["model"] for name in "ab")
    torch.testing.assert_close(a["net.weight"], b["net.weight"], rtol=1e-12, atol=1e-12)


def test_frozen_parameters_stay(tmp_path):
    task = Toy()
    task.net[0].requires_grad_(False)
    before = task.net[0].weight.clone()
    list(train(task, config(steps=2), tmp_path))
    assert torch.equal(task.net[0].weight, before)


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(tmp_path):
    class Broken(Toy):
        def loss(self, batch, generator):
            loss, logs = super().loss(batch, generator)
            return (loss * float("nan"), logs) if len(self.seen) > 8 else (loss, logs)

    with pytest.raises(ComposeError, match="step 5: loss is not finite"):
        list(train(Broken(), config(), tmp_path))
    assert load_newest(tmp_path).step == 4


def test_a_loss_without_gradients_stops_at_once(tmp_path):
    class Deaf(Toy):
        def loss(self, batch, generator):
            loss, logs = super().loss(batch, generator)
            return loss * 0 + loss.detach(), logs

    with pytest.raises(ComposeError, match="every gradient is exactly zero"):
        list(train(Deaf(), config(), tmp_path))
    assert load_newest(tmp_path) is None


@pytest.mark.parametrize(
    "again", [{"config": config(seed=6)}, {"task": Toy(14)}, {"resume": False}]
)
def test_a_run_that_cannot_continue_the_folder_is_refused(tmp_path, again):
    list(train(Toy(), config(steps=2), tmp_path))
    call = {"task": Toy(), "config": config()} | again
    with pytest.raises(UsageError):
        train(call.pop("task"), call.pop("config"), tmp_path, **call)


def test_another_number_of_processes_is_refused(tmp_path):
    list(train(Toy(), config(steps=2), tmp_path))
    found = load_newest(tmp_path)
    pair = found.parts["rng"] | {"1.cpu": found.parts["rng"]["0.cpu"].clone()}
    save(tmp_path, replace(found, step=3, parts=found.parts | {"rng": pair}), keep=1)
    with pytest.raises(UsageError, match="another number of processes") as caught:
        train(Toy(), config(), tmp_path)
    assert (caught.value.got, caught.value.expected) == (1, 2)
    assert "--num_processes 2" in caught.value.remedy
    export(tmp_path, Toy().modules)  # the weights are anybody's


def test_another_network_is_refused(tmp_path):
    list(train(Toy(), config(steps=2), tmp_path))
    other = Toy()
    other.net[4] = nn.Linear(8, 2)
    with pytest.raises(ComposeError, match="does not fit"):
        train(other, config(), tmp_path)
    other.net = nn.Sequential(nn.Linear(4, 1))
    with pytest.raises(ComposeError, match="does not fit"):
        train(other, config(), tmp_path)
