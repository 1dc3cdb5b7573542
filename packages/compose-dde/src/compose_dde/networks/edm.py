"""A base model: a plain network with EDM's preconditioning, as a `Network` of core."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, final

from torch import Tensor, nn

from compose_core.denoiser import Network
from compose_core.encoded import Encoded
from compose_core.prediction import Prediction, translate
from compose_core.schedule import KarrasVE, Level
from compose_dde.precondition import Precondition

__all__ = ["Backbone", "EDMNetwork"]


class Backbone(nn.Module, ABC):
    """A network between noisy samples and outputs `F`, which knows nothing of diffusion."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Its arguments, for a file."""

    @property
    @abstractmethod
    def grain(self) -> int:
        """What the cells of a sample have to be a multiple of, on each axis."""

    @abstractmethod
    def forward(self, x: Tensor, noise: Tensor, encoded: Encoded) -> Tensor:
        """`F(x, noise)`.

        Args:
            x: `(B, C, *spatial)`, of unit variance.
            noise: `c_noise` `(B,)`.
            encoded: Conditions of batch `B`; a backbone says which it reads.

        Returns:
            Of the shape of `x`.
        """


@final
class EDMNetwork(Network):
    """`D(x, sigma) = c_skip x + c_out F(c_in x, c_noise)`; see `Precondition`.

    Args:
        backbone: F.
        sigma_data: Standard deviation of the data.
        clamp: Whether `x0` is held within [-1, 1], in training and after it: published checkpoints
            of multi-source diffusion models were trained so.
    """

    def __init__(
        self, backbone: Backbone, sigma_data: float = 0.5, *, clamp: bool = False
    ) -> None:
        super().__init__()
        self.schedule = KarrasVE()
        self.backbone = backbone
        self.precondition = Precondition(sigma_data)
        self.clamp = clamp

    def forward(self, x_t: Tensor, level: Level, encoded: Encoded) -> Prediction:
        """See `Network`; any level with `alpha > 0`."""
        x, matched = translate(x_t, level, self.schedule)
        dtype = next(self.backbone.parameters()).dtype
        scale = self.precondition.scale(matched)
        scaled, _ = Level(scale, scale, scale).to_like(x)
        noise = self.precondition.noise(matched).to(x.device, dtype).expand(x.shape[0])
        output = self.backbone((scaled * x).to(dtype), noise, encoded.expand(x.shape[0]))
        x0 = self.precondition.wrap(output.to(x.dtype), x, matched)
        return Prediction(x_t, level, x0.clamp(-1, 1) if self.clamp else x0)
