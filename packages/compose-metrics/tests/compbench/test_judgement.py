import pytest
import torch

from compose_core.errors import UsageError
from compose_metrics.compbench import (
    AttributeBinding,
    Complex,
    Fault,
    Judgement,
    NonSpatial,
    Numeracy,
    Spatial2D,
    Spatial3D,
)
from compose_metrics.compbench.judgement import Judged, together
from compose_metrics.result import Source

TINY = Source("tiny-v1", "ab", False)
REAL = Source("unidet", "cd", True)


def judged(**arguments):
    given = {"category": "color", "canonical": "unidet", "source": REAL, "compat": "fixed"}

    class Given(Judged):
        def update(self, judgements, *, keys=None):
            self.take(judgements, keys)

    return Given(**(given | arguments))


def test_ids_keep_apart_what_is_not_comparable():
    assert judged().id == "compbench-color"
    assert judged(compat="upstream").id == "compbench-color-upstream"
    assert judged(source=TINY).id == "compbench-color@tiny-v1"
    with pytest.raises(UsageError, match="compat"):
        judged(compat="new")


def test_the_models_of_the_literature_give_the_bare_names(models):
    def called(made, name):
        made.source = Source(name, "ab" * 32, True)
        return made

    # CLIP under the name that OpenClip.load gives it.
    clip = called(models["Ear"](), "ViT-B-32-quickgelu")
    blip = called(models["Oracle"]({}), "blip-vqa-base")
    eye = called(models["Eye"]([]), "unidet-rs200")
    depth = called(models["Flat"](torch.zeros(1, 1)), "dpt-large")
    assert NonSpatial(clip).id == "compbench-non-spatial"
    assert AttributeBinding("shape", blip).id == "compbench-shape"
    assert Spatial2D(eye).id == "compbench-spatial-2d"
    assert Spatial3D(eye, depth).id == "compbench-spatial-3d"
    assert Complex(blip, eye, clip).id == "compbench-complex"
    assert Numeracy(called(eye, "unidet-r50")).id == "compbench-numeracy"


def test_judgements_survive_saving_and_merging():
    said = [
        Judgement(0.25, Fault.MISSING, "no «cat» among dog", {"confidence": 0.5}),
        Judgement(1.0, Fault.NONE, "x" * 1000, {"confidence": 1.0}),
    ]
    first, second, again = judged(), judged(), judged()
    first.update(said[1:], keys=[4])
    second.update(said[:1], keys=[2])
    first.merge(second)
    again.load_state_dict(first.state_dict())
    kept = again.judgements()
    assert list(kept) == [2, 4]
    assert kept[2] == said[0]
    assert kept[4].reason == "x" * 240
    result = again.compute()
    assert result.parts == {"confidence": 0.75, "right": 0.5, "thing missing": 0.5}
    assert result.value == 0.625


def test_a_reason_is_never_cut_within_a_letter():
    metric = judged()
    metric.update([Judgement(1.0, Fault.NONE, "é" * 200)])
    metric.update([Judgement(1.0, Fault.NONE, "a" + "é" * 200)])
    assert [len(j.reason) for j in metric.judgements().values()] == [120, 120]


def test_several_judges_are_one_source():
    assert together(REAL, REAL) == REAL
    both = together(REAL, TINY)
    assert (both.id, both.reference) == ("unidet+tiny-v1", False)
    assert both.sha256 != together(REAL, Source("tiny-v1", "ac", False)).sha256


def test_json_of_a_judgement():
    line = Judgement(0.5, Fault.COUNT, "2 of 3 'cat'").to_json()
    assert line == {"score": 0.5, "fault": "count wrong", "reason": "2 of 3 'cat'", "parts": {}}


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(Exception, match="not finite"):
        judged().update([Judgement(float("nan"), Fault.NONE, "")])
    assert torch.is_tensor(judged().state_dict()["fingerprint"])
