"""Networks of other makes as base models: whatever they were trained to put out becomes `D`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor, nn

from compose_core.denoiser import Network
from compose_core.encoded import Encoded
from compose_core.errors import UsageError
from compose_core.prediction import Prediction, translate
from compose_core.schedule import Level, Schedule

__all__ = ["Adapted", "Output", "from_diffusers"]

Output = Literal["epsilon", "v_prediction", "sample", "flow"]
"""What a network puts out, by the names of diffusers' schedulers; `"flow"` for rectified flow."""

_READ: dict[str, Callable[[Tensor, Level, Tensor], Prediction]] = {
    "epsilon": Prediction.from_eps,
    "v_prediction": Prediction.from_velocity,
    "sample": Prediction.from_x0,
    "flow": Prediction.from_flow,
}


@final
class Adapted(Network):
    """A network that was trained in a schedule of its own.

    The coordinator hears `x0`, or with `space="raw"` what a network with EDM's preconditioning
    would have put out, so any base will do.

    Args:
        module: Called as `module(x, t, encoded)` with `x` in its schedule and `t` `(B,)`, the time
            of that schedule.
        schedule: The one that it was trained in.
        output: What it puts out.

    Raises:
        UsageError: The output is unknown.
    """

    def __init__(self, module: nn.Module, schedule: Schedule, output: Output) -> None:
        super().__init__()
        if output not in get_args(Output):
            raise UsageError("unknown output", got=output, expected=", ".join(get_args(Output)))
        self.module = module
        self.schedule = schedule
        self.output: Output = output

    def forward(self, x_t: Tensor, level: Level, encoded: Encoded) -> Prediction:
        """See `Network`."""
        x, matched = translate(x_t, level, self.schedule)
        dtype = next(self.module.parameters()).dtype
        t = matched.t.to(x.device, torch.float32).expand(x.shape[0])
        output: Tensor = self.module(x.to(dtype), t, encoded.expand(x.shape[0]))
        return _READ[self.output](x, matched, output.to(x.dtype)).at(x_t, level)


class _Diffusers(nn.Module):
    """The calling manner of diffusers' unconditional UNets."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, t: Tensor, encoded: Encoded) -> Tensor:
        found: Any = self.unet(x, t, return_dict=False)
        return found[0]


def from_diffusers(unet: nn.Module, schedule: Schedule, output: Output = "epsilon") -> Adapted:
    """An unconditional `UNet1DModel` or `UNet2DModel`.

    Text-conditional ones are `compose_core.backbones.UNetNetwork`s, and can be used as they are.

    Args:
        unet: The network.
        schedule: Of its scheduler, see `compose_core.schedule.DiscreteVP`.
        output: The scheduler's `prediction_type`.
    """
    return Adapted(_Diffusers(unet), schedule, output)
