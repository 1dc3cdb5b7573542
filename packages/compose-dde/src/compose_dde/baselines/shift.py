"""Windows side by side that move between steps.

The idea of SpotDiffusion (Frolov et al. 2024): no cell is asked about twice, and since the seams
are elsewhere at every step none is left to be seen. Fewer questions, no overlaps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast, final

import torch
from torch import Tensor

from compose_core.compose import agree, partition, raw_weights
from compose_core.denoiser import Adaptation, Denoiser, State, Step, alone
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
    Windows are numbered, and each takes the state of its part along when it moves; where two have
    been moved to one place the first is asked, and the other keeps its state.

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

    def init(self, x_t: Tensor, generator: Generators | None = None) -> _Moved:
        """Windows at the beginning, and a state for each."""
        offset = (0,) * len(self.size)
        windows = self._windows(offset)
        states = (self.part.init(one.observe(x_t), generator) for one in windows)
        return _Moved(offset, tuple(states))

    def adapt(self, state: _Moved, x_t: Tensor, step: Step) -> _Moved:
        """Where the windows of this step begin; their parts adapt to what is seen there."""
        return cast(_Moved, alone(self.adapting(state, x_t, step)))

    def adapting(self, state: _Moved, x_t: Tensor, step: Step) -> Adaptation:
        """See `Denoiser.adapting`."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + step.index)
        most = [max(width // self.step, 1) for width in self.window]
        drawn = [torch.randint(n, (), generator=generator) for n in most]
        offset = tuple(int(value) * self.step for value in drawn)
        states = list(state.states)
        for one, n in self._asked(offset).items():
            states[n] = yield from self.part.adapting(states[n], one.observe(x_t), step)
        return _Moved(offset, tuple(states))

    def inner(self, state: _Moved) -> Iterable[tuple[str, Denoiser, State]]:
        """The part, once for each window that is asked about, by its number."""
        asked = self._asked(state.offset).values()
        return [(str(n), self.part, state.states[n]) for n in asked]

    def queries(self, x_t: Tensor, level: Level, state: _Moved) -> Questions:
        """What is asked about each window."""
        asked = self._asked(state.offset).items()
        return tuple(
            self.part.queries(one.observe(x_t), level, state.states[n]) for one, n in asked
        )

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: _Moved) -> Prediction:
        """The answers, laid side by side."""
        if isinstance(answers, Prediction):
            raise TypeError("windows ask several questions, and were given one answer")
        asked = self._asked(state.offset)
        views = list(asked)
        shares = partition(views, raw_weights(views, "mean", x_t), x_t)
        said = [
            self.part.combine(heard, one.observe(x_t), level, state.states[n]).x0
            for (one, n), heard in zip(asked.items(), answers, strict=True)
        ]
        return Prediction(x_t, level, agree(views, [w.to(x_t) for w in shares], said, x_t))

    def _windows(self, offset: tuple[int, ...]) -> list[Window]:
        """All windows, equally many at any offset; some may be at the same place."""
        axes = zip(self.size, self.window, offset, self.wrap, strict=True)
        starts = [_starts(*axis) for axis in axes]
        return [Window(place, self.window, self.wrap) for place in itertools.product(*starts)]

    def _asked(self, offset: tuple[int, ...]) -> dict[Window, int]:
        """One window at each place, with its number."""
        found: dict[Window, int] = {}
        for n, one in enumerate(self._windows(offset)):
            found.setdefault(one, n)
        return found


@dataclass(frozen=True, eq=False)
class _Moved:
    offset: tuple[int, ...]
    states: tuple[Any, ...]


def _starts(cells: int, width: int, offset: int, closed: bool) -> list[int]:
    count = -(-cells // width)
    if closed:
        return [offset + k * width for k in range(count)]
    last = cells - width
    return [min(max(offset + k * width, 0), last) for k in range(-1, count)]
