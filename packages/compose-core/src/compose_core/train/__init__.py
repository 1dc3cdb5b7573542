"""Training: a task and a configuration in, a generator of progress out, exactly resumable.

Example:
    >>> for progress in train(task, TrainConfig(steps=1000, batch_size=32, lr=1e-3), folder):
    ...     bar.update()
    >>> export(folder, task.modules)  # loads the averaged weights
"""

from compose_core.train.checkpoint import Checkpoint, load, load_newest, steps
from compose_core.train.ema import EMA
from compose_core.train.loop import export, train
from compose_core.train.order import Order
from compose_core.train.task import Progress, Task, TrainConfig

__all__ = [
    "EMA",
    "Checkpoint",
    "Order",
    "Progress",
    "Task",
    "TrainConfig",
    "export",
    "load",
    "load_newest",
    "steps",
    "train",
]
