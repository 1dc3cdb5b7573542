import pytest

from compose_core.errors import UsageError
from compose_metrics.compbench import Counted, Fault, Numeracy
from compose_metrics.compbench.numeracy import distinct, judge_one, read, same_box


def spread(label, n, sure=0.9):
    return [(label, sure, (100 * i, 0, 100 * i + 60, 60)) for i in range(n)]


LABELS = ("cat", "dog", "person", "tv", "caterpillar", "sofa", "traffic light")


def score(found, text, compat="fixed"):
    return judge_one(found, read(text, LABELS, compat), compat, LABELS).score


@pytest.mark.parametrize("compat", ["upstream", "fixed"])
def test_half_for_presence_half_for_number(models, compat):
    found = models["seen"](*spread("cat", 3), *spread("dog", 1))
    assert score(found, "three cats", compat) == 1
    assert score(found, "two cats", compat) == 0.5
    assert score(found, "two sofas", compat) == 0
    assert score(found, "three cats and two dogs", compat) == 0.75
    assert score(found, "three cats, two dogs and one sofa", compat) == pytest.approx(0.5)


def test_a_thing_before_a_larger_one_vanishes_upstream(models):
    group = [("cat", 0.9, (0, 0, 200, 200)), ("cat", 0.8, (50, 100, 90, 140))]
    found = models["seen"](*group)
    assert distinct(found, "upstream") == ["cat"]
    assert distinct(found, "fixed") == ["cat", "cat"]
    assert score(found, "two cats", "upstream") == 0.5
    assert score(found, "two cats", "fixed") == 1


@pytest.mark.parametrize("compat", ["upstream", "fixed"])
def test_one_thing_seen_twice_counts_once(models, compat):
    found = models["seen"](("cat", 0.9, (0, 0, 100, 100)), ("cat", 0.8, (2, 0, 102, 100)))
    assert distinct(found, compat) == ["cat"]
    other = models["seen"](("cat", 0.9, (0, 0, 100, 100)), ("dog", 0.8, (2, 0, 102, 100)))
    assert distinct(other, compat) == ["cat", "dog"]


def test_one_pixel_more_joins_small_boxes_upstream():
    a, b = (0, 0, 4, 4), (0.44, 0, 4.44, 4)  # share 0.89 of each; 0.912 with a pixel more
    assert same_box(a, b, "upstream")
    assert not same_box(a, b, "fixed")
    large = [tuple(100 * v for v in box) for box in (a, b)]
    assert not same_box(*large, "upstream")


def test_doubtful_detections_count_upstream(models):
    found = models["seen"](*spread("cat", 2), ("cat", 0.1, (400, 0, 450, 60)))
    assert score(found, "two cats", "upstream") == 0.5
    assert score(found, "two cats", "fixed") == 1


def test_fixed_keeps_the_more_confident_of_two(models):
    found = models["seen"](("cat", 0.4, (0, 0, 99, 100)), ("cat", 0.9, (0, 0, 100, 100)))
    assert distinct(found) == ["cat"]


def test_numbers_end_at_eight_upstream():
    assert read("nine cats", LABELS) == [Counted("cat", 9)]
    with pytest.raises(UsageError, match="nothing"):
        read("nine cats", LABELS, "upstream")


def test_labels_that_contain_the_noun_count_upstream(models):
    found = models["seen"](*spread("caterpillar", 2))
    assert score(found, "two cats", "upstream") == 1
    assert score(found, "two cats", "fixed") == 0
    # Renamed for good: afterwards there is no caterpillar.
    assert score(found, "two cats and two caterpillars", "upstream") == 0.5
    assert score(found, "two caterpillars and two cats", "upstream") == 1


def test_televisions_are_found_only_when_fixed(models):
    found = models["seen"](*spread("tv", 2))
    assert score(found, "two televisions", "upstream") == 0
    assert score(found, "two televisions", "fixed") == 1


def test_people_are_added_up_when_fixed(models):
    found = models["seen"](*spread("person", 2))
    assert score(found, "one boy and one girl", "upstream") == 0.5
    assert score(found, "one boy and one girl", "fixed") == 1
    assert score(found, "two people", "fixed") == 1


def test_things_nobody_knows(models):
    found = models["seen"](*spread("cat", 2))
    text = "two cats and three xylophones"
    assert score(found, text, "upstream") == 1
    judged = judge_one(found, read(text, LABELS), "fixed", LABELS)
    assert (judged.score, judged.fault) == (0.5, Fault.MISSING)
    assert judged.reason == "2 of 2 'cat', 0 of 3 'xylophone'"
    assert score(found, "two cats gathered for a picnic") == 1  # scenery
    for compat in ("upstream", "fixed"):
        with pytest.raises(UsageError, match="counts nothing"):
            read("the cat", LABELS, compat)


def test_described_things_of_a_vocabulary(models):
    kinds = ("red cube", "blue cube", "red cone")
    asked = read("a picture of a small red cube and two blue cubes", kinds)
    assert asked == [Counted("red cube", 1), Counted("blue cube", 2)]
    found = models["seen"](*spread("blue cube", 2), *spread("red cone", 1))
    assert judge_one(found, asked, "fixed", kinds).score == 0.5


def test_metric(models, pictures):
    eye = models["Eye"]([models["seen"](*spread("cat", 2))] * 3, labels=LABELS)
    metric = Numeracy(eye)
    metric.update(pictures(3), ["two cats", "three cats", "two dogs"])
    result = metric.compute()
    assert result.metric == "compbench-numeracy@eye"
    assert result.value == pytest.approx(0.5)
    assert result.parts["present"] == pytest.approx(2 / 3)
    faults = [j.fault for j in metric.judgements().values()]
    assert faults == [Fault.NONE, Fault.COUNT, Fault.MISSING]
    assert result.params["confidence"] == 0.3
    upstream = Numeracy(eye, compat="upstream")
    assert upstream.id == "compbench-numeracy-upstream@eye"
    with pytest.raises(UsageError):
        upstream.merge(metric)
