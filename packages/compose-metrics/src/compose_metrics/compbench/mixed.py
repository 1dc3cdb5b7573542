"""Complex prompts: attribute binding averaged with the relation, the action, or both (3-in-1).

Which of the two a prompt has is known from lists of prompts (Huang et al. 2023: 58 with spatial
relations, 212 with actions, 30 with both, of 300).

- looked up by: upstream, the text before its first full stop; fixed, the whole text.
- in both lists: upstream takes the relation only; fixed, both.
- in neither list: upstream takes both, though there may be no relation, which then scores 0; fixed
  takes the relation if the rules find one, else the action.
- the scores themselves are those of `attributes` and `spatial` in the same mode; upstream reads
  one word per thing, and no relation at all when a prompt has two.

The cosine of the action is about 0.3 at best where the others reach 1; both modes keep that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, final, get_args

from torch import Tensor

from compose_core.errors import UsageError
from compose_metrics.compbench import action, attributes, spatial
from compose_metrics.compbench.judgement import (
    Compat,
    Fault,
    Judged,
    Judgement,
    paired,
    together,
)
from compose_metrics.compbench.protocols import Detector, TextImageScorer, VQAScorer
from compose_metrics.metric import Keys

Aspect = Literal["spatial", "action", "both"]
CANONICAL = f"{attributes.CANONICAL}+{spatial.CANONICAL}+{action.CANONICAL}"


def aspect(
    text: str, with_relation: Collection[str], with_action: Collection[str], compat: Compat
) -> Aspect:
    """What a complex prompt has besides attributes.

    Args:
        text: The prompt.
        with_relation: Prompts that have a spatial relation.
        with_action: Prompts that have an action.
        compat: See the module.
    """
    if compat == "upstream":

        def key(prompt: str) -> str:
            return prompt.split(".")[0].lower()
    else:

        def key(prompt: str) -> str:
            return prompt.strip().rstrip(".").lower()

    first = key(text) in {key(p) for p in with_relation}
    second = key(text) in {key(p) for p in with_action}
    if first and second:
        return "spatial" if compat == "upstream" else "both"
    if first or second:
        return "spatial" if first else "action"
    if compat == "upstream":
        return "both"
    return "action" if spatial.read(text) is None else "spatial"


def mixed(attribute: Judgement, relation: Judgement | None, act: Judgement | None) -> Judgement:
    """The mean of the judgements that apply; the fault is the first that has one."""
    named = [("attributes", attribute), ("relation", relation), ("action", act)]
    given = [(name, j) for name, j in named if j is not None]
    score = sum(j.score for _, j in given) / len(given)
    fault = next((j.fault for _, j in given if j.fault is not Fault.NONE), Fault.NONE)
    reason = "; ".join(f"{name} {j.score:.2f} ({j.reason})" for name, j in given)
    return Judgement(score, fault, reason, {"attributes": attribute.score})


@final
class Complex(Judged):
    """Mean 3-in-1 score of complex prompts.

    Args:
        answers: scores the attributes.
        detector: scores the relation.
        similarity: scores the action.
        compat: `"fixed"` or `"upstream"`.
    """

    def __init__(
        self,
        answers: VQAScorer,
        detector: Detector,
        similarity: TextImageScorer,
        *,
        compat: Compat = "fixed",
    ) -> None:
        source = together(answers.source, detector.source, similarity.source)
        super().__init__("complex", CANONICAL, source, compat)
        self.answers, self.detector, self.similarity = answers, detector, similarity

    def judge(
        self, pictures: Tensor, texts: Sequence[str], aspects: Sequence[Aspect]
    ) -> list[Judgement]:
        """Judgements of pictures (B, 3, H, W) without keeping them; see `update`.

        Raises:
            ShapeError: Pictures and prompts do not pair up.
            UsageError: Other aspects, or not one per prompt.
        """
        pictures = paired(pictures, texts)
        if len(aspects) != len(texts) or not set(aspects) <= set(get_args(Aspect)):
            raise UsageError(
                "aspects do not go with the prompts",
                got=f"{len(aspects)}: {sorted(set(aspects))}",
                expected=f"{len(texts)} of {get_args(Aspect)}",
            )
        bound = attributes.judge(self.answers, pictures, texts, self.compat)
        relation = [i for i, a in enumerate(aspects) if a != "action"]
        acted = [i for i, a in enumerate(aspects) if a != "spatial"]
        stands: dict[int, Judgement] = {}
        acts: dict[int, Judgement] = {}
        if relation:
            chosen = [texts[i] for i in relation]
            judged = spatial.judge(
                self.detector, pictures[relation], chosen, self.compat, complex_prompts=True
            )
            stands = dict(zip(relation, judged, strict=True))
        if acted:
            chosen = [texts[i] for i in acted]
            judged = action.judge(self.similarity, pictures[acted], chosen, complex_prompts=True)
            acts = dict(zip(acted, judged, strict=True))
        return [mixed(bound[i], stands.get(i), acts.get(i)) for i in range(len(texts))]

    def update(
        self,
        pictures: Tensor,
        texts: Sequence[str],
        aspects: Sequence[Aspect],
        *,
        keys: Keys = None,
    ) -> None:
        """Take pictures.

        Args:
            pictures: (B, 3, H, W) in [-1, 1].
            texts: Their prompts.
            aspects: What each prompt has besides attributes, see `aspect`.
            keys: Sample numbers.
        """
        self.take(self.judge(pictures, texts, aspects), keys, pictures)
