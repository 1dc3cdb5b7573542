"""The processes of one training run, as accelerate launched them; usually just one."""

import os
from collections.abc import Callable, Sequence
from typing import cast

import torch
from accelerate import PartialState  # pyright: ignore[reportMissingTypeStubs]
from accelerate.utils import (  # pyright: ignore[reportMissingTypeStubs]
    broadcast,  # pyright: ignore[reportUnknownVariableType]
    gather,  # pyright: ignore[reportUnknownVariableType]
    reduce,  # pyright: ignore[reportUnknownVariableType]
)
from torch import Tensor

from compose_core.errors import UsageError

Exchange = Callable[[Tensor], Tensor]


class Processes:
    """Rank, number and the few collective operations that training needs.

    Networks are not wrapped: tasks call their own modules in any pattern, and gradients are
    averaged once per optimiser step. A single process never touches accelerate's global state.
    """

    def __init__(self, device: torch.device) -> None:
        """Join the group that ``accelerate launch`` (or torchrun) announced, if any."""
        grouped = torch.distributed.is_available() and torch.distributed.is_initialized()
        alone = not grouped and int(os.environ.get("WORLD_SIZE", "1")) < 2
        self._state = None if alone else PartialState(cpu=device.type == "cpu")
        self.rank: int = int(self._state.process_index) if self._state else 0  # pyright: ignore
        self.count: int = int(self._state.num_processes) if self._state else 1  # pyright: ignore
        self.device = device
        if self._state is not None and device == torch.device("cuda"):
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def share(self, samples: Tensor) -> Tensor:
        """This process's contiguous part of ``samples`` (B, ...).

        Raises:
            UsageError: the batch cannot be shared equally.
        """
        if len(samples) % self.count:
            raise UsageError(
                "The batch cannot be shared equally by the processes.",
                got=f"batch_size {len(samples)} for {self.count} processes",
                expected=f"a multiple of {self.count}",
            )
        size = len(samples) // self.count
        return samples[self.rank * size : (self.rank + 1) * size]

    def wait(self) -> None:
        """Return when every process has come here."""
        if self._state is not None:
            self._state.wait_for_everyone()

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is set in at least one process; all get the same answer."""
        if self._state is None:
            return flag
        return bool(_reduce(torch.tensor(float(flag), device=self.device), "sum").item())

    def mean(self, numbers: dict[str, float]) -> dict[str, float]:
        """The means of ``numbers`` over the processes; all must bring the same names."""
        if self._state is None:
            return numbers
        names = sorted(numbers)
        values = [numbers[name] for name in names]
        mean = _reduce(torch.tensor(values, dtype=torch.float64, device=self.device), "mean")
        return {name: float(value) for name, value in zip(names, mean, strict=True)}

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace ``tensors`` by their mean over the processes, in one message per data type."""
        self._flat(tensors, lambda flat: _reduce(flat, "mean"))

    @torch.no_grad()
    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace ``tensors`` by those of the first process."""
        self._flat(tensors, lambda flat: cast(Tensor, broadcast(flat)))

    def gather_states(self, states: dict[str, Tensor]) -> dict[str, Tensor]:
        """The byte states of all processes, as ``<rank>.<name>``, on the CPU everywhere."""
        if self._state is None:
            return {f"0.{name}": state for name, state in states.items()}
        gathered: dict[str, Tensor] = {}
        for name, state in sorted(states.items()):
            rows = cast(Tensor, gather(state.to(self.device)[None])).cpu()
            gathered |= {f"{rank}.{name}": row.clone() for rank, row in enumerate(rows)}
        return gathered

    def _flat(self, tensors: Sequence[Tensor], exchange: Exchange) -> None:
        if self._state is None:
            return
        for dtype in sorted({t.dtype for t in tensors}, key=str):
            group = [t for t in tensors if t.dtype == dtype]
            flat = exchange(torch.cat([t.reshape(-1) for t in group]))
            parts = torch.split(flat, [t.numel() for t in group])
            for tensor, part in zip(group, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))


def _reduce(values: Tensor, how: str) -> Tensor:
    return cast(Tensor, reduce(values, how))
