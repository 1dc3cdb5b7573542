import pytest

from compose_core.errors import ShapeError, UsageError
from compose_metrics.compbench import Complex, NonSpatial, aspect
from compose_metrics.result import Source

LEFT, RIGHT = (50, 200, 150, 300), (350, 200, 450, 300)
RELATION = "The black cat is on the left of the brown dog."
ACTION = "The black cat slept in the soft basket."


def test_cosine_is_neither_scaled_nor_clipped(models, pictures):
    for compat in ("upstream", "fixed"):
        metric = NonSpatial(models["Ear"](-0.2), compat=compat)
        metric.update(pictures(2), ["a man rides a bicycle"] * 2)
        assert metric.compute().value == pytest.approx(-0.2)
    with pytest.raises(ShapeError, match="cosines"):
        NonSpatial(models["Ear"](31.0)).update(pictures(1), ["a man"])


def test_only_the_network_of_the_literature_has_the_bare_name(models):
    clip = Source("ViT-B-32-quickgelu", "55", True)
    assert NonSpatial(models["Ear"](source=clip)).id == "compbench-non-spatial"
    assert NonSpatial(models["Ear"]()).id == "compbench-non-spatial@ear"


def test_aspects_are_looked_up():
    lists = [RELATION], [ACTION]
    for compat in ("upstream", "fixed"):
        assert aspect(RELATION.upper(), *lists, compat) == "spatial"
        assert aspect(ACTION, *lists, compat) == "action"


def test_aspects_where_the_modes_differ():
    both = [RELATION], [RELATION]
    assert aspect(RELATION, *both, "upstream") == "spatial"
    assert aspect(RELATION, *both, "fixed") == "both"
    assert aspect(ACTION, [], [], "upstream") == "both"
    assert aspect(ACTION, [], [], "fixed") == "action"
    assert aspect(RELATION, [], [], "fixed") == "spatial"
    # Two prompts that begin alike: upstream compares up to the first full stop.
    one, other = "Mr. Fox is near the red hen.", "Mr. Fox ate the red hen."
    assert aspect(other, [one], [other], "upstream") == "spatial"
    assert aspect(other, [one], [other], "fixed") == "action"


@pytest.fixture
def parts(models):
    oracle = models["Oracle"]({"The black cat?": 0.6})
    found = models["seen"](("cat", 1, LEFT), ("dog", 1, RIGHT))
    return oracle, models["Eye"]([found] * 3), models["Ear"](0.3)


def test_three_in_one(parts, pictures):
    metric = Complex(*parts)
    metric.update(pictures(3), [RELATION, ACTION, RELATION], ["spatial", "action", "both"])
    result = metric.compute()
    expected = [(0.6 + 1) / 2, (0.6 + 0.3) / 2, (0.6 + 1 + 0.3) / 3]
    assert result.per_sample.tolist() == pytest.approx(expected)
    assert result.metric == "compbench-complex@oracle+eye+ear"
    with pytest.raises(UsageError, match="aspects"):
        metric.update(pictures(1), [RELATION], ["spatial", "both"])
    heard = parts[2].heard
    assert heard == ["The cat slept in the basket.", "The cat is on the left of the dog."]


def test_unlisted_prompts_pay_for_a_relation_that_they_do_not_have_upstream(parts, pictures):
    score = {}
    for compat in ("upstream", "fixed"):
        metric = Complex(*parts, compat=compat)
        judged = metric.judge(pictures(1), [ACTION], [aspect(ACTION, [], [], compat)])
        score[compat] = judged[0].score
    assert score["upstream"] == pytest.approx((0.6 + 0 + 0.3) / 3)
    assert score["fixed"] == pytest.approx((0.6 + 0.3) / 2)


def test_most_complex_relations_are_on_top_of(models, pictures):
    """The commonest wording of the category has no rule upstream."""
    text = "The black cat was on top of the brown sofa."
    found = models["seen"](("cat", 0.9, (200, 50, 300, 150)), ("sofa", 0.9, (200, 350, 300, 450)))
    three = models["Oracle"]({}), models["Eye"]([found]), models["Ear"]()
    scores = [
        Complex(*three, compat=compat).judge(pictures(1), [text], ["spatial"])[0].score
        for compat in ("upstream", "fixed")
    ]
    assert scores == pytest.approx([0.5, (1 + 0.95) / 2])
