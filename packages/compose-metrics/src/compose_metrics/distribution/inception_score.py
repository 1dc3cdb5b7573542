r"""Inception Score (Salimans et al. 2016, arXiv 1606.03498).

.. math:: \exp\big(\mathbb{E}_x\, \mathrm{KL}(p(y|x) \,\|\, p(y))\big)

averaged over splits of the set. It needs no reference, so it cannot see whether the pictures are
those that were asked for.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from compose_metrics.features import Extractor, FeatureMetric
from compose_metrics.intervals import seeded, student_quantile
from compose_metrics.result import JSON, Interval, Result


@final
class InceptionScore(FeatureMetric):
    """Mean over splits of the exponential mean divergence of the predicted classes.

    The score of a split is biased downwards when it holds few pictures per class; the literature
    uses 5000 or more in each.

    Args:
        extractor: A network with class scores.
        splits: Into how many parts the set is divided.
        seed: Of the order in which the pictures (sorted by number) are dealt to the splits; None
            leaves them in their order.
    """

    name = "inception_score"
    needs_reference = False

    def __init__(self, extractor: Extractor, *, splits: int = 10, seed: int | None = 0) -> None:
        super().__init__(extractor)
        self.splits = splits
        self.seed = seed
        self.minimum = splits

    def params(self) -> dict[str, JSON]:
        """Everything that changes the value."""
        return {**super().params(), "splits": self.splits, "seed": self.seed}

    def compute(self) -> Result:
        """The mean over the splits; parts: ``std``, the population deviation over the splits."""
        logits = self.logits()
        if self.seed is not None:
            logits = logits[torch.randperm(len(logits), generator=seeded(self.seed))]
        scores = split_scores(logits, self.splits)
        deviation = float(scores.std(correction=0))
        return self._seen(
            float(scores.mean()), interval=_interval(scores), parts={"std": deviation}
        )


def split_scores(logits: Tensor, splits: int) -> Tensor:
    """The score (splits,) of each contiguous part of class scores (n, C), in float64."""
    log_p = logits.double().log_softmax(1)
    ends = [i * len(logits) // splits for i in range(splits + 1)]
    return torch.stack(
        [_score(log_p[low:high]) for low, high in zip(ends[:-1], ends[1:], strict=True)]
    )


def _score(log_p: Tensor) -> Tensor:
    p = log_p.exp()
    # The log of the mean through logsumexp: a class that nobody predicts must not give -inf + inf.
    log_q = log_p.logsumexp(0) - torch.log(torch.tensor(len(log_p), dtype=torch.float64))
    return (p * (log_p - log_q)).sum(1).mean().exp()


def _interval(scores: Tensor) -> Interval | None:
    k = len(scores)
    if k < 2:
        return None
    half = student_quantile(0.975, k - 1) * float(scores.std()) / k**0.5
    mean = float(scores.mean())
    return Interval(low=mean - half, high=mean + half, how=f"Student's t over {k} splits")
