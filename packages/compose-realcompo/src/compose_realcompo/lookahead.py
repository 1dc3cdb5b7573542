"""Listen to what branches attend to, and how it changes with the sample.

The look-ahead needs attention maps of some layers and the derivative of a loss on them by the
sample, nothing else. So only those layers leave the fused path, weights ask for no gradient, and
the network is left after the last layer that is listened to: what would follow changes neither
the maps nor the derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast, final

import torch
from torch import Tensor, nn

from compose_core.attention import AttentionMaps, layers, record
from compose_core.denoiser import Network, Request
from compose_core.encoded import Encoded
from compose_core.errors import ComposeError, UsageError
from compose_core.schedule import Level
from compose_realcompo.loss import attended, outside

__all__ = ["Heard", "Listener", "Listening", "call", "frozen", "hear", "listen"]

_LARGEST_SCALE = 2.0**16
"""Factor on the loss in half precision, whose smallest number is 6e-8 (derivatives by one pixel
are of that size); it is lowered where something overflows."""


@dataclass(frozen=True, eq=False)
class Listener:
    """How one branch is listened to.

    Attributes:
        network: What is asked.
        encoded: Under which conditions, of batch 1 or that of the sample.
        unet: The part of the network whose attention counts.
        where: Its cross-attention layers, by name, all at one resolution.
        spans: The tokens of each region's phrase, in this branch's own text.
        masks: Where each region lies, 0 or 1 at the resolution of those layers: (regions, h', w'),
            or (B, regions, h', w').
        weights: Of each region in the loss (regions,); 1 by default.
        counts: Whether its loss moves the shares.
        half_heads: Whether only the second half of its heads is heard.
    """

    network: Network
    encoded: Encoded
    unet: nn.Module
    where: tuple[str, ...]
    spans: tuple[tuple[int, ...], ...]
    masks: Tensor
    weights: Tensor | None = None
    counts: bool = True
    half_heads: bool = False

    @property
    def moves(self) -> bool:
        """Whether its loss can change: a phrase whose region is not the whole picture."""
        return self.counts and any(self.spans) and not bool((self.masks == 1).all())

    def moved(self, fn: Callable[[Tensor], Tensor]) -> Listener:
        """The same one with all tensors moved or cast by `fn`."""
        return replace(
            self,
            encoded=Encoded({name: fn(value) for name, value in self.encoded.items()}),
            masks=fn(self.masks),
        )

    def loss(self, attention: Tensor, sample: int) -> Tensor:
        """Eq. 6 for one sample: attention (1, regions, h', w') to a number."""
        masks = self.masks[sample : sample + 1] if self.masks.dim() == 4 else self.masks
        lost = outside(attention, masks.to(attention))
        return (lost if self.weights is None else lost * self.weights.to(lost)).sum()


class Heard(NamedTuple):
    """What came of listening.

    Attributes:
        losses: Of each branch and sample (K, B), summed over the regions.
        derivative: Of the sum over the branches that count, by the sample: (B, C, h, w).
        attention: Of each branch, (B, regions, h', w').
        x0: What each branch predicts, where it was asked to the end.
    """

    losses: Tensor
    derivative: Tensor
    attention: tuple[Tensor, ...]
    x0: tuple[Tensor, ...] | None


class _Enough(Exception):
    """All layers that are listened to have run."""


@final
@dataclass(frozen=True, eq=False)
class Listening(Request):
    """A look-ahead: every branch is asked about `x`, and the loss of its attention is derived.

    Attributes:
        listeners: The branches; those that share a network and kinds of conditions share calls,
            also with other look-aheads.
        x: Samples (B, C, h, w).
        level: Their level.
        to_the_end: Whether the networks also predict, which costs about twice as much.
        max_batch: The most rows of one call; the result does not depend on it.
        moment: What messages call it.
    """

    listeners: Sequence[Listener]
    x: Tensor
    level: Level
    to_the_end: bool = False
    max_batch: int | None = None
    moment: str = "a look-ahead"

    @classmethod
    def answer(cls, requests: Sequence[Listening]) -> list[Heard]:
        """See `hear`."""
        return hear(requests)


def listen(listeners: Sequence[Listener], x: Tensor, level: Level, **more: Any) -> Heard:
    """One look-ahead; arguments as of `Listening`.

    Raises:
        ComposeError: Attention or derivative are not finite; the message names the layer.
    """
    return hear([Listening(listeners, x, level, **more)])[0]


def hear(requests: Sequence[Listening]) -> list[Heard]:
    """Look-aheads at once; what is heard by each does not depend on the others.

    Raises:
        ComposeError: Attention or derivative are not finite; the message names the layer.
    """
    turns: dict[object, list[_Turn]] = {}
    for r, one in enumerate(requests):
        for k, listener in enumerate(one.listeners):
            key = (
                id(listener.network),
                listener.encoded.signature(),
                listener.where,
                one.x.shape[1:],
                one.to_the_end,
                one.max_batch,
            )
            turns.setdefault(key, []).extend(
                _Turn(one, listener, r, k, i) for i in range(one.x.shape[0])
            )
    found: dict[tuple[int, int, int], _Row] = {}
    for group in turns.values():
        size = group[0].asked.max_batch or len(group)
        for start in range(0, len(group), size):
            some = group[start : start + size]
            for turn, row in zip(some, _about(some), strict=True):
                found[turn.request, turn.branch, turn.sample] = row
    return [_gathered(one, r, found) for r, one in enumerate(requests)]


class _Turn(NamedTuple):
    """One sample of one branch of one look-ahead."""

    asked: Listening
    listener: Listener
    request: int
    branch: int
    sample: int


class _Row(NamedTuple):
    loss: Tensor
    derivative: Tensor
    attention: Tensor
    x0: Tensor | None


def _gathered(one: Listening, r: int, found: Mapping[tuple[int, int, int], _Row]) -> Heard:
    """What one look-ahead heard, of its rows."""
    branches, samples = range(len(one.listeners)), range(one.x.shape[0])
    rows = [[found[r, k, i] for i in samples] for k in branches]
    total = torch.zeros_like(one.x)
    for own in rows:
        total = total + torch.stack([row.derivative for row in own])
    losses = torch.stack([torch.stack([row.loss for row in own]) for own in rows])
    attention = tuple(torch.stack([row.attention for row in own]) for own in rows)
    x0 = None
    if one.to_the_end:
        x0 = tuple(torch.stack([cast(Tensor, row.x0) for row in own]) for own in rows)
    return Heard(losses, total, attention, x0)


def _about(turns: Sequence[_Turn]) -> list[_Row]:
    """One call of one network."""
    first, asked = turns[0].listener, turns[0].asked
    given = torch.cat([t.asked.x[t.sample : t.sample + 1].detach() for t in turns])
    encoded = Encoded.cat([_row_of(t.listener.encoded, t.sample) for t in turns])
    if torch.is_inference_mode_enabled():
        raise UsageError(
            "a look-ahead takes a derivative, and inference mode takes none",
            remedy="use torch.no_grad() instead of torch.inference_mode()",
        )
    with torch.enable_grad(), frozen(first.network):
        given.requires_grad_(True)
        with record(first.unet, first.where, grad=True) as maps:
            x0 = call(first, given, _levels(turns), encoded, asked.to_the_end)
        _check(maps, asked.moment)
        size = (given.shape[-2], given.shape[-1])
        heard = [_attention(maps, n, t.listener, size) for n, t in enumerate(turns)]
        lost = [t.listener.loss(a, t.sample) for a, t in zip(heard, turns, strict=True)]
        counted = [x for x, t in zip(lost, turns, strict=True) if t.listener.counts]
        derivative = _derive(counted, given, maps, first.network, asked.moment)
    return [
        _Row(
            lost[n].detach().to(t.asked.x),
            derivative[n].to(t.asked.x),
            heard[n][0].detach(),
            None if x0 is None else x0[n].detach(),
        )
        for n, t in enumerate(turns)
    ]


def _check(maps: AttentionMaps, moment: str) -> None:
    bad = [name for name in maps if not bool(torch.isfinite(maps[name]).all())]
    if bad:
        raise ComposeError(
            f"attention is not finite at {moment}",
            got=f"NaN or infinity in {', '.join(bad)}",
            expected="finite numbers",
            remedy=_WIDER,
        )


def _derive(
    losses: list[Tensor], x: Tensor, maps: AttentionMaps, network: Network, moment: str
) -> Tensor:
    """Derivative of the sum by x; scaled up in half precision, so as not to underflow."""
    total = torch.stack(losses).sum() if losses else x.new_zeros(())
    if not total.requires_grad:  # nobody counts, or those who do have no words to hear
        return torch.zeros_like(x)
    half = any(weight.dtype == torch.float16 for weight in network.parameters())
    scale = _LARGEST_SCALE if half else 1.0
    while True:
        found = _by(total * scale, x)
        if bool(torch.isfinite(found).all()):
            return found / scale
        if scale <= 1:
            break
        scale /= 16
    through = {name: _through(maps[name], total, x) for name in maps}
    bad = [name for name, part in through.items() if not bool(torch.isfinite(part).all())]
    raise ComposeError(
        f"the derivative of the attention is not finite at {moment}",
        got=f"NaN or infinity through {', '.join(bad) or 'no layer alone'}",
        expected="finite numbers",
        remedy=_WIDER,
    )


def _attention(maps: AttentionMaps, row: int, listener: Listener, size: tuple[int, int]) -> Tensor:
    """What one row attends to (1, regions, h', w'), averaged over heads and layers."""
    found: list[Tensor] = []
    for name in maps:
        grid = maps.grid(name, size)[row]
        heads = grid[len(grid) // 2 :] if listener.half_heads else grid
        found.append(heads.mean(0).movedim(-1, 0))
    return attended(torch.stack(found).mean(0)[None], listener.spans)


_WIDER = "load the models in float32 or bfloat16, or lower the guidance scale"


def _by(value: Tensor, x: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(value, x, retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if found is None else found.detach()


def _through(maps: Tensor, total: Tensor, x: Tensor) -> Tensor:
    """The part of the derivative that goes through one layer."""
    (back,) = torch.autograd.grad(total, maps, retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if back is None else _by((maps * back).sum(), x)


def _row_of(encoded: Encoded, sample: int) -> Encoded:
    return encoded if encoded.batch == 1 else encoded.select([sample])


def _levels(turns: Sequence[_Turn]) -> Level:
    """The level of all rows, one for each where they differ."""
    first = turns[0].asked.level
    if all(t.asked.level is first for t in turns):
        samples = [t.sample for t in turns]
        if not first.shape:
            return first
        return Level(first.alpha[samples], first.sigma[samples], first.t[samples])
    rows = [(t.asked.level.expand(t.asked.x.shape[0]), t.sample) for t in turns]
    return Level(
        torch.stack([level.alpha[i] for level, i in rows]),
        torch.stack([level.sigma[i] for level, i in rows]),
        torch.stack([level.t[i] for level, i in rows]),
    )


def call(
    listener: Listener, x: Tensor, level: Level, encoded: Encoded, to_the_end: bool
) -> Tensor | None:
    """Ask a network, as far as it is listened to.

    Args:
        listener: Whose network and layers.
        x: Samples (B, C, h, w).
        level: Their level.
        encoded: Conditions, of batch B or 1.
        to_the_end: Whether it also predicts.

    Returns:
        The prediction of x0, or None when only the layers that are listened to have run.
    """
    if to_the_end:
        return listener.network(x, level, encoded).x0
    waiting = set(listener.where)

    def ran(name: str) -> None:
        waiting.discard(name)
        if not waiting:
            raise _Enough

    hooks = [
        layer.register_forward_hook(lambda *_, name=name: ran(name))
        for name, layer in layers(listener.unet, listener.where).items()
    ]
    try:
        listener.network(x, level, encoded)
    except _Enough:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return None


@contextmanager
def frozen(module: nn.Module) -> Generator[None]:
    """No weight asks for a gradient: activations are kept for the sample's alone."""
    asking = [weight for weight in module.parameters() if weight.requires_grad]
    for weight in asking:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in asking:
            weight.requires_grad_(True)
