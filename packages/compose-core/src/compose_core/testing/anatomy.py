"""What a state, a tree of questions or a model consists of, so that laws can compare them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from compose_core.evaluate import Query, Questions, leaves


def same_bytes(a: Tensor, b: Tensor) -> bool:
    """Whether dtype, shape and every value agree exactly; two NaN count as equal."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(a.nan_to_num(), b.nan_to_num()) and torch.equal(a.isnan(), b.isnan())


def same_questions(a: Questions, b: Questions) -> bool:
    """Whether two trees ask the same, by value."""
    left, right = list(leaves(a)), list(leaves(b))
    return len(left) == len(right) and all(map(_same_question, left, right))


def tensors_in(state: object) -> Iterable[Tensor]:
    """Every tensor in nested tuples, lists, mappings and dataclasses."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Mapping):
        yield from tensors_in(list(cast(Mapping[Any, object], state).values()))
    elif is_dataclass(state):
        yield from tensors_in([getattr(state, each.name) for each in fields(state)])
    elif isinstance(state, (tuple, list)):
        for value in cast(Sequence[object], state):
            yield from tensors_in(value)


def anatomy(model: nn.Module) -> dict[str, object]:
    """What a model consists of apart from its weights: modules, hooks, processors, overrides."""
    found: dict[str, object] = {}
    modules = cast(Iterable[tuple[str, nn.Module]], model.named_modules())
    for name, module in modules:
        for key, value in vars(module).items():
            found[f"{name}.{key}"] = _fingerprint(value)
    return found


def _fingerprint(value: object) -> object:
    """Plain values as they are, containers by what they hold, other objects by identity."""
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, object], value).items()
        return {key: held if _is_plain(held) else id(held) for key, held in items}
    return value if _is_plain(value) else id(value)


def _is_plain(value: object) -> bool:
    return isinstance(value, (bool, int, float, str, type(None)))


def _same_question(a: Query, b: Query) -> bool:
    same_condition = a.encoded.keys() == b.encoded.keys() and all(
        same_bytes(a.encoded[name], b.encoded[name]) for name in a.encoded
    )
    same_sample = same_bytes(a.x_t, b.x_t) and a.level.same(b.level)
    return a.network is b.network and same_sample and same_condition
