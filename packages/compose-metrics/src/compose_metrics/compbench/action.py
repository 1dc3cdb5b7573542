"""Non-spatial relations ("a man rides a bicycle"): similarity of the picture and the prompt.

The score is the cosine of the embeddings, as it is (Huang et al. 2023, CLIP ViT-B/32): neither
clipped at 0 nor scaled, so that good pictures score about 0.3. Prompts of the complex category
lose their describing words first. Upstream and fixed agree here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError
from compose_metrics.compbench.judgement import Compat, Fault, Judged, Judgement, paired
from compose_metrics.compbench.phrases import without_adjectives
from compose_metrics.compbench.protocols import TextImageScorer
from compose_metrics.metric import Keys

CANONICAL = "ViT-B-32-quickgelu"
"""OpenAI's CLIP ViT-B/32, as `OpenClip.load` names it."""


@torch.no_grad()
def judge(
    scorer: TextImageScorer,
    pictures: Tensor,
    texts: Sequence[str],
    *,
    complex_prompts: bool = False,
) -> list[Judgement]:
    """Judgements of pictures (B, 3, H, W) in [-1, 1] with a prompt each.

    Raises:
        ShapeError: Pictures and prompts do not pair up, or the scorer gives no cosines.
    """
    pictures = paired(pictures, texts)
    asked = [without_adjectives(text) for text in texts] if complex_prompts else list(texts)
    cosines = scorer.cosine(pictures, asked).double().cpu()
    if cosines.shape != (len(texts),) or not bool((cosines.abs() <= 1 + 1e-4).all()):
        raise ShapeError(
            "the similarities are not cosines, one per picture",
            got=tuple(cosines.shape),
            expected=f"({len(texts)},) in [-1, 1], without any scale",
        )
    pairs = zip(cosines.tolist(), asked, strict=True)
    return [Judgement(c, Fault.NONE, f"cosine {c:.3f} with {text!r}") for c, text in pairs]


@final
class NonSpatial(Judged):
    """Mean cosine of pictures and prompts.

    Args:
        scorer: CLIP ViT-B/32 in the literature.
        compat: `"fixed"` or `"upstream"`; they agree.
    """

    def __init__(self, scorer: TextImageScorer, *, compat: Compat = "fixed") -> None:
        super().__init__("non-spatial", CANONICAL, scorer.source, compat)
        self.scorer = scorer

    def judge(self, pictures: Tensor, texts: Sequence[str]) -> list[Judgement]:
        """Judgements without keeping them, see `action.judge`."""
        return judge(self.scorer, pictures, texts)

    def update(self, pictures: Tensor, texts: Sequence[str], *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1] with a prompt each."""
        self.take(self.judge(pictures, texts), keys, pictures)
