import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compose_core.errors import ShapeError
from compose_metrics.compbench import Detections, Fault, Spatial2D
from compose_metrics.compbench.spatial import iou, judge_one, position, read

LEFT, RIGHT = (50, 200, 150, 300), (350, 200, 450, 300)
TOP, BOTTOM = (200, 50, 300, 150), (200, 350, 300, 450)
SIZE = (512, 512)


@pytest.mark.parametrize("compat", ["upstream", "fixed"])
def test_directions(compat):
    def score(relation, a, b):
        return position(relation, a, b, compat=compat)

    assert score("left of", LEFT, RIGHT) == score("right of", RIGHT, LEFT) == 1
    assert score("above", TOP, BOTTOM) == score("below", BOTTOM, TOP) == 1
    assert score("left of", RIGHT, LEFT) == score("above", BOTTOM, TOP) == 0
    assert score("left of", TOP, BOTTOM) == score("above", LEFT, RIGHT) == 0
    # Further across than along: no direction holds.
    assert score("left of", (0, 0, 10, 10), (50, 60, 60, 70)) == 0


@pytest.mark.parametrize("compat", ["upstream", "fixed"])
def test_overlap_is_punished_beyond_a_tenth(compat):
    wide = (0, 0, 100, 100)
    little, much = (85, 0, 185, 100), (40, 0, 140, 100)
    assert iou(wide, little) < 0.1 < iou(wide, much)
    assert position("left of", wide, little, compat=compat) == 1
    assert position("left of", wide, much, compat=compat) == pytest.approx(0.1 / (60 / 140))


corner = st.integers(0, 400)  # of integers everything but the last division is exact
side = st.integers(1, 100)
box = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(box, box, st.sampled_from(["upstream", "fixed"]))
def test_symmetries(a, b, compat):
    def score(relation, first, second):
        return position(relation, first, second, compat=compat)

    def turned(c):  # x and y exchanged
        return (c[1], c[0], c[3], c[2])

    right, above = score("right of", b, a), score("above", turned(a), turned(b))
    assert score("left of", a, b) == right == above
    assert score("above", a, b) == score("below", b, a)
    assert score("near", a, b) == score("near", b, a) == score("near", turned(a), turned(b))
    assert min(score("left of", a, b), score("left of", b, a)) == 0
    assert 0 <= iou(a, b) == iou(b, a) <= 1


@given(box, box, st.sampled_from(["left of", "above", "near"]), st.sampled_from([0.25, 0.5, 2, 8]))
def test_fixed_does_not_depend_on_the_size_of_the_picture(a, b, relation, scale):
    large = [tuple(scale * v for v in c) for c in (a, b)]
    here = position(relation, a, b, side=512)
    assert position(relation, *large, side=512 * scale) == here


def test_iou_of_boxes_without_area():
    assert iou((5, 5, 5, 5), (5, 5, 5, 5)) == 0
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1


def test_near_is_150_pixels_upstream_and_relative_when_fixed():
    small = (0, 0, 8, 8), (40, 40, 48, 48)  # 40 pixels apart in a picture of 64
    assert position("near", *small, compat="upstream", side=64) == 1
    reach, distance = 150 / 512 * 64, 40 * 2**0.5
    assert position("near", *small, compat="fixed", side=64) == pytest.approx(reach / distance)
    large = tuple(tuple(16 * v for v in box) for box in small)
    assert position("near", *large, compat="upstream", side=1024) == pytest.approx(150 / 640)
    fixed = position("near", *large, compat="fixed", side=1024)
    assert fixed == pytest.approx(reach / distance)  # the same picture, larger


def test_near_upstream_takes_either_axis():
    ends = (0, 200, 10, 210), (500, 200, 510, 210)  # a row across the whole picture
    assert position("near", *ends, compat="upstream") == 1
    assert position("near", *ends, compat="fixed") == pytest.approx(150 / 500)


def test_on_top_of_has_no_rule_upstream(models):
    found = models["seen"](("cat", 1, TOP), ("sofa", 1, BOTTOM))
    for wording, upstream in (("on the top of", 1.0), ("on top of", 0.5)):
        text = f"a cat {wording} a sofa"
        assert judge_one(found, read(text, "upstream"), SIZE, "upstream").score == upstream
        assert judge_one(found, read(text), SIZE).score == 1
    unsure = models["seen"](("cat", 0.9, TOP), ("sofa", 0.9, BOTTOM))
    asked = read("a cat on top of a sofa", "upstream")
    assert judge_one(unsure, asked, SIZE, "upstream").score == 0  # 0.45 is cut


