r"""Coordination by a recurrent network: parts in their order, each told what came before.

Appendix B.1.5, the paper's first method: :math:`h_0 = 0`, :math:`(h_{i+1}, x'_i) = f(h_i, x_i)`,
where `f` is a UNet with `h + S` channels in and out. Without overlaps the results are laid end to
end, with overlaps they are averaged.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from compose_core.encoded import Encoded
from compose_dde.coordinator.interface import Coordinator, Heard
from compose_dde.domain import Domain
from compose_dde.networks.edm import Backbone
from compose_dde.precondition import Precondition

__all__ = ["RNN", "RNN_OVERLAPS", "Recurrent"]

_SHARED: dict[str, Any] = {"channels_in": 20, "patch": 16, "heads": 8, "head_dim": 64}

RNN: dict[str, Any] = {
    **_SHARED,
    "channels": 48,
    "multipliers": (1, 2, 4, 4, 4, 4, 4),
    "factors": (4, 4, 4, 2, 2, 2),
    "blocks": (2, 2, 2, 2, 2, 2),
    "attentions": (False, False, False, True, True, True),
}
"""A `UNet1d` of 16.0M; table 1 gives 16M, and no sizes."""

RNN_OVERLAPS: dict[str, Any] = {
    **_SHARED,
    "head_dim": 96,
    "channels": 128,
    "multipliers": (1, 2, 2, 4, 4),
    "factors": (4, 4, 4, 2),
    "blocks": (2, 2, 2, 2),
    "attentions": (False, False, False, True),
}
"""A `UNet1d` of 50.0M; table 1 gives 50M for windows that overlap, and no sizes."""


@final
class Recurrent(Coordinator):
    """A backbone that goes through the parts.

    It hears and says outputs `F` of the base model, as a `Transformer` does in the raw space; what
    it says is added, and is nothing before training.

    Args:
        backbone: f, with `hidden` channels more than the object has, in and out. Its output must
            not be zero before training: what is added passes a gate that is.
        hidden: h; 16 in the paper.
        sigma_data: Of the base model.
    """

    def __init__(self, backbone: Backbone, hidden: int, sigma_data: float = 0.5) -> None:
        super().__init__()
        self.backbone = backbone
        self.hidden = hidden
        self.precondition = Precondition(sigma_data)
        channels = backbone.settings["channels_in"] - hidden
        self.gate = nn.Parameter(torch.zeros(channels))

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments besides the backbone."""
        return {"hidden": self.hidden, "sigma_data": self.precondition.sigma_data}

    def prepare(self, domain: Domain, like: Tensor) -> None:
        """Nothing: it knows nothing of places."""

    def forward(self, heard: Heard, prepared: None) -> Tensor:
        """See `Coordinator.forward`; takes as many turns as there are parts.

        The backbone hears and remembers in its own dtype, whatever that of the parts is.
        """
        raw = self.precondition.unwrap(heard.x0, heard.x_t, heard.level)
        batch, _, _, *spatial = raw.shape
        dtype = next(self.backbone.parameters()).dtype
        noise = self.precondition.noise(heard.level).to(raw.device, dtype).expand(batch)
        memory = raw.new_zeros(batch, self.hidden, *spatial, dtype=dtype)
        gate = self.gate.reshape(-1, *[1] * len(spatial))
        said: list[Tensor] = []
        for part in raw.unbind(1):
            out = self.backbone(torch.cat([memory, part.to(dtype)], 1), noise, Encoded())
            # The gate lets nothing through before training; the memory flows either way.
            memory = out[:, : self.hidden]
            said.append((gate * out[:, self.hidden :]).to(raw.dtype))
        change = torch.stack(said, 1)
        _, scale = self.precondition.skip(heard.level).to_like(change)
        return heard.x0 + scale * change
