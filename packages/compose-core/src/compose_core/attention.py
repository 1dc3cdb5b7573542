"""Look at attention, or steer it, without changing the model.

Fused attention exposes no maps. Inside `record`, the chosen layers compute the softmax
explicitly, `A = softmax(q k^T / sqrt(d) + bias)`, and keep `A`; all other layers stay fused.
`inject` adds a bias (or a mask) to the logits of the chosen layers by the same mechanism, so both
may be nested in either order.

The mechanism: the `forward` of a chosen layer runs under a `TorchFunctionMode` that intercepts
its first softmax or fused attention call. Attention processors are never replaced, so weights of
adapters stay where they are, and leaving the block puts back the exact objects that were there.
Any processor works that attends for the whole batch at once, with torch's softmax or its fused
attention. Sliced attention (`enable_attention_slicing`) and xFormers do not, and are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from compose_core.errors import ShapeError, UsageError

__all__ = ["AttentionMaps", "Bias", "Where", "inject", "layers", "record"]

Where = str | Sequence[str] | Callable[[str, nn.Module], bool] | None
"""Which attention layers: `None` is every cross-attention layer; a shell pattern, or several, over
module names (`"up_blocks.*"`) picks among these; a function `(name, module) -> bool` picks freely
among all attention layers, self-attention included."""

Bias = Tensor | Callable[[str, tuple[int, int, int, int]], Tensor | None]
"""What to add to the logits: a tensor that broadcasts to (B, heads, queries, tokens), or a
function of the layer's name and that shape. A boolean tensor is a mask: True may attend."""

_SOFTMAX = (torch.softmax, Tensor.softmax, F.softmax)


