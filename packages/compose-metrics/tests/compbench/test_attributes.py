import pytest

from compose_core.errors import ShapeError, UsageError
from compose_metrics.compbench import AttributeBinding, Fault
from compose_metrics.compbench.attributes import judge, phrases

TEXT = "a green chair and a blue vase"


@pytest.mark.parametrize("compat", ["upstream", "fixed"])
def test_score_is_the_product(models, pictures, compat):
    oracle = models["Oracle"]({"a green chair?": 0.5, "a blue vase?": 0.25})
    judged = judge(oracle, pictures(1), [TEXT], compat)[0]
    assert judged.score == 0.125
    assert judged.fault is Fault.BINDING
    assert "'a blue vase' doubted" in judged.reason
    assert oracle.asked == ["a green chair?", "a blue vase?"]


def test_swapped_attributes_are_another_question(models, pictures):
    oracle = models["Oracle"]({"a blue chair?": 0.1, "a green vase?": 0.1})
    right, swapped = judge(oracle, pictures(2), [TEXT, "a blue chair and a green vase"])
    assert (right.score, right.fault) == (1, Fault.NONE)
    assert swapped.score == pytest.approx(0.01)


def test_only_eight_phrases_upstream(models, pictures):
    things = ["cup", "jar", "vase", "book", "lamp", "sofa", "desk", "door", "bowl", "pen"]
    text = ", ".join(f"a red {t}" for t in things)
    oracle = models["Oracle"]({"a red pen?": 0.0})
    assert judge(oracle, pictures(1), [text], "upstream")[0].score == 1
    assert judge(oracle, pictures(1), [text])[0].score == 0


def test_a_prompt_without_things_is_perfect_upstream(models, pictures):
    oracle = models["Oracle"]({})
    judged = judge(oracle, pictures(1), ["and near"], "upstream")[0]
    assert (judged.score, judged.fault) == (1, Fault.UNREAD)
    with pytest.raises(UsageError, match="no thing"):
        judge(oracle, pictures(1), ["and near"])


def test_four_decimals_upstream(models, pictures):
    oracle = models["Oracle"]({"a green chair?": 0.01, "a blue vase?": 0.001})
    assert judge(oracle, pictures(1), [TEXT], "upstream")[0].score == 0
    assert judge(oracle, pictures(1), [TEXT])[0].score == pytest.approx(1e-5)


def test_places_are_no_things():
    text = "a cup on the left and a jar on the bottom"
    assert phrases(text, "upstream") == ["a cup", "a jar", "the bottom"]
    assert phrases(text) == ["a cup", "a jar"]


def test_metric_asks_all_in_one_call_and_batches_do_not_matter(models, pictures):
    known = {"a green chair?": 0.5, "a red cup?": 0.8}
    whole = AttributeBinding("color", models["Oracle"](known))
    whole.update(pictures(2), [TEXT, "a red cup and a wooden desk"])
    first = AttributeBinding("color", models["Oracle"](known))
    second = AttributeBinding("color", models["Oracle"](known))
    second.update(pictures(1), ["a red cup and a wooden desk"], keys=[1])
    first.update(pictures(1), [TEXT], keys=[0])
    second.merge(first)
    a, b = whole.compute(), second.compute()
    assert a.metric == "compbench-color@oracle"
    assert a.value == b.value == pytest.approx(0.65)
    assert a.interval == b.interval
    with pytest.raises(UsageError):
        AttributeBinding("size", models["Oracle"]({}))  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        AttributeBinding("shape", models["Oracle"]({}), compat="old")  # type: ignore[arg-type]


def test_answers_have_to_be_probabilities(models, pictures):
    with pytest.raises(ShapeError, match="probabilities"):
        judge(models["Oracle"]({"a green chair?": 3.0}), pictures(1), [TEXT])
