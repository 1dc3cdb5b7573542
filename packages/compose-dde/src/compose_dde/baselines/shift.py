"""Windows side by side that move between steps.

The idea of SpotDiffusion (Frolov et al. 2024): no cell is asked about twice, and since the seams
are elsewhere at every step none is left to be seen. Fewer questions, no overlaps.
"""

from __future__ import annotations

import itertools
from typing import final

import torch
from torch import Tensor

from compose_core.compose import agree, partition, raw_weights
from compose_core.denoiser import Denoiser, State, Step
from compose_core.errors import UsageError
from compose_core.evaluate import Answers, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level
from compose_core.views import Window

__all__ = ["Shifted"]


@final
class Shifted(Denoiser):
    """One denoiser over windows that stand side by side, at a random place in each step.

    On an open axis the outermost windows are moved inside, and averaged with what they meet there.
    Places depend on the number of the step and `seed` alone, so they are the same in any batch.

    Args:
        part: Asks about each window.
        size: Cells of the whole on each axis.
        window: Cells of a part on each.
        wrap: Which axes are closed.
        step: Places are multiples of this; the patch of a base model, say.
        seed: Of the places.

    Raises:
        UsageError: A window is larger than the object.
    """

    def __init__(
        self,
        part: Denoiser,
        size: tuple[int, ...],
        window: tuple[int, ...],
        wrap: tuple[bool, ...] | None = None,
        step: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.part = part
        self.size, self.window, self.step, self.seed = size, window, step, seed
        self.wrap = wrap or (False,) * len(size)
        if any(width > cells for width, cells in zip(window, size, strict=True)):
            raise UsageError("a window is larger than the object", got=window, expected=size)

    def init(self, x_t: Tensor, generator: Generators | None = None) -> State:
        """Windows at the beginning."""
        return (0,) * len(self.size)

    def adapt(self, state: State, x_t: Tensor, step: Step) -> State:
        """Where the windows of this step begin."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + step.index)
        most = [max(width // self.step, 1) for width in self.window]
        drawn = [torch.randint(n, (), generator=generator) for n in most]
        return tuple(int(value) * self.step for value in drawn)

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """One question for each window."""
        return tuple(self.part.queries(one.observe(x_t), level, ()) for one in self._views(state))

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """The answers, laid side by side."""
        if isinstance(answers, Prediction):
            raise TypeError("windows ask several questions, and were given one answer")
        views = self._views(state)
        shares = partition(views, raw_weights(views, "mean", x_t), x_t)
        pairs = zip(views, answers, strict=True)
        said = [self.part.combine(one, v.observe(x_t), level, ()).x0 for v, one in pairs]
        return Prediction(x_t, level, agree(views, [w.to(x_t) for w in shares], said, x_t))

    def _views(self, state: tuple[int, ...]) -> list[Window]:
        axes = zip(self.size, self.window, state, self.wrap, strict=True)
        starts = [_starts(*axis) for axis in axes]
        return [Window(place, self.window, self.wrap) for place in itertools.product(*starts)]


def _starts(cells: int, width: int, offset: int, closed: bool) -> list[int]:
    if closed:
        count = -(-cells // width)
        return [offset + k * width for k in range(count)]
    last = cells - width
    places = range(offset - width, cells, width)
    return list(dict.fromkeys(min(max(place, 0), last) for place in places))
