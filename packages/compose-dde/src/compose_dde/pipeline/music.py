"""Long music: from nothing, onwards from something, between two ends, and as a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from compose_core.denoiser import Denoiser
from compose_core.errors import UsageError
from compose_core.noise import Generators
from compose_dde.domain import span
from compose_dde.folder import Subject
from compose_dde.pipeline.checks import check_given
from compose_dde.pipeline.walk import DDEPipeline
from compose_dde.subjects import music

__all__ = ["Music", "MusicPipeline"]

_FADE = 0.05
"""Seconds in which what is known gives way to what is new."""


@final
@dataclass(frozen=True, eq=False)
class Music:
    """Sounds.

    Attributes:
        stems: `(B, S, T)` in float32.
        sample_rate: Samples per second.
        names: Of the stems.
    """

    stems: Tensor
    sample_rate: int
    names: tuple[str, ...]

    @property
    def mix(self) -> Tensor:
        """The sum of the stems, `(B, T)`."""
        return self.stems.sum(1)

    @property
    def seconds(self) -> float:
        """How long they are."""
        return self.stems.shape[2] / self.sample_rate


@final
class MusicPipeline(DDEPipeline):
    """Music of any length; see `DDEPipeline`."""

    subject: ClassVar[Subject] = "music"

    @property
    def sample_rate(self) -> int:
        """Samples per second of the model."""
        return int(self.expansion.facts["sample_rate"])

    @property
    def names(self) -> tuple[str, ...]:
        """The stems."""
        return tuple(self.expansion.facts["stems"])

    @property
    def window(self) -> int:
        """Samples of a part."""
        return self.expansion.window[0]

    @property
    def gain(self) -> float:
        """What sounds are multiplied by before the model hears them."""
        return float(self.expansion.facts.get("gain", 1.0))

    @torch.no_grad()
    def __call__(
        self,
        duration: float,
        *,
        generator: Generators,
        num: int = 1,
        loop: bool = False,
        before: Tensor | None = None,
    ) -> Music:
        """Make music.

        Args:
            duration: Seconds of the result, what comes before it included.
            generator: The only source of randomness; a list has one for each sound.
            num: How many sounds.
            loop: Whether the end leads back to the beginning.
            before: `(S, T)` in the model's sample rate: it is kept and continued.

        Raises:
            UsageError: The duration makes no sense, or is not longer than what comes before.
            ShapeError: What comes before has other stems, or is not finite.
        """
        length = self._samples(duration)
        if before is None:
            if loop and length < self.window:
                raise UsageError(
                    "a loop is at least as long as what the model knows",
                    got=f"{duration} s",
                    expected=f"{self.window / self.sample_rate:.2f} s or more",
                )
            made = self._make(length, num, generator, loop=loop)
            # What is cut off a loop would be missing where it closes: it is whole tokens long.
            return self._music(made if loop else made[:, :, :length])
        if loop:
            raise UsageError("a continuation cannot be a loop", got="loop=True and before")
        heard = check_given(before, self.sample_rate, self.names, self.warn)
        if heard.shape[1] >= length:
            raise UsageError(
                "there is nothing left to continue",
                got=f"{heard.shape[1] / self.sample_rate:.1f} s given, {duration} s asked for",
                remedy="ask for a longer duration: it counts what comes before",
            )
        tail = heard[:, max(heard.shape[1] - 2 * self.window, 0) :]
        new = length - heard.shape[1]
        size = self._fitting(tail.shape[1] + new)
        values = torch.zeros(len(self.names), size)
        values[:, : tail.shape[1]] = tail
        mask = self._mask(size, tail.shape[1], size)
        made = self._make(size, num, generator, known=(values, mask))
        whole = torch.cat([heard.expand(num, -1, -1), made[:, :, tail.shape[1] :]], 2)
        fade = min(self._fade, tail.shape[1])
        there = heard.shape[1]
        whole[:, :, there - fade : there] = made[:, :, tail.shape[1] - fade : tail.shape[1]]
        return self._music(whole[:, :, :length])

    @torch.no_grad()
    def infill(
        self,
        sound: Tensor,
        hole: tuple[float, float],
        *,
        generator: Generators,
        num: int = 1,
        stems: tuple[str, ...] | None = None,
    ) -> Music:
        """Make a part of a sound anew so that it fits to what is around it.

        Args:
            sound: `(S, T)` in the model's sample rate.
            hole: From and to, in seconds.
            generator: The only source of randomness.
            num: How many versions.
            stems: Which are made anew, by name; all by default. The others accompany them.

        Raises:
            UsageError: The hole lies outside the sound, or a stem is unknown.
            ShapeError: The sound has other stems, or is not finite.
        """
        sound = check_given(sound, self.sample_rate, self.names, self.warn)
        inside = len(hole) == 2 and all(map(math.isfinite, hole))
        first, last = (round(s * self.sample_rate) for s in hole) if inside else (0, 0)
        if not 0 <= first < last <= sound.shape[1]:
            raise UsageError(
                "the hole does not lie in the sound",
                got=" to ".join(f"{second:g} s" for second in hole),
                expected=f"inside 0 to {sound.shape[1] / self.sample_rate:.2f} s",
            )
        chosen = self.names if stems is None else stems
        if not chosen:
            raise UsageError(
                "no stem would be made anew", got=chosen, expected=", ".join(self.names)
            )
        rows = [self._stem(name) for name in chosen]
        begin = max(first - 2 * self.window, 0)
        end = min(last + 2 * self.window, sound.shape[1])
        size = self._fitting(end - begin)
        values = torch.zeros(len(self.names), size)
        values[:, : end - begin] = sound[:, begin:end]
        mask = torch.ones(len(self.names), size)
        around = self._mask(size, first - begin, last - begin)
        for row in rows:
            mask[row] = around
        mask[:, end - begin :] = 0
        made = self._make(size, num, generator, known=(values, mask))
        whole = sound.expand(num, -1, -1).clone()
        whole[:, :, begin:end] = made[:, :, : end - begin]
        return self._music(whole)

    def stream(
        self,
        duration: float,
        *,
        generator: torch.Generator,
        windows: int | None = None,
        write: Callable[[Tensor], None] | None = None,
    ) -> Iterator[Tensor]:
        """Make music block by block; what was handed out does not change any more.

        A block is as long as the coordinator was trained for; the next one hears the last window
        of it. The memory does not grow with the duration.

        Args:
            duration: Seconds of the whole.
            generator: The only source of randomness.
            windows: Of a block; as trained by default.
            write: Receives every piece before it is handed out.

        Returns:
            Pieces `(S, n)`; together they are as long as asked for. They are made as they are
            asked for, and arguments are checked before.

        Raises:
            UsageError: The duration makes no sense, or a block has fewer than two windows.
        """
        left = self._samples(duration)
        count = int(self.expansion.facts.get("windows", 5)) if windows is None else windows
        if count < 2:
            raise UsageError(
                "a block needs two windows", got=count, remedy="leave `windows` out, or raise it"
            )
        return self._pieces(left, span(count, self.window, self.stride[0]), generator, write)

    @torch.no_grad()
    def _pieces(
        self,
        left: int,
        size: int,
        generator: torch.Generator,
        write: Callable[[Tensor], None] | None,
    ) -> Iterator[Tensor]:
        """`left` samples in blocks of `size`."""
        context, fade = self.window, self._fade
        tail: Tensor | None = None
        while left > 0:
            known = None
            if tail is not None:
                values = torch.zeros(len(self.names), size)
                values[:, :context] = tail
                known = values, self._mask(size, context, size)
            block = self._make(size, 1, generator, known=known)[0]
            new = block if tail is None else block[:, context - fade :]
            tail = block[:, -context:]
            # The last moments are held back: the next block may still change them.
            ready = new[:, : new.shape[1] - fade] if left > new.shape[1] - fade else new
            piece = ready[:, :left]
            left -= piece.shape[1]
            if write is not None:
                write(piece)
            yield piece

    def denoiser(self, size: int, *, loop: bool = False) -> Denoiser:
        """Of sounds of `size` samples."""
        stride = self.stride[0]
        return music.expand(
            self.expansion.base, self.coordinator, size, self.window, stride, loop=loop
        )

    @property
    def _fade(self) -> int:
        return max(1, min(round(_FADE * self.sample_rate), self.window // 4))

    def _make(
        self,
        length: int,
        num: int,
        generator: Generators,
        *,
        loop: bool = False,
        known: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """`(B, S, T)` of at least `length` samples; exactly what is known where it is."""
        size = self._fitting(length)
        shape = (num, self.expansion.channels, size)
        if known is None:
            return self.run(self.denoiser(size, loop=loop), shape, generator) / self.gain
        values, mask = known
        both = values[None] * self.gain, mask.reshape(1, -1, size)
        made = self.run(self.denoiser(size), shape, generator, both) / self.gain
        return torch.where(both[1] == 1, values[None], made)

    def _fitting(self, length: int) -> int:
        """At least a window, and a whole number of tokens."""
        grain = self.grain
        return max(math.ceil(length / grain) * grain, self.window)

    def _mask(self, size: int, first: int, last: int) -> Tensor:
        """1 where a sound is known, 0 from `first` to `last`, with short ways between."""
        cells = torch.arange(size)
        fade = self._fade
        left = ((first - cells) / fade).clamp(0, 1)
        right = ((cells - last + 1) / fade).clamp(0, 1) if last < size else torch.zeros(size)
        return torch.maximum(left, right)

    def _samples(self, duration: float) -> int:
        if not 0 < duration <= 24 * 3600:
            raise UsageError(
                "the duration makes no sense", got=duration, expected="more than 0 s, up to a day"
            )
        return max(1, round(duration * self.sample_rate))

    def _stem(self, name: str) -> int:
        if name not in self.names:
            raise UsageError("there is no such stem", got=name, expected=", ".join(self.names))
        return self.names.index(name)

    def _music(self, stems: Tensor) -> Music:
        return Music(stems, self.sample_rate, self.names)
