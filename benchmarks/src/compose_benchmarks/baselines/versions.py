"""RealCompo of other models: its versions 2 to 4 (Figure 9), and one that draws in crayon.

The paper's two text-to-image models are here `sd-tiny` and `sd-tiny-second`, its two layout models
GLIGEN and `sd-tiny` under layout guidance; version 1 is `realcompo` itself.
"""

from __future__ import annotations

from typing import ClassVar, final

from compose_benchmarks.baselines.balanced import Balanced

__all__ = [
    "RealCompoCrayonMethod",
    "RealCompoV2Method",
    "RealCompoV3Method",
    "RealCompoV4Method",
]

SECOND, CRAYON = "sd-tiny-second", "sd-tiny-crayon"


@final
class RealCompoV2Method(Balanced):
    """Another text-to-image model, balanced with GLIGEN."""

    name: ClassVar[str] = "realcompo-v2"
    summary: ClassVar[str] = "sd-tiny-second balanced with GLIGEN (RealCompo v2)"

    def __init__(self) -> None:
        super().__init__(fidelity=(SECOND,), instead=True)


@final
class RealCompoV3Method(Balanced):
    """The same model twice: free, and under layout guidance."""

    name: ClassVar[str] = "realcompo-v3"
    summary: ClassVar[str] = "sd-tiny balanced with itself under layout guidance (RealCompo v3)"

    def __init__(self) -> None:
        super().__init__(layout="guidance")


@final
class RealCompoV4Method(Balanced):
    """Another text-to-image model, balanced with one under layout guidance."""

    name: ClassVar[str] = "realcompo-v4"
    summary: ClassVar[str] = "sd-tiny-second balanced with layout guidance (RealCompo v4)"

    def __init__(self) -> None:
        super().__init__(layout="guidance", fidelity=(SECOND,), instead=True)


@final
class RealCompoCrayonMethod(Balanced):
    """A model that draws in crayon, balanced with GLIGEN, which does not."""

    name: ClassVar[str] = "realcompo-crayon"
    summary: ClassVar[str] = "sd-tiny-crayon balanced with GLIGEN"

    def __init__(self) -> None:
        super().__init__(fidelity=(CRAYON,), instead=True)