class AttentionMaps(Mapping[str, Tensor]):
    """Recorded attention: layer name -> (B, heads, queries, tokens), one entry per call.

    `maps[name]` is the latest call of that layer; `calls(name)` has all of them in order. Rows are
    the rows of the network's batch as the evaluator laid it out (or the `rows` asked for).
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._calls: dict[str, list[Tensor]] = {name: [] for name in names}

    def __getitem__(self, name: str) -> Tensor:
        calls = self._calls[name]
        if not calls:
            raise UsageError(
                f"layer {name!r} was chosen, but has not run",
                remedy="call the network inside the `with record(...)` block",
            )
        return calls[-1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, calls in self._calls.items() if calls)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def calls(self, name: str) -> tuple[Tensor, ...]:
        """Every recorded call of one layer, oldest first."""
        return tuple(self._calls[name])

    def clear(self) -> None:
        """Forget what was recorded; recording goes on."""
        for calls in self._calls.values():
            calls.clear()

    def grid(self, name: str, spatial: tuple[int, int]) -> Tensor:
        """The map of one layer with its queries laid out in space: (B, heads, h, w, tokens).

        Args:
            name: The layer.
            spatial: (H, W) of the network's input; the layer sees it halved some number of times.

        Raises:
            ShapeError: The number of queries belongs to no halving of `spatial`.
        """
        maps = self[name]
        queries = maps.shape[-2]
        h, w = spatial
        while h * w > queries and (h, w) != (1, 1):
            h, w = math.ceil(h / 2), math.ceil(w / 2)
        if h * w != queries:
            raise ShapeError(
                f"the queries of {name!r} do not form a grid",
                got=f"{queries} queries",
                expected=f"a halving of {spatial[0]} x {spatial[1]}",
            )
        return maps.reshape(*maps.shape[:-2], h, w, maps.shape[-1])

    def average(self, spatial: tuple[int, int], size: tuple[int, int] | None = None) -> Tensor:
        """Mean over heads and layers, resized bilinearly to `size`: (B, tokens, *size).

        Args:
            spatial: (H, W) of the network's input.
            size: Where to bring all layers together; default `spatial`.
        """
        if len(self) == 0:
            raise UsageError("no attention was recorded", remedy="run the network first")
        size = spatial if size is None else size
        layers_ = [self.grid(name, spatial).mean(1).movedim(-1, 1) for name in self]
        resized = [F.interpolate(m, size, mode="bilinear", antialias=True) for m in layers_]
        return torch.stack(resized).mean(0)

    def _keep(self, name: str, value: Tensor) -> None:
        self._calls[name].append(value)


class _Tap(TorchFunctionMode):
    """Intercepts the first attention inside one forward of one layer."""

    def __init__(
        self,
        name: str,
        heads: int,
        *,
        bias: Bias | None = None,
        keep: Callable[[Tensor], None] | None = None,
    ) -> None:
        super().__init__()
        self.name, self.heads, self.bias, self.keep = name, heads, bias, keep
        self.done = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # Only the first: adapters that append image tokens attend a second time, to those alone.
        if not self.done and func is F.scaled_dot_product_attention:
            self.done = True
            return self._fused(*args, **kwargs)
        if not self.done and func in _SOFTMAX:
            self.done = True
            return self._softmax(func, args, kwargs)
        return func(*args, **kwargs)

    def _fused(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if is_causal or enable_gqa:
            raise UsageError(
                f"layer {self.name!r} uses causal or grouped attention, not supported"
            )
        b, heads, n, _ = query.shape
        bias = self._bias((b, heads, n, key.shape[-2]), query)
        mask = _add_masks(attn_mask, bias, query.dtype)
        if self.keep is None:
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, dropout_p=dropout_p, scale=scale
            )
        # Half precision overflows in q k^T; fused kernels accumulate in float32, so do we.
        wide = torch.promote_types(query.dtype, torch.float32)
        factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = (query.to(wide) * factor) @ key.to(wide).transpose(-1, -2)
        if mask is not None:
            scores = scores + _additive(mask, wide)
        maps = scores.softmax(-1)
        self.keep(maps)
        if dropout_p:
            return F.dropout(maps, dropout_p).to(value.dtype) @ value
        return (maps @ value.to(wide)).to(value.dtype)

    def _softmax(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        scores = cast(Tensor, args[0])
        rows = scores if scores.ndim == 4 else scores.reshape(-1, self.heads, *scores.shape[1:])
        b, heads, n, tokens = rows.shape
        bias = self._bias((b, heads, n, tokens), rows)
        if bias is not None:
            rows = rows + _additive(bias, rows.dtype)
        maps = cast(Tensor, func(rows.reshape(scores.shape), *args[1:], **kwargs))
        if self.keep is not None:
            self.keep(maps.reshape(b, heads, n, tokens))
        return maps

    def _bias(self, shape: tuple[int, int, int, int], like: Tensor) -> Tensor | None:
        if self.bias is None:
            return None
        bias = self.bias if isinstance(self.bias, Tensor) else self.bias(self.name, shape)
        if bias is None:
            return None
        try:
            torch.broadcast_to(bias, shape)
        except RuntimeError:
            raise ShapeError(
                f"the attention bias does not fit layer {self.name!r}",
                got=tuple(bias.shape),
                expected=f"broadcastable to (B, heads, queries, tokens) = {shape}",
                remedy="give a function (name, shape) -> bias when layers differ in size",
            ) from None
        bias = bias[(None,) * (4 - bias.ndim)]  # fused kernels take no mask of one axis
        return bias.to(like.device) if bias.dtype == torch.bool else bias.to(like)


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, -math.inf)


def _add_masks(first: Tensor | None, second: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    if first is None or second is None:
        present = second if first is None else first
        return present if present is None or present.dtype == torch.bool else present.to(dtype)
    return _additive(first, dtype) + _additive(second, dtype)


def layers(module: nn.Module, where: Where = None) -> dict[str, nn.Module]:
    """The attention layers of a model that `where` chooses, by name.

    Raises:
        UsageError: None matches; the message lists the names there are.
    """
    named = cast("Iterator[tuple[str, nn.Module]]", module.named_modules())
    attentions = {name: m for name, m in named if _is_attention(m)}
    if callable(where):
        chosen = {name: m for name, m in attentions.items() if where(name, m)}
    else:
        patterns = ("*",) if where is None else (where,) if isinstance(where, str) else where
        chosen = {
            name: m
            for name, m in attentions.items()
            if getattr(m, "is_cross_attention", False)
            and any(fnmatchcase(name, pattern) for pattern in patterns)
        }
    if not chosen:
        cross = [n for n, m in attentions.items() if getattr(m, "is_cross_attention", False)]
        raise UsageError(
            "no attention layer was chosen",
            got=where,
            expected=f"a pattern over {', '.join(cross) or 'a model with cross-attention'}",
        )
    return chosen


def _is_attention(module: nn.Module) -> bool:
    return all(hasattr(module, name) for name in ("to_q", "to_k", "to_v", "heads"))


@contextmanager
def record(
    module: nn.Module,
    where: Where = None,
    *,
    grad: bool = False,
    rows: slice | None = None,
    mean_heads: bool = False,
) -> Generator[AttentionMaps]:
    """Record the attention maps of chosen layers while the block runs.

    Args:
        module: The model, or anything that contains it.
        where: Which layers; see `Where`. Only these leave the fused path.
        grad: Keep the maps in the graph, so that a loss on them reaches the input.
        rows: Which rows of the batch to keep, e.g. `slice(n, None)`, the second half of a batch
            that holds unconditional and conditional rows.
        mean_heads: Average the heads (kept as an axis of size 1) to save memory.

    Yields:
        The maps: (B, heads, queries, tokens), each query's row summing to 1 over the tokens.

    Raises:
        UsageError: No layer matches; or, when it runs, a chosen layer attends in slices or
            without a call to intercept.
    """
    chosen = layers(module, where)
    maps = AttentionMaps(chosen)

    def keep(name: str, value: Tensor) -> None:
        value = value if rows is None else value[rows]
        value = value.mean(1, keepdim=True) if mean_heads else value
        maps._keep(name, value if grad else value.detach())  # pyright: ignore[reportPrivateUsage]

    def tap(name: str, heads: int) -> _Tap:
        return _Tap(name, heads, keep=lambda value: keep(name, value))

    with _tapped(chosen, tap):
        yield maps


@contextmanager
def inject(module: nn.Module, bias: Bias, where: Where = None) -> Generator[None]:
    """Add a bias to the attention logits of chosen layers while the block runs.

    Args:
        module: The model, or anything that contains it.
        bias: See `Bias`; boolean tensors mask (True may attend), others are added. A function that
            returns None for a layer leaves it alone. The layers stay on the fused path.
        where: Which layers; see `Where`.

    Raises:
        UsageError: As `record`.
        ShapeError: The bias does not broadcast to a layer's logits (raised when the layer runs).
    """
    with _tapped(layers(module, where), lambda name, heads: _Tap(name, heads, bias=bias)):
        yield


@contextmanager
def _tapped(chosen: Mapping[str, nn.Module], tap: Callable[[str, int], _Tap]) -> Generator[None]:
    with ExitStack() as undo:
        for name, layer in chosen.items():
            undo.callback(_override_forward(layer, _tapped_forward(layer, name, tap)))
        yield


def _tapped_forward(
    layer: nn.Module, name: str, tap: Callable[[str, int], _Tap]
) -> Callable[..., Any]:
    inner = layer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if hasattr(getattr(layer, "processor", None), "slice_size"):
            raise _unreachable(name, layer)
        mode = tap(name, int(cast(Any, layer).heads))
        with mode:
            out = inner(*args, **kwargs)
        if not mode.done:
            raise _unreachable(name, layer)
        return out

    return forward


def _unreachable(name: str, layer: nn.Module) -> UsageError:
    return UsageError(
        f"the attention of layer {name!r} could not be reached",
        got=type(getattr(layer, "processor", None)).__name__,
        expected="a processor that calls scaled_dot_product_attention or softmax once for all",
        remedy="call `unet.set_default_attn_processor()` first, and leave attention slicing off",
    )


def _override_forward(layer: nn.Module, forward: Callable[..., Any]) -> Callable[[], None]:
    """Shadow the layer's `forward`; returns what puts the earlier state back exactly."""
    before = layer.__dict__.get("forward")
    layer.__dict__["forward"] = forward

    def restore() -> None:
        if before is None:
            layer.__dict__.pop("forward", None)
        else:
            layer.__dict__["forward"] = before

    return restore
