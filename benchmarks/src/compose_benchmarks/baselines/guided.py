"""RealCompo with ControlNets on the spatial side, one alone, and both at equal shares."""

from __future__ import annotations

from typing import ClassVar, final

from compose_benchmarks.baselines.balanced import Blended
from compose_core.denoiser import Denoiser
from compose_realcompo.balancer import Balancer, Branch
from compose_realcompo.options import Options

__all__ = [
    "KeypointsAloneMethod",
    "KeypointsBalancedMethod",
    "KeypointsBlendMethod",
    "SegmentsAloneMethod",
    "SegmentsBalancedMethod",
    "SegmentsBlendMethod",
]

_KEYPOINTS, _SEGMENTS = "controlnet-tiny-keypoints", "controlnet-tiny-segments"


class _Guided(Blended):
    """Takes a ControlNet for the spatial model."""

    control: ClassVar[str]

    def __init__(self) -> None:
        super().__init__(layout=self.control)


class _Alone(_Guided):
    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """Its denoiser."""
        return branches[-1].denoiser


class _Balanced(_Guided):
    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """The balance of RealCompo."""
        return Balancer(branches, self._inner.options)


class _Blend(_Guided):
    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """A balance that does not move."""
        return Balancer(branches, Options(start=self._inner.options.start, dynamic=False))


@final
class KeypointsAloneMethod(_Alone):
    """A ControlNet for keypoints."""

    name: ClassVar[str] = "keypoints-alone"
    summary: ClassVar[str] = "a ControlNet for keypoints, alone"
    control = _KEYPOINTS


@final
class KeypointsBalancedMethod(_Balanced):
    """RealCompo of words and keypoints."""

    name: ClassVar[str] = "keypoints-balanced"
    summary: ClassVar[str] = "words balanced with a ControlNet for keypoints (RealCompo)"
    control = _KEYPOINTS


@final
class KeypointsBlendMethod(_Blend):
    """Equal shares of words and keypoints."""

    name: ClassVar[str] = "keypoints-blend"
    summary: ClassVar[str] = "words and a ControlNet for keypoints at equal, fixed shares"
    control = _KEYPOINTS


@final
class SegmentsAloneMethod(_Alone):
    """A ControlNet for segments."""

    name: ClassVar[str] = "segments-alone"
    summary: ClassVar[str] = "a ControlNet for segments, alone"
    control = _SEGMENTS


@final
class SegmentsBalancedMethod(_Balanced):
    """RealCompo of words and segments."""

    name: ClassVar[str] = "segments-balanced"
    summary: ClassVar[str] = "words balanced with a ControlNet for segments (RealCompo)"
    control = _SEGMENTS


@final
class SegmentsBlendMethod(_Blend):
    """Equal shares of words and segments."""

    name: ClassVar[str] = "segments-blend"
    summary: ClassVar[str] = "words and a ControlNet for segments at equal, fixed shares"
    control = _SEGMENTS
