"""Soft guidance: cross-attention in which the tokens of an exemplar are heard in its region only.

The paper (section 3.3, Algorithm 1) multiplies the logits, `softmax(S M')`: a closed column keeps
the logit 0 and still leaks. The published code closes it, `softmax(S + log M')`. Both are here.

Within `attending`, every cross-attention layer of the given networks works through a processor of
its own, which takes keys and values that were computed once for the whole run. What was there
before is left untouched underneath and is back afterwards, whatever happens in between; layers can
be recorded (`compose_core.attention.record`) inside or outside.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_cnc import regions
from compose_core import attention
from compose_core.errors import UsageError

__all__ = ["Guidance", "KeyValue", "SoftGuidance", "attending", "cross_layers", "project"]

SoftGuidance = Literal["mask", "paper", "off"]
"""`"mask"`: `softmax(S + log M')`, the published code. `"paper"`: `softmax(S M')`, Algorithm 1.
`"off"`: every token is heard everywhere."""


class KeyValue(NamedTuple):
    """Keys and values of one layer, (B, columns, heads x width) each."""

    key: Tensor
    value: Tensor


class Guidance:
    """What all cross-attention layers are told in one call.

    Args:
        prepared: Keys and values of layers, by name; others compute them from the context.
        shares: For the number of queries of a layer, `M'` (B, 1, queries, columns) there; see
            `regions.columns`. Without any, every token is heard everywhere.
        rule: See `SoftGuidance`.
        dtype: What the networks compute in.

    Raises:
        UsageError: There is no such rule.
    """

    def __init__(
        self,
        prepared: Mapping[str, KeyValue] | None = None,
        shares: Mapping[int, Tensor] | None = None,
        rule: SoftGuidance = "mask",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if rule not in ("mask", "paper", "off"):
            raise UsageError("unknown soft guidance", got=rule, expected="mask, paper or off")
        self.prepared = {} if prepared is None else prepared
        self.rule: SoftGuidance = rule
        given = {} if shares is None or rule == "off" else shares
        if rule == "mask":  # once for all layers of a resolution
            given = {count: regions.bias(x).to(dtype) for count, x in given.items()}
        self._terms = given

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """Attention (B, heads, queries, width) under the rule.

        Raises:
            UsageError: The layer works at a resolution for which no regions were given.
        """
        count = query.shape[2]
        if not self._terms:
            return F.scaled_dot_product_attention(query, key, value, scale=scale)
        if count not in self._terms:
            raise UsageError(
                "no regions were given for this resolution",
                got=f"{count} queries",
                expected=f"one of {sorted(self._terms)}",
                remedy="prepare the conditions for the size of these latents",
            )
        term = self._terms[count]
        if self.rule == "paper":
            return _multiplied(query, key, value, term, scale)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=term, scale=scale)


def _multiplied(
    query: Tensor, key: Tensor, value: Tensor, shares: Tensor, scale: float | None
) -> Tensor:
    """Algorithm 1, lines 6 to 11; the softmax is explicit, because fused ones can only add."""
    wide = torch.promote_types(query.dtype, torch.float32)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = (query.to(wide) * factor) @ key.to(wide).mT
    return ((scores * shares.to(wide)).softmax(-1) @ value.to(wide)).to(value.dtype)


def cross_layers(networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Every cross-attention layer of several networks, by `"network.layer"`.

    Raises:
        UsageError: A layer is of a kind that soft guidance cannot reach.
    """
    found: dict[str, nn.Module] = {}
    for prefix, network in networks.items():
        for name, layer in attention.layers(network).items():
            module = cast(Any, layer)
            special = ("added_kv_proj_dim", "group_norm", "spatial_norm", "norm_q", "norm_k")
            if any(getattr(module, x, None) is not None for x in special):
                raise UsageError(
                    f"soft guidance cannot work in layer {prefix}.{name}",
                    got="a layer with keys or norms of its own",
                    expected="plain cross-attention, as in Stable Diffusion 1 and 2",
                )
            found[f"{prefix}.{name}"] = layer
    return found


def project(layer: nn.Module, context: Tensor) -> KeyValue:
    """Keys and values of a context (B, columns, D) in one layer."""
    module = cast(Any, layer)
    if module.norm_cross:
        context = module.norm_encoder_hidden_states(context)
    return KeyValue(module.to_k(context), module.to_v(context))


@contextmanager
def attending(layers: Mapping[str, nn.Module], guidance: Guidance) -> Generator[None]:
    """Let layers attend under `guidance` while the block runs.

    Args:
        layers: From `cross_layers`.
        guidance: What they are told.

    Raises:
        UsageError: A layer holds an adapter with weights (IP-Adapter), which would go unheard, or
            activations are recomputed in the backward pass, when the block has been left.
    """
    with ExitStack() as undo:
        for name, layer in layers.items():
            before = cast(Any, layer).processor
            if isinstance(before, nn.Module):
                raise UsageError(
                    f"layer {name} holds an adapter, which soft guidance would leave out",
                    got=type(before).__name__,
                    expected="an attention processor without weights",
                    remedy="unload the adapter",
                )
            undo.callback(_shadow(layer, _Processor(name, guidance)))
        yield


def _shadow(layer: nn.Module, processor: Callable[..., Tensor]) -> Callable[[], None]:
    """Put a processor in front of the layer's; returns what restores the earlier state exactly."""
    held = "processor" in layer.__dict__
    before = layer.__dict__.get("processor")
    layer.__dict__["processor"] = processor

    def restore() -> None:
        if held:
            layer.__dict__["processor"] = before
        else:
            layer.__dict__.pop("processor", None)

    return restore


class _Processor:
    """What diffusers calls inside an `Attention` layer; as `AttnProcessor2_0`, but guided."""

    def __init__(self, name: str, guidance: Guidance) -> None:
        self.name, self.guidance = name, guidance

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """The layer's output for the cells `hidden_states` (B, queries, C)."""
        given = self.guidance.prepared.get(self.name)
        key, value = project(attn, cast(Tensor, encoder_hidden_states)) if given is None else given

        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        query = attn.to_q(hidden_states)
        scale = None if attn.scale_qk else attn.scale
        out = self.guidance.attend(split(query), split(key), split(value), scale)
        out = attn.to_out[0](out.transpose(1, 2).flatten(2).to(query.dtype))
        out = attn.to_out[1](out)
        if attn.residual_connection:
            out = out + hidden_states
        return out / attn.rescale_output_factor
