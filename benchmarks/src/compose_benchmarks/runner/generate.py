"""From a group of items to their pictures, in as few network calls as possible."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, final

import torch
from torch import Tensor

from compose_benchmarks.items import Item
from compose_benchmarks.lockstep import Lockstep
from compose_core.errors import UsageError
from compose_core.evaluate import Evaluator, Local, Query
from compose_core.method import Method, Plan
from compose_core.sampler import DDIM, Euler, Heun, Sampler

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["Cost", "Counting", "Drawn", "draw", "sampler"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a group took.

    Attributes:
        items: Pictures.
        seconds: On the clock, without loading.
        evaluations: Rows that networks were asked about: the function evaluations of all items.
        calls: Calls of networks.
        peak_bytes: Most memory in use: of the GPU, or of the process.
        beside: Pictures beside each of them that were kept.
    """

    items: int
    seconds: float
    evaluations: int
    calls: int
    peak_bytes: int
    beside: int = 0

    @classmethod
    def from_json(cls, found: object) -> Cost:
        """Read it again.

        Raises:
            ValueError: It is no such note.
        """
        match found:
            case {
                "items": int(items),
                "seconds": float(seconds),
                "evaluations": int(evaluations),
                "calls": int(calls),
                "peak_bytes": int(peak_bytes),
                "beside": int(beside),
            } if (
                min(items, evaluations, calls, peak_bytes, beside) >= 0 and 0 <= seconds < math.inf
            ):
                return cls(
                    items=items,
                    seconds=seconds,
                    evaluations=evaluations,
                    calls=calls,
                    peak_bytes=peak_bytes,
                    beside=beside,
                )
        raise ValueError("no note of a cost")


class Drawn(NamedTuple):
    """What became of a group.

    Attributes:
        pictures: (B, 3, H, W) uint8 on the CPU, rounded as `compose run` rounds them.
        cost: What they took.
        beside: For each item the pictures (3, H, W) beside it, by name, if they were asked for.
    """

    pictures: Tensor
    cost: Cost
    beside: tuple[dict[str, Tensor], ...]


@final
class Counting(Evaluator):
    """Answers in this process and counts what it is asked.

    Attributes:
        rows: Rows answered so far.
        calls: Network calls that this took.
        max_batch: The most rows of one of them; look-aheads keep to it as well.
    """

    def __init__(self, max_batch: int) -> None:
        self._local = Local(max_batch)
        self.max_batch = max_batch
        self.rows, self.calls = 0, 0

    def _answer(self, group: list[Query]) -> list[Tensor]:
        rows = sum(query.x_t.shape[0] for query in group)
        self.rows += rows
        self.calls += -(-rows // self.max_batch)
        return self._local._answer(group)


def sampler(name: str, model: Model, steps: int) -> Sampler:
    """The sampler of a name that `Job` has checked."""
    return {"ddim": DDIM, "euler": Euler, "heun": Heun}[name](model.schedule.levels(steps))


@torch.no_grad()
def draw(
    model: Model,
    method: Method,
    items: Sequence[Item],
    *,
    walk: Sampler,
    guidance: float,
    device: str,
    max_batch: int,
    beside: bool = False,
) -> Drawn:
    """Make the pictures of a group of items.

    Args:
        model: Loaded on `device`.
        method: What composes.
        items: All of one canvas size.
        walk: The sampler.
        guidance: Scale of classifier-free guidance.
        device: Where to compute.
        max_batch: The most rows of one network call.
        beside: Whether pictures beside the one that was asked for are decoded, too; see
            `Plan.beside`.

    Raises:
        UsageError: The scenes have different sizes, or not as many pictures beside each.
    """
    start = time.perf_counter()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    # On the CPU everywhere: the same seed starts from the same noise on any device.
    dice = [torch.Generator("cpu").manual_seed(item.seed) for item in items]
    steps = len(walk.levels) - 1
    plans = [
        method.plan(
            item.scene, model, device=device, generator=[own], guidance=guidance, steps=steps
        )
        for item, own in zip(items, dice, strict=True)
    ]
    shape, wrap = _one_shape(plans)
    counting = Counting(max_batch)
    x_t = walk.initial((len(items), *shape), dice, device=device)
    x_t = torch.cat([plan.start(x) if plan.start else x for plan, x in _rows(plans, x_t)])
    together = Lockstep([plan.denoiser for plan in plans])
    x_0 = walk.sample(together, x_t, generator=dice, evaluator=counting)
    seen = torch.cat([plan.picture.observe(x) for plan, x in _rows(plans, x_0)])
    codec = plans[0].codec or model.codec
    levels = _as_bytes(codec.decode(seen, wrap=wrap))
    others = [_beside(plan, x, model) if beside else {} for plan, x in _rows(plans, x_0)]
    cost = Cost(
        items=len(items),
        seconds=time.perf_counter() - start,
        evaluations=counting.rows,
        calls=counting.calls,
        peak_bytes=peak_bytes(device),
        beside=_one_count(others),
    )
    return Drawn(levels, cost, tuple(others))


def peak_bytes(device: str) -> int:
    """Most memory that was in use so far: of the GPU, or of this process."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return 0  # nobody tells
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _beside(plan: Plan, x: Tensor, model: Model) -> dict[str, Tensor]:
    """The pictures (3, H, W) uint8 beside that of a sample (1, ...)."""
    return {
        name: _as_bytes((plan.codec or model.codec).decode(one.view.observe(x), wrap=plan.wrap))[0]
        for name, one in plan.beside.items()
    }


def _as_bytes(pictures: Tensor) -> Tensor:
    return ((pictures.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def _one_count(others: Sequence[dict[str, Tensor]]) -> int:
    counts = {len(some) for some in others}
    if len(counts) != 1:
        raise UsageError(
            "scenes of one batch must have as many pictures beside each",
            got=sorted(counts),
            remedy="use --micro-batch 1",
        )
    return counts.pop()


def _rows(plans: Sequence[Plan], x: Tensor) -> Iterable[tuple[Plan, Tensor]]:
    """Each plan with its own row (1, ...) of a batch."""
    return zip(plans, x.split(1), strict=True)


def _one_shape(plans: Sequence[Plan]) -> tuple[tuple[int, ...], tuple[bool, bool]]:
    kinds = {(plan.shape, plan.wrap) for plan in plans}
    if len(kinds) != 1:
        raise UsageError(
            "scenes of one batch must have one size",
            got=sorted(map(str, kinds)),
            remedy="give the suite one canvas, or use --micro-batch 1",
        )
    return kinds.pop()
