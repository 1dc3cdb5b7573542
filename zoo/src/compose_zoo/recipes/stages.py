"""Running one stage of a recipe: resume what is there, train, hand over averaged weights."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from compose_core.train import Task, TrainConfig, export, train


def first() -> bool:
    """Whether this is the process of a launched group that writes files."""
    return os.environ.get("RANK", "0") == "0"


def run(
    task: Task,
    config: TrainConfig,
    folder: Path,
    *,
    device: str = "cpu",
    resume: bool = True,
    steps: int | None = None,
) -> float:
    """Train a task to the end, then load the averaged weights into its modules.

    Args:
        task: what to train.
        config: how; `steps` replaces its number of steps.
        folder: where checkpoints live.
        device: where to train.
        resume: whether a run in `folder` may be continued.
        steps: fewer (or more) steps than the configuration's.

    Returns:
        Seconds of training, earlier sittings included.
    """
    if steps is not None:
        config = replace(config, steps=steps, warmup=min(config.warmup, steps // 4))
    with tqdm(total=config.steps, desc=folder.name, unit="step", mininterval=2) as bar:
        for progress in train(task, config, folder, resume=resume, device=device):
            bar.n = progress.step
            bar.set_postfix(loss=f"{progress.loss:.4f}", refresh=False)
            bar.update(0)
    found = export(folder, task.modules)
    for module in task.modules.values():
        module.to("cpu")
    return float(found.facts["seconds"])
