"""Bringing the states of several processes together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import load, save
from torch import Tensor, distributed


def of_everyone(
    state: Mapping[str, Tensor], group: distributed.ProcessGroup | None = None
) -> list[dict[str, Tensor]]:
    """The states of all processes of a group, in the order of their ranks.

    Every process gets all of them. Shapes may differ. They travel as safetensors bytes, so nothing
    is unpickled. Without an initialised group the answer is the state itself.

    Args:
        state: Tensors on the CPU.
        group: The processes; None for all of them.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return [dict(state)]
    device = _device(group)
    mine = {name: tensor.contiguous() for name, tensor in state.items()}
    sent = torch.frombuffer(bytearray(save(mine)), dtype=torch.uint8).to(device)
    lengths = _gathered(torch.tensor([len(sent)], device=device), group)
    longest = max(int(length) for length in lengths)
    padded = torch.zeros(longest, dtype=torch.uint8, device=device)
    padded[: len(sent)] = sent
    parts = zip(_gathered(padded, group), lengths, strict=True)
    return [load(part[: int(length)].cpu().numpy().tobytes()) for part, length in parts]


def _gathered(tensor: Tensor, group: distributed.ProcessGroup | None) -> list[Tensor]:
    parts = [torch.empty_like(tensor) for _ in range(distributed.get_world_size(group))]
    distributed.all_gather(parts, tensor, group=group)
    return parts


def _device(group: distributed.ProcessGroup | None) -> torch.device:
    """NCCL moves tensors of the GPU only, gloo those of the CPU."""
    on_gpu = distributed.get_backend(group) == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
