"""Whether networks are made for the parts that they are to be shown."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from compose_core.errors import UsageError
from compose_dde.coordinator import Coordinator, Recurrent, Transformer
from compose_dde.networks import Backbone, MapUNet, PositionUNet, SpectralTransformer, UNet1d

__all__ = ["check_backbone", "check_coordinator"]

_AXES = {UNet1d: 1, SpectralTransformer: 1, PositionUNet: 2, MapUNet: 2}


def check_backbone(
    who: str, one: Backbone, channels: int, window: Sequence[int], told: int = 0
) -> None:
    """Refuse a network that cannot hear parts `(B, channels, *window)`, or says other ones.

    Args:
        who: What messages call it.
        one: The network.
        channels: Of a part.
        window: Cells of a part on each axis.
        told: Channels of a map of the part.

    Raises:
        UsageError: It cannot.
    """
    _require_heads(who, one)
    settings = one.settings
    heard = settings.get("channels_in", channels)
    _require(who, "channels", heard, channels)
    _require(who, "channels that come out", settings.get("channels_out") or heard, channels)
    _require(who, "axes", _AXES.get(type(one), len(window)), len(window))
    _require(who, "channels of a map", settings.get("told") or told, told)
    _require_whole(who, "steps", window, one.grain)


def check_coordinator(
    who: str, one: Coordinator, channels: int, window: Sequence[int], maps: int = 0, told: int = 0
) -> None:
    """Refuse a coordinator that cannot hear parts `(B, L, channels, *window)`.

    Args:
        who: What messages call it.
        one: The coordinator; those of other makes are believed.
        channels: Of a part.
        window: Cells of a part on each axis.
        maps: Channels of pictures beside each part.
        told: Channels of a map of the whole.

    Raises:
        UsageError: It cannot.
    """
    if isinstance(one, Recurrent):
        check_backbone(who, one.backbone, channels + one.hidden, window)
    if not isinstance(one, Transformer):
        return
    _require_heads(who, one)
    config = one.config
    _require(who, "channels", config.channels, channels)
    _require(who, "axes", config.axes, len(window))
    _require(who, "channels of pictures beside a part", config.maps, maps)
    _require(who, "channels of a map of the whole", config.context, told)
    _require_whole(who, "tokens", window, config.patch)
    tokens = 1
    for cells in window:
        tokens *= cells // config.patch
    if config.summaries:
        _require_whole(who, "summaries", [tokens], config.summaries)
    if config.context:
        # Without a reach, it is the whole that has to consist of them.
        sides = [config.context_patch] if config.reach is None else window
        _require_whole(who, "tokens of a map", sides, config.context_patch)


def _require(who: str, what: str, got: int, expected: int) -> None:
    if got != expected:
        raise UsageError(f"{who} was made for other {what}", got=got, expected=expected)


def _require_whole(who: str, what: str, sides: Sequence[int], cells: int) -> None:
    if not isinstance(cells, int) or cells < 1 or any(side % cells for side in sides):
        raise UsageError(
            f"a part is no whole number of {what} of {who}",
            got=f"{[*sides]} in {what} of {cells!r}",
            expected="each a divisor",
        )


def _require_heads(who: str, one: nn.Module) -> None:
    # Weights have the same shapes however many heads share them.
    for module in one.modules():
        heads = getattr(module, "heads", 1)
        if not isinstance(heads, int) or heads < 1:
            raise UsageError(f"{who} has impossible heads", got=heads, expected="1 or more")
