"""The training loop: a generator of `Progress`, one per optimiser step."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.amp.grad_scaler import GradScaler

from compose_core.errors import ComposeError, InterruptedRun, UsageError, WeightsError
from compose_core.train import checkpoint as checkpoints
from compose_core.train import states
from compose_core.train.checkpoint import Checkpoint
from compose_core.train.ema import EMA
from compose_core.train.journal import Journal
from compose_core.train.order import Order, derive
from compose_core.train.processes import Processes
from compose_core.train.stopping import Stopping
from compose_core.train.task import Progress, Task, TrainConfig

_AUTOCAST = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def train(
    task: Task,
    config: TrainConfig,
    folder: Path,
    *,
    resume: bool = True,
    device: torch.device | str = "cpu",
) -> Iterator[Progress]:
    """Train the task's modules in place, yielding after every optimiser step.

    The folder receives checkpoints, ``log.jsonl`` and validation pictures. A resumed run continues
    bit for bit (same device, precision and thread count). A finished folder yields nothing;
    `export` reads the averaged weights from it. SIGTERM and SIGINT end the step, save a checkpoint
    and raise `InterruptedRun`.

    Several processes share each micro-batch; the folder must be one that all of them see. Start
    them with ``accelerate launch`` or torchrun: when one of them fails, these end the others,
    which would wait for it until the group's timeout.

    Args:
        task: networks, data and loss.
        config: the numbers of the run.
        folder: where the run lives.
        resume: continue the newest whole checkpoint of ``folder``.
        device: where to train.

    Raises:
        UsageError: ``resume`` is off and the folder already holds a run, or seed, data size or
            number of processes differ from those of the checkpoint.
        WeightsError: checkpoints exist but none is whole, or they belong to other networks.
        ComposeError: the loss or a gradient is not finite, or every gradient of the first step is
            zero; the disk cannot be written.
        InterruptedRun: stopped by a signal, after saving.
    """
    folder = Path(folder)
    if not resume and checkpoints.exists(folder):
        raise UsageError(
            "The training folder already holds a run.",
            got=folder,
            remedy="resume it (--resume), or remove the folder to begin again",
        )
    return _Run(task, config, folder, torch.device(device)).iterate()


def export(
    folder: Path,
    modules: Mapping[str, nn.Module],
    *,
    averaged: bool = True,
    step: int | None = None,
) -> Checkpoint:
    """Load the (averaged) weights of a checkpoint into ``modules``, set to evaluation mode.

    Args:
        folder: of the run.
        modules: those of its task.
        averaged: whether the weights are those of the moving average.
        step: of the checkpoint; None takes the newest that is whole.

    Raises:
        WeightsError: there is no whole checkpoint, or it belongs to other networks.
    """
    if step is not None:
        found = checkpoints.load(Path(folder), step)
    else:
        found = checkpoints.load_newest(Path(folder))
    if found is None:
        raise WeightsError("There is no checkpoint to export.", got=folder, remedy="train first")
    states.unpack_modules(modules, found.parts["ema" if averaged else "model"])
    for module in modules.values():
        module.eval()
    return found


class _Run:
    """One run in one process."""

    def __init__(
        self, task: Task, config: TrainConfig, folder: Path, device: torch.device
    ) -> None:
        self.task, self.config, self.folder = task, config, folder
        self.processes = Processes(device)
        self.device = self.processes.device
        self.order = Order(task.size, config.seed)
        self.modules = dict(task.modules)
        layout = torch.channels_last if config.channels_last else torch.preserve_format
        for module in self.modules.values():
            module.to(self.device, memory_format=layout).train()  # type: ignore[call-overload]
        self.names: dict[Tensor, str] = {
            parameter: f"{name}.{key}"
            for name, module in self.modules.items()
            for key, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self.parameters = list(self.names)
        self.processes.copy_first(self.parameters)
        self.optimizer = _adamw(self.names, config, task.rates)
        self.scaler = GradScaler(self.device.type, enabled=config.precision == "fp16")
        self.ema = EMA(self.modules, config.ema)
        self.step, self.position, self.saved = 0, 0, -1
        self.seconds = 0.0
        self.random: states.Tensors = {}
        found = checkpoints.load_newest(folder)
        if found is not None:
            self._restore(found)

    def iterate(self) -> Iterator[Progress]:
        """Steps until the run is over."""
        # Seeded in any case: a checkpoint from another device has no state for this one.
        states.seed_random(self.config.seed, self.processes.rank, self.device)
        states.unpack_random(self.random, self.device)
        journal = None
        if self.processes.first and self.step < self.config.steps:
            journal = Journal(self.folder, after=self.step, tensorboard=self.config.tensorboard)
        try:
            with Stopping() as stopping:
                while self.step < self.config.steps:
                    yield self._advance(journal, stopping)
        finally:
            if journal is not None:
                journal.close()

    def _advance(self, journal: Journal | None, stopping: Stopping) -> Progress:
        began = time.monotonic()
        lr = self.config.lr_at(self.step)
        logs = self._update(lr)
        self.step += 1
        self.position += self.config.samples_per_step
        self.seconds += time.monotonic() - began
        last = self.step == self.config.steps
        validation = None
        if _due(self.step, self.config.validate_every) or (last and self.config.validate_every):
            validation = self._validate(journal)
        if journal is not None:
            scores = {f"validation/{k}": v for k, v in (validation or {}).items()}
            journal.write(self.step, {"lr": lr, "seconds": self.seconds, **logs, **scores})
        stop = self.processes.any(stopping.caught is not None)
        if stop or last or _due(self.step, self.config.checkpoint_every):
            self._save()
        if stop and not last:
            raise InterruptedRun(
                f"Training stopped at step {self.step} of {self.config.steps}; all is saved.",
                got=stopping.caught or "a signal to another process",
                remedy="run the same command with --resume to continue",
            )
        return Progress(
            step=self.step,
            total=self.config.steps,
            loss=logs.pop("loss"),
            lr=lr,
            logs=logs,
            seconds=self.seconds,
            ema_modules=self.ema.modules,
            validation=validation,
        )

    def _update(self, lr: float) -> dict[str, float]:
        """One optimiser step over all micro-batches."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["rate"]
        self.optimizer.zero_grad(set_to_none=True)
        losses: list[Tensor] = []
        sums: dict[str, float] = {}
        for micro in range(self.config.accumulate):
            loss, logs = self._loss(micro)
            scaled = self.scaler.scale(loss / self.config.accumulate)
            torch.autograd.backward(scaled)
            losses.append(loss.detach().float())
            for key, value in logs.items():
                sums[key] = sums.get(key, 0.0) + value / self.config.accumulate
        # Averaged before unscaling, so that all processes agree on skipping an fp16 overflow.
        self.processes.average([p.grad for p in self.parameters if p.grad is not None])
        self.scaler.unscale_(self.optimizer)
        means = self.processes.mean({"loss": torch.stack(losses).mean().item(), **sums})
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip or float("inf"))
        values = {**means, "grad_norm": norm.item()}
        self._check(values)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.ema.update(self.modules)
        return values

    def _loss(self, micro: int) -> tuple[Tensor, dict[str, float]]:
        start = self.position + micro * self.config.batch_size
        indices = self.processes.share(self.order.at(start, self.config.batch_size))
        batch = {k: self._place(v) for k, v in self.task.batch(indices).items()}  # type: ignore
        seed = derive(self.config.seed, "loss", self.step, micro, self.processes.rank)
        generator = Generator(self.device).manual_seed(seed)
        dtype = _AUTOCAST[self.config.precision]
        with torch.autocast(self.device.type, dtype, enabled=self.config.precision != "no"):
            return self.task.loss(batch, generator)

    def _place(self, value: Tensor) -> Tensor:
        value = value.to(self.device, non_blocking=True)
        if self.config.channels_last and value.ndim == 4:
            value = value.contiguous(memory_format=torch.channels_last)
        return value

    def _check(self, values: dict[str, float]) -> None:
        if self.step == 0 and values["grad_norm"] == 0:
            raise ComposeError(
                "Nothing can be learnt: every gradient is exactly zero at the first step.",
                got=f"loss {values['loss']:g}",
                expected="a loss that depends on what is trained",
                remedy="look for a frozen module, or for two factors that both begin at zero",
            )
        # In fp16 an infinite gradient is ordinary: the scaler skips that step and scales less.
        names = ("loss",) if self.config.precision == "fp16" else ("loss", "grad_norm")
        for name in names:
            if not abs(values[name]) < float("inf"):
                raise ComposeError(
                    f"Training broke down at step {self.step + 1}: {name} is not finite.",
                    got=values[name],
                    expected="a finite number",
                    remedy="lower lr or clip; the last checkpoint is intact",
                )

    @torch.no_grad()
    def _validate(self, journal: Journal | None) -> dict[str, float] | None:
        """Scores and pictures by the first process; the run's random numbers are not disturbed."""
        scores = None
        before = states.pack_random(self.device)
        if self.processes.first:
            scores = self.task.validate(self.ema.modules)
            pictures = self.task.pictures(self.ema.modules)
            if pictures is not None and journal is not None:
                journal.show(self.step, pictures)
        states.unpack_random(before, self.device)
        self.processes.wait()
        return scores

    def _save(self) -> None:
        """A checkpoint, written by the first process when all have come this far."""
        if self.saved == self.step:
            return
        random = self.processes.gather_states(states.pack_random(self.device))
        self.processes.wait()
        if self.processes.first:
            parts = {
                "model": states.pack_modules(self.modules),
                "ema": states.pack_modules(self.ema.modules),
                "optimizer": states.pack_optimizer(self.optimizer, self.names),
                "rng": random,
            }
            facts = {
                "position": self.position,
                "seconds": self.seconds,
                "ema_updates": self.ema.updates,
                "scaler": self.scaler.state_dict(),
                "size": self.task.size,
                "config": asdict(self.config),
            }
            checkpoint = Checkpoint(step=self.step, parts=parts, facts=facts)
            checkpoints.save(self.folder, checkpoint, keep=self.config.keep)
        self.processes.wait()
        self.saved = self.step

    def _restore(self, found: Checkpoint) -> None:
        facts = found.facts
        world = len({name.partition(".")[0] for name in found.parts["rng"]})
        launch = f"accelerate launch --num_processes {world}"
        for what, now, before, keep in (
            ("seed", self.config.seed, facts["config"]["seed"], "keep the value"),
            ("data size", self.task.size, facts["size"], "keep the value"),
            ("number of processes", self.processes.count, world, f"start it with `{launch}`"),
        ):
            if now != before:
                raise UsageError(
                    f"The run in {self.folder} has another {what}: its samples or noise differ.",
                    got=now,
                    expected=before,
                    remedy=f"{keep}, or train in a new folder",
                )
        states.unpack_modules(self.modules, found.parts["model"])
        states.unpack_modules(self.ema.modules, found.parts["ema"])
        states.unpack_optimizer(self.optimizer, self.names, found.parts["optimizer"])
        self.ema.updates = facts["ema_updates"]
        if facts["scaler"]:
            self.scaler.load_state_dict(facts["scaler"])
        self.step = self.saved = found.step
        self.position, self.seconds = facts["position"], facts["seconds"]
        own = f"{self.processes.rank}."
        random = found.parts["rng"].items()
        self.random = {k.removeprefix(own): v for k, v in random if k.startswith(own)}


def _adamw(
    names: Mapping[Tensor, str], config: TrainConfig, rates: Mapping[str, float]
) -> torch.optim.AdamW:
    """AdamW that decays matrices and filters only: gains and biases have no scale to fight."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for parameter, name in names.items():
        rate = rates.get(name.partition(".")[0], 1.0)
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    filled = [
        {"params": params, "weight_decay": decay, "rate": rate}
        for (rate, decay), params in groups.items()
    ]
    return torch.optim.AdamW(filled, lr=config.lr, betas=config.betas, fused=True)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
