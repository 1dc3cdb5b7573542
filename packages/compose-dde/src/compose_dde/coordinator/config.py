"""The numbers of a coordinator, and those of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final, get_args

from compose_core.errors import UsageError

__all__ = ["CLEVR", "MAPS", "MUSIC", "CoordinatorConfig", "Second", "Space"]

Space = Literal["raw", "denoised"]
"""What the coordinator hears and says: outputs `F` of the preconditioned network, or `D`."""

Second = Literal["none", "modulation", "mlp"]
"""What layers have twice."""


@final
@dataclass(frozen=True, kw_only=True)
class CoordinatorConfig:
    """The numbers of a `Transformer`.

    Attributes:
        channels: Channels of the object: stems of a sound, colours.
        axes: Spatial axes: 1 for sound, 2 for pictures.
        patch: Cells of a token on each axis.
        width: d.
        depth: Layers.
        heads: Heads.
        maps: Channels of pictures beside each part (`Heard.maps`), which join its tokens.
        context: Channels of the picture of the whole (`Heard.context`), which has tokens of its
            own; 0 for none.
        context_patch: Cells of one of these on each axis.
        second: `"mlp"`: tokens of the context have an MLP of their own, and shift, scale and gate
            for it (appendix B.3.3). `"modulation"`: samples without conditions have a shift, scale
            and gate for the MLP of their own. `"none"`: all share everything.
        space: `"raw"`: the output `F` of the network that was asked, at every noise level of unit
            variance; the change is then scaled by `c_out`. `"denoised"`: `x0` itself (Eq. 4).
        residual: Whether what the network says is added to what it heard. It is zero before
            training, so that an untrained coordinator changes nothing.
        sigma_data: Of the base model, for `"raw"`.
        mlp_ratio: Width of the MLP over d.
        lapped: Whether tokens of a sound hold the frequencies of frames as long as a patch, see
            `compose_dde.lapped`, instead of its samples; ours.
        reach: Hops that a window hears token by token; None: everything, as in the paper.
        summaries: With a reach, summaries of each window that is farther away.
        frequencies: Features of the noise level.

    Raises:
        UsageError: The numbers do not fit together.
    """

    channels: int
    axes: int
    patch: int
    width: int
    depth: int
    heads: int
    maps: int = 0
    context: int = 0
    context_patch: int = 4
    second: Second = "none"
    space: Space = "raw"
    residual: bool = True
    sigma_data: float = 0.5
    mlp_ratio: float = 4.0
    lapped: bool = False
    reach: int | None = None
    summaries: int = 0
    frequencies: int = 256

    def __post_init__(self) -> None:
        """Check them."""
        known = (("space", self.space, Space), ("second", self.second, Second))
        for name, value, kind in known:
            if value not in get_args(kind):
                raise UsageError(f"unknown {name}", got=value, expected=", ".join(get_args(kind)))
        positive = (self.channels, self.axes, self.patch, self.width, self.depth, self.heads)
        if min(positive) < 1 or min(self.maps, self.context, self.summaries) < 0:
            raise UsageError("impossible coordinator", got=self, expected="positive numbers")
        if self.width % self.heads or (self.width // self.heads) % (2 * self.axes):
            raise UsageError(
                "the heads do not fit the width",
                got=f"width {self.width}, {self.heads} heads, {self.axes} axes",
                expected=f"a head of a multiple of {2 * self.axes} dimensions",
            )
        if self.second == "mlp" and not self.context:
            raise UsageError("a second MLP is for tokens of a context", got="context=0")
        if self.lapped and (self.axes != 1 or self.maps or self.patch % 2):
            raise UsageError(
                "frequencies are for sounds alone, in an even patch",
                got=f"{self.axes} axes, {self.maps} maps, patch {self.patch}",
            )
        if self.reach is not None and self.reach < 0:
            raise UsageError("a reach is a number of hops", got=self.reach, expected="0 or more")
        if self.summaries and self.reach is None:
            raise UsageError("summaries are for what is beyond the reach", got="reach=None")


MUSIC = CoordinatorConfig(
    channels=4, axes=1, patch=128, width=768, depth=6, heads=6, space="denoised", sigma_data=0.2
)
"""Appendix B.1.6: 66M; a token holds the four stems."""

CLEVR = CoordinatorConfig(
    channels=3, axes=2, patch=4, width=384, depth=12, heads=6, maps=1, second="modulation"
)
"""Appendix B.2.4: 38M. The text gives 32.5M; three more vectors of modulation in each layer, which
the maps have for their context, make it what is claimed. What they were for is not said."""

MAPS = CoordinatorConfig(
    channels=3, axes=2, patch=2, width=384, depth=6, heads=6, context=3, second="mlp"
)
"""Appendices B.3.2 and B.3.3: 26M."""