def test_first_detection_only_upstream_best_pair_fixed(models):
    found = models["seen"](
        ("cat", 0.9, RIGHT), ("cat", 0.8, (0, 200, 20, 300)), ("dog", 0.9, LEFT)
    )
    text = "a cat on the left of a dog"
    upstream = judge_one(found, read(text, "upstream"), SIZE, "upstream")
    fixed = judge_one(found, read(text), SIZE)
    assert (upstream.score, upstream.fault) == (0, Fault.RELATION)
    assert fixed.score == pytest.approx(0.25 * (0.8 + 0.9) + 0.5)
    assert fixed.fault is Fault.NONE


def test_twice_the_same_thing(models):
    asked = "a cat next to a cat"
    one = models["seen"](("cat", 1, LEFT))
    assert judge_one(one, read(asked, "upstream"), SIZE, "upstream").score == 1  # near itself
    alone = judge_one(one, read(asked), SIZE)
    assert (alone.score, alone.fault) == (0.25, Fault.MISSING)
    two = models["seen"](("cat", 1, LEFT), ("cat", 1, (160, 200, 260, 300)))
    assert judge_one(two, read(asked), SIZE).score == 1


def test_scores_below_a_half_become_0_upstream(models):
    found = models["seen"](("cat", 0.8, RIGHT), ("dog", 0.9, LEFT))
    text = "a cat on the left of a dog"
    upstream = judge_one(found, read(text, "upstream"), SIZE, "upstream")
    assert upstream.score == 0
    assert "cut" in upstream.reason
    assert judge_one(found, read(text), SIZE).score == pytest.approx(0.425)
    alone = models["seen"](("cat", 0.8, RIGHT))
    assert judge_one(alone, read(text, "upstream"), SIZE, "upstream").score == 0
    assert judge_one(alone, read(text), SIZE).score == pytest.approx(0.2)


def test_names_are_one_string_upstream(models):
    found = models["seen"](("traffic light", 1, LEFT), ("sofa", 1, RIGHT))
    text = "a traffic light on the left of a couch"
    upstream = judge_one(found, read(text, "upstream"), SIZE, "upstream")
    assert (upstream.score, upstream.fault) == (0, Fault.MISSING)
    assert read(text, "upstream").subject == "traffic"
    assert judge_one(found, read(text), SIZE).score == 1


def test_wordings_anywhere_upstream():
    text = "a cat nearby and on the left of a dog"
    assert read(text, "upstream").wording == "near"
    assert read(text).relation == "left of"
    assert read("The cat was on the left of the dog next to a tree.").relation == "left of"
    complex_prompt = read(
        "The cat was on the left of the dog next to a tree.", "upstream", complex_prompt=True
    )
    assert complex_prompt is None  # two relations


def test_reason_names_what_is_missing(models):
    found = models["seen"](("dog", 1, LEFT))
    judged = judge_one(found, read("a cat near a dog"), SIZE)
    assert judged.reason == "not both of 'cat' and 'dog' among dog"
    assert judge_one(models["seen"](), read("a cat near a dog"), SIZE).score == 0
    unread = judge_one(found, read("a cat and a dog"), SIZE)
    assert (unread.score, unread.fault) == (0, Fault.UNREAD)


def test_metric(models, pictures):
    good = models["seen"](("cat", 1, LEFT), ("dog", 1, RIGHT))
    bad = models["seen"](("cat", 1, RIGHT), ("dog", 1, LEFT))
    text = "a cat on the left of a dog"
    metric = Spatial2D(models["Eye"]([good, bad, models["seen"](("cat", 1, LEFT))]))
    metric.update(pictures(3), [text] * 3, keys=[5, 6, 7])
    result = metric.compute()
    assert result.metric == "compbench-spatial-2d@eye"
    assert result.per_sample.tolist() == [1, 0.5, 0.25]
    assert result.parts["thing missing"] == pytest.approx(1 / 3)
    assert result.parts["relation"] == pytest.approx(1 / 3)
    kept = metric.judgements()
    assert [j.fault for j in kept.values()] == [Fault.NONE, Fault.RELATION, Fault.MISSING]
    assert kept[7] == metric.judge(pictures(3), [text] * 3)[2]
    with pytest.raises(ShapeError, match="pair up"):
        metric.update(pictures(3), [text])


def test_detections_are_checked():
    with pytest.raises(ShapeError, match="belong together"):
        Detections(torch.zeros(2, 4), ("cat",), torch.zeros(1))
    with pytest.raises(ShapeError, match="finite"):
        Detections(torch.full((1, 4), float("nan")), ("cat",), torch.zeros(1))
