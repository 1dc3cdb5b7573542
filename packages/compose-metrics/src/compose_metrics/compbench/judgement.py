"""What a scorer says of one picture, and the metrics that are means of it.

Every category exists twice. `compat="upstream"` follows the scripts published with T2I-CompBench
(Huang et al. 2023 and 2025), oddities included, for numbers that stand beside published ones; its
metrics are called `compbench-...-upstream`. `compat="fixed"` keeps the definitions and mends the
oddities. Modules list theirs.

Upstream means the rules that turn what the networks answer into a score. It is written from
descriptions of the scripts, never run against them, and two of its parts are known to be others:

- noun phrases come from the rules of `phrases`, not from spaCy's tagger;
- relations in depth follow the published rule in words, which leaves open whether the script also
  weighs the overlap of boxes: numbers of `spatial-3d` must not stand beside published ones. Their
  parameters say so (`"parity": "rule in words"`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_metrics.intervals import mean_interval
from compose_metrics.metric import SIZE, Keys, Rows
from compose_metrics.pictures import sizes, taken
from compose_metrics.result import JSON, Result, Source
from compose_metrics.table import KEYS

Compat = Literal["upstream", "fixed"]


PART = "part "
"""How the columns of parts begin."""
REASON = 240
"""Bytes of a reason that a metric keeps, so that reasons travel as tensors do."""


class Fault(IntEnum):
    """Why a picture lost points, the gravest reason only."""

    NONE = 0
    MISSING = 1
    RELATION = 2
    COUNT = 3
    BINDING = 4
    UNREAD = 5

    @property
    def text(self) -> str:
        """What it means, as it appears in the parts of a result."""
        return _FAULTS[self]


_FAULTS = {
    Fault.NONE: "right",
    Fault.MISSING: "thing missing",
    Fault.RELATION: "relation wrong",
    Fault.COUNT: "count wrong",
    Fault.BINDING: "attribute doubted",
    Fault.UNREAD: "prompt not understood",
}


@dataclass(frozen=True)
class Judgement:
    """The verdict on one picture.

    Attributes:
        score: in [0, 1] (cosines: [-1, 1]).
        fault: the gravest reason why points are missing.
        reason: the same in words, with names and numbers.
        parts: what the score consists of.
    """

    score: float
    fault: Fault
    reason: str
    parts: Mapping[str, float] = field(default_factory=dict[str, float])

    def to_json(self) -> dict[str, JSON]:
        """The verdict as JSON, one line of a log."""
        return {
            "score": self.score,
            "fault": self.fault.text,
            "reason": self.reason,
            "parts": dict(self.parts),
        }


def _encoded(reason: str) -> list[int]:
    """A reason as `REASON` bytes of UTF-8, padded with zeros."""
    kept = reason.encode()[:REASON]
    return [*kept, *bytes(REASON - len(kept))]


def _decoded(reason: Sequence[int]) -> str:
    return bytes(reason).rstrip(b"\0").decode(errors="ignore")


def known_compat(compat: str) -> Compat:
    """The compat mode of that name.

    Raises:
        UsageError: There is none.
    """
    if compat not in get_args(Compat):
        raise UsageError("unknown compat mode", got=compat, expected=get_args(Compat))
    return cast(Compat, compat)


def paired(pictures: Tensor, texts: Sequence[str]) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] as metrics take them, with one prompt each.

    Raises:
        ShapeError: Wrong pictures, or another number of prompts.
    """
    pictures = taken(pictures)
    if isinstance(texts, str) or len(texts) != len(pictures):
        got = "one string" if isinstance(texts, str) else len(texts)
        raise ShapeError("pictures and prompts do not pair up", got=got, expected=len(pictures))
    return pictures


def together(*sources: Source) -> Source:
    """Several judges as one: named by all, hashed from their hashes."""
    distinct = list(dict.fromkeys(sources))
    if len(distinct) == 1:
        return distinct[0]
    digest = hashlib.sha256("".join(s.sha256 for s in distinct).encode()).hexdigest()
    names = "+".join(dict.fromkeys(s.id for s in distinct))
    return Source(names, digest, all(s.reference for s in distinct))


class Judged(Rows):
    """Base of the categories: a mean of judgements, with the share of each fault in the parts.

    Subclasses call `take` in `update`, and offer `judge`, which gives the judgements themselves
    without keeping them.

    Args:
        category: the end of the id: `compbench-<category>`.
        canonical: id of the model that the literature means; any other is named in the metric.
        source: the model or models that judge.
        compat: see the module.
    """

    version = 2

    def __init__(self, category: str, canonical: str, source: Source, compat: str) -> None:
        super().__init__()
        self.compat: Compat = known_compat(compat)
        name = f"compbench-{category}" + ("-upstream" if self.compat == "upstream" else "")
        self.id = source.metric(name, canonical)
        self.source = source

    def params(self) -> dict[str, JSON]:
        """The compat mode."""
        return {"compat": self.compat}

    def extractor_source(self) -> Source:
        """The model or models that judge."""
        return self.source

    def take(
        self, judgements: Sequence[Judgement], keys: Keys = None, pictures: Tensor | None = None
    ) -> None:
        """Keep judgements, one per sample, and the sizes of the pictures where they are given."""
        seen = {} if pictures is None else {SIZE: sizes(pictures)}
        names = sorted({name for j in judgements for name in j.parts})
        self.add(
            keys,
            value=torch.tensor([j.score for j in judgements], dtype=torch.float64),
            fault=torch.tensor([int(j.fault) for j in judgements]),
            reason=torch.tensor([_encoded(j.reason) for j in judgements], dtype=torch.uint8),
            **seen,
            **{
                f"{PART}{name}": torch.tensor([j.parts[name] for j in judgements]).double()
                for name in names
            },
        )

    def judgements(self) -> dict[int, Judgement]:
        """What was said of each sample, by its number; long reasons are cut."""
        rows = {name: column.tolist() for name, column in self.rows().items()}
        parts = [name for name in rows if name.startswith(PART)]
        return {
            key: Judgement(
                rows["value"][i],
                Fault(rows["fault"][i]),
                _decoded(rows["reason"][i]),
                {name.removeprefix(PART): rows[name][i] for name in parts},
            )
            for i, key in enumerate(rows[KEYS])
        }

    def compute(self) -> Result:
        """The mean score; mean parts and the share of each fault are in the parts."""
        rows = self.rows()
        values = rows["value"]
        counts = Counter(rows["fault"].tolist())
        shares = {Fault(f).text: count / self.n for f, count in sorted(counts.items())}
        means = {
            name.removeprefix(PART): float(column.mean())
            for name, column in rows.items()
            if name.startswith(PART)
        }
        return self._result(
            float(values.mean()),
            interval=mean_interval(values) if len(values) > 1 else None,
            per_sample=values,
            keys=rows[KEYS],
            parts={**means, **shares},
        )
