"""What is denoised, and by what: from a batch of data to a clean object and its denoiser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, cast, final

import torch
from torch import Generator, Tensor, nn

from compose_core.denoiser import Bound, Denoiser
from compose_core.encoded import Encoded
from compose_core.errors import UsageError
from compose_dde.coordinator import Coordinator
from compose_dde.domain import span
from compose_dde.networks import EDMNetwork
from compose_dde.subjects import maps, music, positions
from compose_dde.subjects.positions import NOWHERE

__all__ = [
    "BaseOfMaps",
    "BaseOfMusic",
    "BaseOfPositions",
    "CoordinatedMaps",
    "CoordinatedMusic",
    "CoordinatedPositions",
    "Pose",
]


class Pose(ABC):
    """Poses a denoising problem."""

    frozen: bool
    """Whether networks are asked without gradients: what is trained stands above them."""

    @property
    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained, by name: `"base"` (a `Backbone`) or `"coordinator"`."""

    @abstractmethod
    def pose(
        self, batch: dict[str, Tensor], generator: Generator, modules: Mapping[str, nn.Module]
    ) -> tuple[Tensor, Denoiser]:
        """A clean object `(B, C, *spatial)` and what has to denoise it.

        Args:
            batch: On the training device.
            generator: The only source of randomness: crops, numbers of parts, dropped conditions.
            modules: Those to use: the trained ones, or averaged ones. Without a coordinator among
                them the parts are averaged.
        """


class _Base(Pose, ABC):
    """A base model learns about parts.

    Args:
        network: The base model.
    """

    frozen = False

    def __init__(self, network: EDMNetwork) -> None:
        self.network = network

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The backbone."""
        return {"base": self.network.backbone}

    def model(self, modules: Mapping[str, nn.Module]) -> EDMNetwork:
        """The base model with these weights."""
        sigma_data = self.network.precondition.sigma_data
        backbone = cast(Any, modules["base"])
        return EDMNetwork(backbone, sigma_data, clamp=self.network.clamp)


class _Coordinated(Pose, ABC):
    """A coordinator learns above a base model that stays as it is.

    Args:
        network: The base model; any `Network` of core.
        coordinator: What is trained.
    """

    frozen = True

    def __init__(self, network: nn.Module, coordinator: Coordinator) -> None:
        self.network = cast(Any, network.eval().requires_grad_(False))
        self.coordinator = coordinator

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The coordinator."""
        return {"coordinator": self.coordinator}

    def ready(self, x: Tensor, modules: Mapping[str, nn.Module]) -> tuple[Any, Coordinator | None]:
        """The base model where the batch is, and the coordinator."""
        return self.network.to(x.device), cast(Any, modules.get("coordinator"))


@final
class BaseOfMusic(_Base):
    """Reads `"x"` `(B, S, T)`; a random crop of each batch is learnt.

    Args:
        network: The base model.
        window: Samples of a part.
    """

    def __init__(self, network: EDMNetwork, window: int) -> None:
        super().__init__(network)
        self.window = window

    def pose(
        self, batch: dict[str, Tensor], generator: Generator, modules: Mapping[str, nn.Module]
    ) -> tuple[Tensor, Denoiser]:
        """See `Pose.pose`."""
        return _cut(batch["x"], (self.window,), generator)[0], Bound(self.model(modules))


@final
class CoordinatedMusic(_Coordinated):
    """Reads `"x"` `(B, S, T)`, long enough for the most windows.

    Args:
        network: The base model.
        coordinator: What is trained.
        window: Samples of a part.
        stride: Samples between two.
        windows: The fewest and the most: their number is drawn for each batch. The paper: 5.
    """

    def __init__(
        self,
        network: nn.Module,
        coordinator: Coordinator,
        window: int,
        stride: int,
        windows: tuple[int, int] = (5, 5),
    ) -> None:
        super().__init__(network, coordinator)
        self.window, self.stride, self.windows = window, stride, windows

    def pose(
        self, batch: dict[str, Tensor], generator: Generator, modules: Mapping[str, nn.Module]
    ) -> tuple[Tensor, Denoiser]:
        """See `Pose.pose`."""
        size = span(_number(self.windows, generator), self.window, self.stride)
        x, _ = _cut(batch["x"], (size,), generator)
        network, coordinator = self.ready(x, modules)
        return x, music.expand(network, coordinator, size, self.window, self.stride)


@final
class BaseOfPositions(_Base):
    """Reads `"x"` `(B, C, H, W)` and `"positions"` `(B, K, 2)`, absent ones last and negative.

    Args:
        network: The base model.
        drop: How often the condition is left out.
    """

    def __init__(self, network: EDMNetwork, drop: float = 0.1) -> None:
        super().__init__(network)
        self.drop = drop

    def pose(
        self, batch: dict[str, Tensor], generator: Generator, modules: Mapping[str, nn.Module]
    ) -> tuple[Tensor, Denoiser]:
        """See `Pose.pose`; one of the positions is drawn."""
        x = batch["x"]
        chosen = _chosen(batch["positions"], 1, generator)
        chosen = _dropped(chosen, NOWHERE, self.drop, generator)[0]
        return x, Bound(self.model(modules), Encoded(position=chosen[:, 0]))


