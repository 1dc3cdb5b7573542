r"""Inference in a graph, one step at a time: the composer of this package.

At each step every model predicts the noise :math:`\epsilon_i` in its view of the canvases, and the
paper looks for canvases whose views are where these predictions lead (Eq. 41), with

.. math:: y_i(\lambda_i) = \frac{\alpha_s}{\alpha_t} f_i(X^t) + \lambda_i c\, \epsilon_i, \qquad
          c = \sigma_s - \sigma_t \frac{\alpha_s}{\alpha_t}   \quad (Eq. 30).

With linear :math:`f_i` the first term is the view of :math:`(\alpha_s / \alpha_t) X^t`, so that
the answer is an ordinary step of `X` along one noise `E`, the least-squares canvas of
:math:`\lambda_i \epsilon_i`. Neither `E` nor :math:`\lambda` depends on `c`: any sampler may take
the step, of any order and with noise of its own, which it draws on the canvases. For crops
averaging `y` and stepping after averaging noises are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast, final

import torch
from torch import Tensor

from compose_cgi.agreement import Crops, Solved
from compose_cgi.descent import Problem, curvature, descend
from compose_cgi.graph import Graph, Sight
from compose_cgi.lasso import Sizes, solve
from compose_cgi.options import Options
from compose_cgi.shift import Shift
from compose_core.compose import Composer
from compose_core.denoiser import (
    Adaptation,
    Answers,
    Asked,
    Denoiser,
    Questions,
    State,
    Step,
)
from compose_core.errors import UsageError
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level
from compose_core.views import View

__all__ = ["Inference", "Inferred"]


class _Held(NamedTuple):
    """What was inferred at a sample before it is asked for."""

    x_t: Tensor
    level: Level
    prediction: Prediction
    sizes: Sizes | None


@dataclass(frozen=True, eq=False)
class Inferred:
    """The state.

    Attributes:
        views: How each observation sees the sheet at this step.
        agreement: What linear views agree on, prepared once.
        rate: Step size of gradient descent.
        step: Where the walk goes, for observations that are not linear.
        held: What was inferred at this step's sample, once asked.
    """

    views: tuple[Sight, ...]
    agreement: Crops | Solved | None = None
    rate: Tensor | float = 0.0
    step: Step | None = None
    held: _Held | None = None


@final
class Inference(Composer):
    """Compositional generative inference over a graph (Algorithm of Sec. 5).

    It walks the sheet of the graph: `(B, C, *graph.spatial)`. Observations that see the same are
    given the same object, so what they ask alike is asked once.

    Args:
        graph: Canvases and observations.
        options: How it is solved.
        shift: Windows that move from step to step, in the place of the graph's own.

    Raises:
        UsageError: The closed form is asked for a graph that is not linear, or the shifts are not
            for its observations.
    """

    def __init__(
        self, graph: Graph, options: Options | None = None, shift: Shift | None = None
    ) -> None:
        super().__init__([each.denoiser for each in graph.observations])
        self.graph, self.options, self.shift = graph, options or Options(), shift
        if self.options.solver == "closed":
            _ = graph.linear_views  # refuses others
        if shift is not None:
            shift.check([each.view for each in graph.observations], graph.spatial)

    def init(self, x_t: Tensor, generator: Generators | None = None) -> State:
        """How views agree, prepared once, and the states of the parts."""
        own = self._prepared(x_t, 0)
        seen = zip(self.denoisers, _seen(own.views, x_t), strict=True)
        return own, tuple(part.init(x, generator) for part, x in seen)

    def adapting(self, state: State, x_t: Tensor, step: Step) -> Adaptation:
        """The windows move, the parts adapt; if step sizes can move, they are found here.

        What the models said is kept for the prediction that follows: nothing is asked twice.
        """
        own, states = cast("tuple[Inferred, tuple[State, ...]]", state)
        if self.shift is not None:
            own = self._prepared(x_t, step.index)
        own = replace(own, step=step, held=None)
        adapted: list[State] = []
        for part, kept, x in zip(self.denoisers, states, _seen(own.views, x_t), strict=True):
            adapted.append((yield from part.adapting(kept, x, step)))
        states = tuple(adapted)
        if self.options.moves:
            asked = self.queries(x_t, step.now, (own, states))
            answers = yield Asked(asked, step.evaluator)
            heard = self._heard(answers, x_t, step.now, (own, states))
            found, sizes = self._infer(heard, x_t, step.now, own)
            own = replace(own, held=_Held(x_t, step.now, found, sizes))
        return own, states

    def inner(self, state: State) -> Iterable[tuple[str, Denoiser, State]]:
        """The models, by the names of their observations."""
        _, states = cast("tuple[Inferred, tuple[State, ...]]", state)
        each = zip(self.graph.observations, states, strict=True)
        return [(one.name, one.denoiser, kept) for one, kept in each]

    def traced(self, state: State) -> Mapping[str, Tensor]:
        """Lambda `(B,)` of each view; the objective `(B,)`, but for a factor `c^2`."""
        own, _ = cast("tuple[Inferred, tuple[State, ...]]", state)
        if own.held is None or own.held.sizes is None:
            return {}
        sizes = own.held.sizes
        found = {"objective.before": sizes.before, "objective.after": sizes.after}
        names = [f"lambda.{each.name}" for each in self.graph.observations]
        return found | dict(zip(names, sizes.values.unbind(1), strict=True))

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """What the models are asked about their views, if it is not known yet."""
        own, states = cast("tuple[Inferred, tuple[State, ...]]", state)
        if _known(own, x_t, level):
            return tuple(() for _ in self.denoisers)
        seen = zip(self.denoisers, states, _seen(own.views, x_t), strict=True)
        return tuple(part.queries(x, level, kept) for part, kept, x in seen)

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """What the canvases agree on."""
        own, _ = cast("tuple[Inferred, tuple[State, ...]]", state)
        if own.held is not None and _known(own, x_t, level):
            return own.held.prediction
        return self.merge(self._heard(answers, x_t, level, state), x_t, level, own)

    def merge(
        self, predictions: Sequence[Prediction], x_t: Tensor, level: Level, own: Any
    ) -> Prediction:
        """The canvases of Eq. 41, as a prediction."""
        return self._infer(predictions, x_t, level, cast(Inferred, own))[0]

    def _prepared(self, x: Tensor, index: int) -> Inferred:
        views = self.graph.views if self.shift is None else self.shift.at(index)
        if self.options.solver == "gd":
            rate = self.options.rate
            if rate is None:
                blank = [torch.zeros(())] * len(views)
                observe = [view.observe for view in views]
                how = Problem(observe, self._weights(x), blank, blank, _adjoints(views, x))
                rate = 1 / curvature(how, x)
            return Inferred(views, rate=rate)
        linear = cast("tuple[View, ...]", views)
        kind = Crops if all(view.crops for view in linear) else Solved
        if kind is Crops:
            found = Crops(linear, self.graph.weights, x, gram=self.options.moves)
        else:
            found = Solved(linear, self.graph.weights, x)
        return Inferred(views, found)

    def _weights(self, x: Tensor) -> list[Tensor]:
        return [w.to(x) for w in self.graph.weights]

    def _heard(
        self, answers: Answers, x_t: Tensor, level: Level, state: State
    ) -> list[Prediction]:
        if isinstance(answers, Prediction):
            raise TypeError("a composer asks a tuple of questions, and was given one answer")
        own, states = cast("tuple[Inferred, tuple[State, ...]]", state)
        each = zip(self.denoisers, answers, _seen(own.views, x_t), states, strict=True)
        return [part.combine(heard, x, level, kept) for part, heard, x, kept in each]

    def _infer(
        self, heard: Sequence[Prediction], x_t: Tensor, level: Level, own: Inferred
    ) -> tuple[Prediction, Sizes | None]:
        if isinstance(own.agreement, Crops):
            return self._crops(own.agreement, heard, x_t, level)
        eps = [each.eps for each in heard]
        if isinstance(own.agreement, Solved):
            return self._solved(own.agreement, eps, x_t, level)
        return self._descended(own, [each.detach() for each in eps], x_t, level)

    def _crops(
        self, agreement: Crops, heard: Sequence[Prediction], x_t: Tensor, level: Level
    ) -> tuple[Prediction, Sizes | None]:
        """In x0, where a single view says exactly what its model says.

        A step size other than 1 moves it: `x0(lambda) = lambda x0 + (1 - lambda) y / alpha`.
        """
        said, sizes = [each.x0 for each in heard], None
        noisy = bool((level.sigma > 0).all()) and bool((level.alpha > 0).all())
        if self.options.moves and noisy:
            terms = agreement.terms([each.eps for each in heard])
            sizes = solve(*terms, self.options.kappa, self.options.clamp)
            if bool((sizes.values != 1).any()):
                rows = zip(heard, _scales(sizes, said), strict=True)
                said = [s * each.x0 + (1 - s) * _over_alpha(each) for each, s in rows]
        return Prediction(x_t, level, agreement.merge(said, x_t)), sizes

    def _solved(
        self, agreement: Solved, eps: list[Tensor], x_t: Tensor, level: Level
    ) -> tuple[Prediction, Sizes | None]:
        """In eps: where the views leave a direction open, the canvases are only rescaled."""
        if not self.options.moves:
            return Prediction.from_eps(x_t, level, agreement.merge(eps, x_t)), None
        terms, columns = agreement.terms(eps, x_t)
        sizes = solve(*terms, self.options.kappa, self.options.clamp)
        parts = zip(_scales(sizes, columns), columns, strict=True)
        total = torch.stack([s * column for s, column in parts]).sum(0)
        return Prediction.from_eps(x_t, level, total.to(x_t.dtype)), sizes

    def _descended(
        self, own: Inferred, eps: list[Tensor], x_t: Tensor, level: Level
    ) -> tuple[Prediction, Sizes | None]:
        """By gradient descent; linear observations need not know where the step goes."""
        observe, weights = [view.observe for view in own.views], self._weights(x_t)
        if self.graph.linear:
            base = [torch.zeros_like(each) for each in eps]
            problem = Problem(observe, weights, base, eps, _adjoints(own.views, x_t))
            found, sizes = descend(problem, torch.zeros_like(x_t), self.options, own.rate)
            return Prediction.from_eps(x_t, level, found), sizes
        shrink, c = _onward(own.step, level)
        base = [shrink.to(x_t) * f(x_t) for f in observe]
        problem = Problem(observe, weights, base, [c.to(x_t) * each for each in eps])
        start = shrink.to(x_t) * x_t
        found, sizes = descend(problem, start, self.options, own.rate)
        return Prediction.from_eps(x_t, level, (found - start) / c.to(x_t)), sizes


def _onward(step: Step | None, level: Level) -> tuple[Tensor, Tensor]:
    """`alpha_s / alpha_t` and `c` of the step that is being taken.

    Raises:
        UsageError: It is not known, or goes nowhere.
    """
    if step is None or not step.now.same(level) or step.next.same(level):
        raise UsageError(
            "observations that are not linear need to know where a step goes",
            got="a question outside of a step, or at a level inside of one",
            remedy="walk with a sampler that asks once per step, such as DDIM or Euler",
        )
    shrink = step.next.alpha / step.now.alpha
    return shrink, step.next.sigma - step.now.sigma * shrink


def _adjoints(views: Sequence[Sight], x: Tensor) -> list[Callable[[Tensor], Tensor]] | None:
    """The transposes of linear views, onto a sheet like `x`."""
    linear = [view for view in views if isinstance(view, View)]
    spatial = x.shape[2:]
    return [_onto(view, spatial) for view in linear] if len(linear) == len(views) else None


def _onto(view: View, spatial: Sequence[int]) -> Callable[[Tensor], Tensor]:
    return lambda y: view.adjoint(y, spatial)


def _seen(views: Sequence[Sight], x_t: Tensor) -> list[Tensor]:
    """What each view observes; equal views give the same object."""
    seen = {view: view.observe(x_t) for view in dict.fromkeys(views)}
    return [seen[view] for view in views]


def _known(own: Inferred, x_t: Tensor, level: Level) -> bool:
    return own.held is not None and own.held.x_t is x_t and own.held.level is level


def _over_alpha(prediction: Prediction) -> Tensor:
    """`y / alpha`, what x0 is where no noise at all is predicted."""
    alpha, _ = prediction.level.to_like(prediction.x_t)
    return prediction.x_t / alpha


def _scales(sizes: Sizes, parts: Sequence[Tensor]) -> list[Tensor]:
    """Lambda of each view, ready to multiply what belongs to it."""
    pairs = zip(sizes.values.unbind(1), parts, strict=True)
    return [one.to(x).reshape(-1, *[1] * (x.dim() - 1)) for one, x in pairs]
