"""The balancer: K denoisers blended pixel by pixel, by shares that move while denoising.

RealCompo, Algorithm 1. Before each step, the sample is carried one step ahead with the shares of
now, all branches are listened to there, and the shares move down the derivative of the loss of
their attention. The look-ahead is a step of its own, so any sampler can walk over the balancer,
and what the branches said at x_t is kept for the step that follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast, final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.compose import Composer
from compose_core.denoiser import Adaptation, Asked, Bound, Denoiser, Guided, State, Step
from compose_core.errors import UsageError
from compose_core.evaluate import Answers, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.sampler.interface import check_finite
from compose_core.schedule import Level
from compose_realcompo import coefficients as coe
from compose_realcompo.guidance import Guidance
from compose_realcompo.lookahead import Heard, Listener, Listening
from compose_realcompo.options import Options

__all__ = ["Balance", "Balancer", "Branch"]


@dataclass(frozen=True, eq=False)
class Branch:
    """One denoiser of the balance.

    Attributes:
        name: What traces call it.
        denoiser: A `Bound`, a `Guided` of two, or one of these under `Guidance`; any, where
            nothing is listened to.
        listener: How its attention is heard, under the conditions of its conditional side.
    """

    name: str
    denoiser: Denoiser
    listener: Listener | None = None

    def __post_init__(self) -> None:
        """Check that the two sides are known.

        Raises:
            UsageError: The denoiser is something else, so its sides cannot be asked apart.
        """
        asked = self.denoiser
        if isinstance(asked, Guidance):
            asked = asked.steered
        sides = [asked.cond, asked.uncond] if isinstance(asked, Guided) else [asked]
        if self.listener is not None and not all(isinstance(side, Bound) for side in sides):
            raise UsageError(
                f"branch {self.name!r} cannot be looked ahead with",
                got=", ".join(type(side).__name__ for side in sides),
                expected="a Bound, or a Guided of two",
            )


class _Held(NamedTuple):
    """What was heard at a sample before it is asked for."""

    x_t: Tensor
    level: Level
    predictions: tuple[Prediction, ...]


class _Made(NamedTuple):
    """How a sample came from the one before, for the lagged update."""

    xi: Tensor
    x0: tuple[Tensor, ...]
    c: Tensor
    rate: float


@dataclass(frozen=True, eq=False)
class Balance:
    """The state.

    Attributes:
        coefficients: (K, B, 1, h, w).
        alone: Whether the spatial branch has the whole say, before t0.
        held: What the branches said at this step's sample, once asked.
        made: How that sample was made, where the update lags.
        heard: The last look-ahead, for traces.
        gradient: How large the derivative by the coefficients was, mean over pixels: (K, B).
    """

    coefficients: Tensor
    alone: bool = False
    held: _Held | None = None
    made: _Made | None = None
    heard: Heard | None = None
    gradient: Tensor | None = None


@final
class Balancer(Composer):
    """Eq. 3 with shares that move by Eq. 7.

    Args:
        branches: K of them; all see the whole sample. Shares stay as drawn unless all listen, and
            one that counts has a phrase and a region for it.
        options: Rates, schedule and variant.
        spatial: The number of the branch that is alone before `t0`; default the last.

    Raises:
        UsageError: There is no such spatial branch.
    """

    def __init__(self, branches: Sequence[Branch], options: Options, spatial: int = -1) -> None:
        super().__init__([branch.denoiser for branch in branches])
        if not -len(branches) <= spatial < len(branches):
            raise UsageError(
                "there is no such branch to begin with",
                got=f"number {spatial} of {len(branches)}",
            )
        self.branches = tuple(branches)
        self.options = options
        self.spatial = spatial % len(branches)
        heard = [branch.listener for branch in branches if branch.listener is not None]
        self._listeners = tuple(heard) if len(heard) == len(branches) else ()
        if options.lagged and any(isinstance(one.denoiser, Guidance) for one in branches):
            raise UsageError(
                "a lagged update and layout guidance both listen at the sample",
                got="lagged=True with a branch under guidance",
                remedy="leave out lagged",
            )

    def init_own(self, x_t: Tensor, generator: Generators | None) -> Balance:
        """Coefficients as drawn."""
        equal = self.options.variant.equal_draw
        return Balance(coe.initial(len(self.branches), x_t, generator, equal=equal))

    def adapting_own(
        self, own: Balance, states: Sequence[State], x_t: Tensor, step: Step
    ) -> Adaptation:
        """Look ahead and move the shares, when it is time to."""
        how = self.options
        alone = step.index < how.start * step.total - 1e-6
        own = replace(own, alone=alone, held=None, heard=None, gradient=None)
        if not self._moves or (alone and not how.variant.update_early):
            return replace(own, made=None)
        if how.lagged:
            return (yield from self._lagged(own, states, x_t, step))
        if step.index % how.update_every or step.next.is_clean or _still(step):
            return own  # of a clean sample nobody can hear, and of the same one nothing new
        return (yield from self._ahead(own, states, x_t, step))

    @property
    def _moves(self) -> bool:
        """Whether the loss can move anything."""
        return self.options.dynamic and any(one.moves for one in self._listeners)

    def _ahead(self, own: Balance, states: Sequence[State], x_t: Tensor, step: Step) -> Adaptation:
        """Algorithm 1, lines 7 to 13."""
        asked = self._asked(states, x_t, step.now)
        answers = cast("tuple[Any, ...]", (yield Asked(asked, step.evaluator)))
        guided, cond = self._both(answers, states, x_t, step.now)
        used = guided if self.options.guided_lookahead else cond
        x0 = [prediction.x0 for prediction in used]
        self._check(x0, step)
        xi = coe.shares(own.coefficients)
        x_s = coe.stepped(x_t, coe.blend(xi, x0), step.now, step.next)
        level = step.next if self.options.variant.look_at_next else step.now
        heard = yield self._listening(x_s, level, step)
        c = coe.slope(step.now, step.next, x_t)
        moved = coe.gradient(xi, x0, heard.derivative, c)
        rate = coe.rate(step.index, step.total, self._scale(x_t))
        return replace(
            own,
            coefficients=own.coefficients - rate * moved,
            held=_Held(x_t, step.now, tuple(guided)),
            heard=heard,
            gradient=moved.abs().mean((2, 3, 4)),
        )

    def _lagged(
        self, own: Balance, states: Sequence[State], x_t: Tensor, step: Step
    ) -> Adaptation:
        """Listen at the sample itself, and credit the shares that made it: no look-ahead."""
        heard = yield self._listening(x_t, step.now, step, to_the_end=True)
        found, size = own.coefficients, None
        if own.made is not None:
            before = own.made
            moved = coe.gradient(before.xi, before.x0, heard.derivative, before.c)
            found, size = found - before.rate * moved, moved.abs().mean((2, 3, 4))
        x0 = cast("tuple[Tensor, ...]", heard.x0)
        cond = [Prediction(x_t, step.now, each) for each in x0]
        guided = yield from self._guided(cond, states, x_t, step)
        made = _Made(
            coe.shares(found),
            tuple(prediction.x0 for prediction in guided),
            coe.slope(step.now, step.next, x_t),
            coe.rate(step.index, step.total, self._scale(x_t)),
        )
        held = _Held(x_t, step.now, tuple(guided))
        made = None if own.alone else made  # the shares had no part in it
        return replace(own, coefficients=found, held=held, made=made, heard=heard, gradient=size)

    def _guided(
        self, cond: list[Prediction], states: Sequence[State], x_t: Tensor, step: Step
    ) -> Adaptation:
        """Guidance over conditional answers that are already there: a list of predictions."""
        asked = self._asked(states, x_t, step.now)
        sided = [isinstance(part, Guided) for part in self.denoisers]
        others = [
            cast("tuple[Any, ...]", one)[1] if two else ()
            for one, two in zip(asked, sided, strict=True)
        ]
        answers = cast("tuple[Any, ...]", (yield Asked(tuple(others), step.evaluator)))
        each = zip(self.denoisers, cond, answers, states, sided, strict=True)
        return [
            part.combine((heard, answer), x_t, step.now, state) if two else heard
            for part, heard, answer, state, two in each
        ]

    def _listening(
        self, x: Tensor, level: Level, step: Step, *, to_the_end: bool = False
    ) -> Listening:
        return Listening(
            self._listeners,
            x,
            level,
            to_the_end=to_the_end or not self.options.early_exit,
            max_batch=getattr(step.evaluator, "max_batch", None),
            moment=f"step {step.index + 1} of {step.total}",
        )

    def _check(self, x0: Sequence[Tensor], step: Step) -> None:
        """Name the branch whose numbers break, before its sample breaks all others."""
        for branch, each in zip(self.branches, x0, strict=True):
            check_finite(each, f"prediction of branch {branch.name!r}", step)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Balancer:
        # As `Bound`: what is heard, and where, follows the module.
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType]
        self._listeners = tuple(one.moved(fn) for one in self._listeners)
        return self

    def _scale(self, x_t: Tensor) -> float:
        """The rate for this size: see `Options.rate`."""
        return self.options.rate * x_t.shape[-2] * x_t.shape[-1]

    def _asked(self, states: Sequence[State], x_t: Tensor, level: Level) -> tuple[Questions, ...]:
        pairs = zip(self.denoisers, states, strict=True)
        return tuple(part.queries(x_t, level, state) for part, state in pairs)

    def _both(
        self, answers: Sequence[Any], states: Sequence[State], x_t: Tensor, level: Level
    ) -> tuple[list[Prediction], list[Prediction]]:
        """What the branches say under guidance, and what their conditional sides say."""
        guided: list[Prediction] = []
        cond: list[Prediction] = []
        for part, answer, state in zip(self.denoisers, answers, states, strict=True):
            guided.append(part.combine(answer, x_t, level, state))
            cond.append(_conditional(part, answer, x_t, level, state))
        return guided, cond

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """What is not known yet; of the spatial branch alone before t0."""
        own, states = cast("tuple[Balance, tuple[State, ...]]", state)
        if _known(own, x_t, level):
            return tuple(() for _ in self.denoisers)
        asked = self._asked(states, x_t, level)
        if own.alone:
            return tuple(one if k == self.spatial else () for k, one in enumerate(asked))
        return asked

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """The blend, or the spatial branch alone."""
        own, states = cast("tuple[Balance, tuple[State, ...]]", state)
        held = own.held
        if own.alone:
            k = self.spatial
            if held is not None and _known(own, x_t, level):
                return held.predictions[k]
            answer = cast("tuple[Any, ...]", answers)[k]
            return self.denoisers[k].combine(answer, x_t, level, states[k])
        if held is not None and _known(own, x_t, level):
            return self.merge(held.predictions, x_t, level, own)
        return super().combine(answers, x_t, level, state)

    def merge(
        self, predictions: Sequence[Prediction], x_t: Tensor, level: Level, own: Any
    ) -> Prediction:
        """Eq. 3."""
        xi = coe.shares(cast(Balance, own).coefficients)
        return Prediction(x_t, level, coe.blend(xi, [each.x0 for each in predictions]))

    def traced(self, state: State) -> Mapping[str, Tensor]:
        """What can be seen of each branch, batch axis first.

        Always its shares (B, 1, h, w), over the whole and as means over each region; after a
        look-ahead its loss, its attention to each phrase, and the size of the derivative by its
        coefficients (the paper's Figure 13).
        """
        own, _ = cast("tuple[Balance, tuple[State, ...]]", state)
        xi = coe.shares(own.coefficients)
        if own.alone:
            xi = torch.zeros_like(xi)
            xi[self.spatial] = 1
        found: dict[str, Tensor] = {}
        for k, branch in enumerate(self.branches):
            found[f"{branch.name}.share"] = xi[k]
            if branch.listener is not None:
                found |= _by_region(f"{branch.name}.share", xi[k], branch.listener.masks)
            if own.gradient is not None:
                found[f"{branch.name}.gradient"] = own.gradient[k]
            if own.heard is not None:
                found[f"{branch.name}.loss"] = own.heard.losses[k]
                for r, seen in enumerate(own.heard.attention[k].unbind(1)):
                    found[f"{branch.name}.attention.{r}"] = seen[:, None]
        return found

    def inner(self, state: State) -> Iterable[tuple[str, Denoiser, State]]:
        """The branches, by their names."""
        _, states = cast("tuple[Balance, tuple[State, ...]]", state)
        each = zip(self.branches, self.denoisers, states, strict=True)
        return [(branch.name, part, own) for branch, part, own in each]


def _conditional(
    part: Denoiser, answer: Any, x_t: Tensor, level: Level, state: State
) -> Prediction:
    """What a branch predicts without classifier-free guidance; steered all the same."""
    if isinstance(part, Guided):
        return answer[0]
    if isinstance(part, Guidance):
        own, states = state
        inner = _conditional(part.steered, answer[0], x_t, level, states[0])
        return part.merge([inner], x_t, level, own)
    return part.combine(answer, x_t, level, state)


def _still(step: Step) -> bool:
    """Whether a step leaves the sample where it is, as some schedulers of second order do."""
    return bool((step.next.ratio == step.now.ratio).all())


def _known(own: Balance, x_t: Tensor, level: Level) -> bool:
    """Whether the branches were asked about this very sample already."""
    return own.held is not None and own.held.x_t is x_t and own.held.level is level


def _by_region(name: str, share: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """The mean share (B,) inside each region."""
    fine = F.interpolate(
        (masks if masks.dim() == 4 else masks[None]).to(share), share.shape[-2:], mode="nearest"
    )
    inside = (share * fine).sum((2, 3)) / fine.sum((2, 3)).clamp_min(1)
    return {f"{name}.{r}": inside[:, r] for r in range(fine.shape[1])}