@final
class CoordinatedPositions(_Coordinated):
    """Reads `"x"` `(B, C, H, W)` and `"positions"` `(B, K, 2)`, absent ones last and negative.

    Args:
        network: The base model; it reads `"position"`.
        coordinator: What is trained.
        conditions: The fewest and the most; their number is drawn for each batch. The paper: up
            to 2.
        drop: How often all conditions of a sample are left out.
    """

    def __init__(
        self,
        network: nn.Module,
        coordinator: Coordinator,
        conditions: tuple[int, int] = (1, 2),
        drop: float = 0.1,
    ) -> None:
        super().__init__(network, coordinator)
        self.conditions, self.drop = conditions, drop

    def pose(
        self, batch: dict[str, Tensor], generator: Generator, modules: Mapping[str, nn.Module]
    ) -> tuple[Tensor, Denoiser]:
        """See `Pose.pose`."""
        x = batch["x"]
        count = _number(self.conditions, generator)
        chosen = _chosen(batch["positions"], count, generator)
        chosen = _dropped(chosen, NOWHERE, self.drop, generator)[0]
        network, coordinator = self.ready(x, modules)
        return x, positions.expand(network, coordinator, chosen, x.shape[2:])


@final
class BaseOfMaps(_Base):
    """Reads `"x"` `(B, C, H, W)` and `"map"` `(B, E, H, W)`; a random crop of both is learnt.

    Args:
        network: The base model.
        window: Cells of a part on each axis.
        drop: How often the map is left out; the paper: never.
    """

    def __init__(self, network: EDMNetwork, window: int, drop: float = 0.0) -> None:
        super().__init__(network)
        self.window, self.drop = window, drop

    def pose(
        self, batch: dict[str, Tensor], generator: Generator, modules: Mapping[str, nn.Module]
    ) -> tuple[Tensor, Denoiser]:
        """See `Pose.pose`."""
        x, chart = _cut_pair(batch, self.window, generator)
        chart, _ = _dropped(chart, 0.0, self.drop, generator)
        return x, Bound(self.model(modules), Encoded(map=chart))


@final
class CoordinatedMaps(_Coordinated):
    """Reads `"x"` `(B, C, H, W)` and `"map"` `(B, E, H, W)`; a random crop of both is learnt.

    Args:
        network: The base model; it reads `"map"`.
        coordinator: What is trained.
        window: Cells of a part on each axis.
        stride: Cells between two.
        size: Cells of the large picture on each axis; the paper: 96, cropped from 128.
        drop: How often the map is left out; the paper: never.
    """

    def __init__(
        self,
        network: nn.Module,
        coordinator: Coordinator,
        window: int,
        stride: int,
        size: int,
        drop: float = 0.0,
    ) -> None:
        super().__init__(network, coordinator)
        self.window, self.stride, self.size, self.drop = window, stride, size, drop

    def pose(
        self, batch: dict[str, Tensor], generator: Generator, modules: Mapping[str, nn.Module]
    ) -> tuple[Tensor, Denoiser]:
        """See `Pose.pose`."""
        x, chart = _cut_pair(batch, self.size, generator)
        chart, _ = _dropped(chart, 0.0, self.drop, generator)
        network, coordinator = self.ready(x, modules)
        return x, maps.expand(network, coordinator, chart, self.window, self.stride)


def _number(between: tuple[int, int], generator: Generator) -> int:
    low, high = between
    if not 1 <= low <= high:
        raise UsageError("impossible numbers of parts", got=between, expected="1 <= low <= high")
    return int(torch.randint(low, high + 1, (), generator=generator, device=generator.device))


def _cut(x: Tensor, size: tuple[int, ...], generator: Generator) -> tuple[Tensor, tuple[int, ...]]:
    """A crop of the trailing axes, at the same random place in all samples."""
    spare = [have - want for have, want in zip(x.shape[-len(size) :], size, strict=True)]
    if min(spare) < 0:
        raise UsageError(
            "a sample is smaller than what is to be learnt",
            got=tuple(x.shape[2:]),
            expected=f"at least {size}",
            remedy="longer clips or larger pictures, or fewer parts",
        )
    start = tuple(_number((1, most + 1), generator) - 1 for most in spare)
    return _at(x, start, size), start


def _at(x: Tensor, start: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
    for axis, (first, cells) in enumerate(zip(start, size, strict=True), x.dim() - len(size)):
        x = x.narrow(axis, first, cells)
    return x


def _cut_pair(batch: dict[str, Tensor], size: int, generator: Generator) -> tuple[Tensor, Tensor]:
    x, start = _cut(batch["x"], (size, size), generator)
    return x, _at(batch["map"], start, (size, size))


def _chosen(given: Tensor, count: int, generator: Generator) -> Tensor:
    """`count` of the positions of each sample in random order; absent ones only where it must."""
    missing = given.shape[1] < count
    if missing:
        raise UsageError(
            "samples have too few positions", got=given.shape[1], expected=f"{count} or more"
        )
    order = torch.rand(given.shape[:2], generator=generator, device=given.device)
    order = order + (given.amin(2) < 0).to(order)
    first = order.argsort(1)[:, :count, None].expand(-1, -1, 2)
    return given.gather(1, first)


def _dropped(x: Tensor, by: float, often: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """`x` with some samples filled with `by`, and which."""
    lost = torch.rand(x.shape[0], generator=generator, device=x.device) < often
    return torch.where(lost.reshape(-1, *[1] * (x.dim() - 1)), by, x), lost
