"""Everything that continues a run, as plain tensors: optimiser, random numbers, weights.

No pickle: an optimiser's state is named after the parameters that it belongs to, and a random
number generator is the bytes that torch hands out.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Generator, Tensor, nn

from compose_core.errors import WeightsError
from compose_core.train.order import derive

Tensors = dict[str, Tensor]


def pack_modules(modules: Mapping[str, nn.Module]) -> Tensors:
    """All weights and buffers, as ``<module>.<name>``, contiguous copies on the CPU."""
    return {
        f"{name}.{key}": _plain(value)
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def unpack_modules(modules: Mapping[str, nn.Module], tensors: Tensors) -> None:
    """Load what `pack_modules` made, in place.

    Raises:
        WeightsError: names or shapes differ.
    """
    for name, module in modules.items():
        own = {
            key.removeprefix(f"{name}."): value
            for key, value in tensors.items()
            if key.startswith(f"{name}.")
        }
        _same_names(f"weights of `{name}`", own, module.state_dict())
        for key, value in module.state_dict().items():
            if value.shape != own[key].shape:
                raise WeightsError(
                    f"The checkpoint does not fit the weights of `{name}`: `{key}`.",
                    got=tuple(own[key].shape),
                    expected=tuple(value.shape),
                )
        module.load_state_dict(own)


def pack_optimizer(optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str]) -> Tensors:
    """The optimiser's running moments as ``<parameter>/<moment>``."""
    packed: Tensors = {}
    for parameter, moments in optimizer.state.items():
        for key, value in moments.items():
            packed[f"{names[parameter]}/{key}"] = _plain(torch.as_tensor(value))
    return packed


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str], tensors: Tensors
) -> None:
    """Load what `pack_optimizer` made; moments take the memory format of their parameter.

    Raises:
        WeightsError: a parameter or a shape is not known.
    """
    by_name = {name: parameter for parameter, name in names.items()}
    optimizer.state.clear()
    for key, value in tensors.items():
        name, _, moment = key.rpartition("/")
        parameter = by_name.get(name)
        if parameter is None or value.ndim and value.shape != parameter.shape:
            raise WeightsError(
                "The checkpoint's optimiser does not fit the networks.",
                got=f"{key} {tuple(value.shape)}",
                expected="no such parameter" if parameter is None else tuple(parameter.shape),
                remedy="train in a new folder, or restore the task that made this checkpoint",
            )
        # A fused optimiser wants all of it beside the parameter, the step counter included.
        if value.ndim:
            held = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:
            held = value.to(parameter.device)
        optimizer.state[parameter][moment] = held


def seed_random(seed: int, rank: int, device: torch.device) -> None:
    """Fix what dropout and the like draw: the process's own generators."""
    own = derive(seed, "process", rank)
    torch.set_rng_state(Generator().manual_seed(own).get_state())
    if device.type == "cuda":
        state = Generator(device).manual_seed(own).get_state()
        torch.cuda.set_rng_state(state, device)


def pack_random(device: torch.device) -> Tensors:
    """The state of the process's generators, as bytes (uint8)."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return {name: _plain(state) for name, state in states.items()}


def unpack_random(states: Tensors, device: torch.device) -> None:
    """Load what `pack_random` made; a state for a device that is not used is left out."""
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def _plain(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True).contiguous()


def _same_names(what: str, got: Iterable[str], expected: Iterable[str]) -> None:
    surplus, missing = sorted(set(got) - set(expected)), sorted(set(expected) - set(got))
    if surplus or missing:
        raise WeightsError(
            f"The checkpoint does not fit the {what}.",
            got=f"{len(surplus)} unknown {surplus[:3]}",
            expected=f"{len(missing)} missing {missing[:3]}",
            remedy="train in a new folder, or restore the task that made this checkpoint",
        )
