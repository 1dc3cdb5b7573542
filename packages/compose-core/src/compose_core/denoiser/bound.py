"""A network with its condition bound: the leaf of every composition."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from torch import Tensor

from compose_core.denoiser.interface import Denoiser, Network, State
from compose_core.encoded import Encoded
from compose_core.evaluate import Answers, Query, Questions
from compose_core.prediction import Prediction
from compose_core.schedule import Level


@final
class Bound(Denoiser):
    """`network` under `encoded`; it asks one question.

    Args:
        network: The network.
        encoded: Its conditions, of batch 1 (the same for all samples) or that of `x_t`. They
            follow the module when it is moved or cast.
    """

    def __init__(self, network: Network, encoded: Encoded | None = None) -> None:
        super().__init__()
        self.network = network
        self.encoded = encoded if encoded is not None else Encoded()

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """The one question."""
        return Query(self.network, x_t, level, self.encoded)

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """Its answer."""
        if not isinstance(answers, Prediction):
            raise TypeError(f"a Bound asks one question, and was given {answers!r}")
        return answers

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Bound:
        # nn.Module moves and casts parameters and buffers through here; conditions are neither.
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType]
        self.encoded = Encoded({name: fn(value) for name, value in self.encoded.items()})
        return self
