"""Classifier-free guidance: two denoisers extrapolated into one.

Ho & Salimans, "Classifier-Free Diffusion Guidance" (2022), in the convention of diffusers:

    x0 = u + s (c - u)

so that `s = 1` is the conditional prediction alone and `s = 0` the unconditional one. The two
coefficients sum to one, so the same formula holds for eps, velocity and score.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, final

from torch import Tensor

from compose_core.denoiser.interface import Denoiser, State, Step
from compose_core.errors import UsageError
from compose_core.evaluate import Answers, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level


@final
class Guided(Denoiser):
    """`cond` guided away from `uncond`. With a scale of exactly 1, `uncond` is not asked at all.

    Args:
        cond: The conditional denoiser `c`.
        uncond: The unconditional or negative one `u`.
        scale: `s`; a tensor of shape `(B,)` gives each sample its own.
        rescale: The share `phi` of the prediction whose standard deviation is brought back to
            that of `c` (Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are
            Flawed", Eq. 14-16).
        space: What the standard deviations are taken of. diffusers takes those of the network's
            own output: `"eps"` or `"velocity"`.
    """

    def __init__(
        self,
        cond: Denoiser,
        uncond: Denoiser,
        scale: float | Tensor,
        rescale: float = 0.0,
        space: Literal["x0", "eps", "velocity"] = "x0",
    ) -> None:
        super().__init__()
        if not 0.0 <= rescale <= 1.0:
            raise UsageError("rescale is a share", got=rescale, expected="0 to 1")
        self.cond = cond
        self.uncond = uncond
        self.scale = scale
        self.rescale = rescale
        self.space = space

    def init(self, x_t: Tensor, generator: Generators | None = None) -> State:
        """The states of both sides."""
        return self.cond.init(x_t, generator), self.uncond.init(x_t, generator)

    def adapt(self, state: State, x_t: Tensor, step: Step) -> State:
        """Both sides adapt."""
        cond, uncond = state
        return self.cond.adapt(cond, x_t, step), self.uncond.adapt(uncond, x_t, step)

    def inner(self, state: State) -> Iterable[tuple[str, Denoiser, State]]:
        """Both sides."""
        cond, uncond = state
        return [("cond", self.cond, cond), ("uncond", self.uncond, uncond)]

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """What `cond` asks, and what `uncond` asks unless the scale leaves nothing of it."""
        cond, uncond = state
        asked = self.cond.queries(x_t, level, cond)
        return asked, () if self._plain else self.uncond.queries(x_t, level, uncond)

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """`u + s (c - u)`, rescaled if so asked."""
        if isinstance(answers, Prediction):
            raise TypeError("a Guided asks two questions, and was given one answer")
        cond, uncond = state
        c = self.cond.combine(answers[0], x_t, level, cond)
        if self._plain:
            return c
        u = self.uncond.combine(answers[1], x_t, level, uncond)
        guided = c.replace_x0(u.x0 + self._scale_like(x_t) * (c.x0 - u.x0))
        return self._rescaled(c, guided) if self.rescale else guided

    @property
    def _plain(self) -> bool:
        return not isinstance(self.scale, Tensor) and self.scale == 1.0

    def _scale_like(self, x_t: Tensor) -> float | Tensor:
        if not isinstance(self.scale, Tensor):
            return self.scale
        return self.scale.to(x_t).reshape(-1, *[1] * (x_t.dim() - 1))

    def _rescaled(self, c: Prediction, guided: Prediction) -> Prediction:
        axes = tuple(range(1, c.x0.dim()))
        c_out, out = getattr(c, self.space), getattr(guided, self.space)
        ratio = c_out.std(axes, keepdim=True) / out.std(axes, keepdim=True)
        out = out * (1.0 + self.rescale * (ratio - 1.0))
        if self.space == "x0":
            return guided.replace_x0(out)
        if self.space == "eps":
            return Prediction.from_eps(guided.x_t, guided.level, out)
        return Prediction.from_velocity(guided.x_t, guided.level, out)
