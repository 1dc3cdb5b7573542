"""RealCompo with ControlNets on the spatial side, one alone, and both at equal shares."""

from __future__ import annotations

from typing import ClassVar, final

from compose_benchmarks.baselines.balanced import Alone, Balanced, EqualShares

__all__ = [
    "KeypointsAloneMethod",
    "KeypointsBalancedMethod",
    "KeypointsBlendMethod",
    "SegmentsAloneMethod",
    "SegmentsBalancedMethod",
    "SegmentsBlendMethod",
]

_KEYPOINTS, _SEGMENTS = "controlnet-tiny-keypoints", "controlnet-tiny-segments"


@final
class KeypointsAloneMethod(Alone):
    """A ControlNet for keypoints."""

    name: ClassVar[str] = "keypoints-alone"
    summary: ClassVar[str] = "a ControlNet for keypoints, alone"

    def __init__(self) -> None:
        super().__init__(layout=_KEYPOINTS)


@final
class KeypointsBalancedMethod(Balanced):
    """RealCompo of words and keypoints."""

    name: ClassVar[str] = "keypoints-balanced"
    summary: ClassVar[str] = "words balanced with a ControlNet for keypoints (RealCompo)"

    def __init__(self) -> None:
        super().__init__(layout=_KEYPOINTS)


@final
class KeypointsBlendMethod(EqualShares):
    """Equal shares of words and keypoints."""

    name: ClassVar[str] = "keypoints-blend"
    summary: ClassVar[str] = "words and a ControlNet for keypoints at equal, fixed shares"

    def __init__(self) -> None:
        super().__init__(layout=_KEYPOINTS)


@final
class SegmentsAloneMethod(Alone):
    """A ControlNet for segments."""

    name: ClassVar[str] = "segments-alone"
    summary: ClassVar[str] = "a ControlNet for segments, alone"

    def __init__(self) -> None:
        super().__init__(layout=_SEGMENTS)


@final
class SegmentsBalancedMethod(Balanced):
    """RealCompo of words and segments."""

    name: ClassVar[str] = "segments-balanced"
    summary: ClassVar[str] = "words balanced with a ControlNet for segments (RealCompo)"

    def __init__(self) -> None:
        super().__init__(layout=_SEGMENTS)


@final
class SegmentsBlendMethod(EqualShares):
    """Equal shares of words and segments."""

    name: ClassVar[str] = "segments-blend"
    summary: ClassVar[str] = "words and a ControlNet for segments at equal, fixed shares"

    def __init__(self) -> None:
        super().__init__(layout=_SEGMENTS)
