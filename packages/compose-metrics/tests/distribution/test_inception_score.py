import math

import pytest
import torch

from compose_core.errors import ComposeError
from compose_metrics import InceptionScore
from compose_metrics.distribution.inception_score import split_scores
from compose_metrics.features import Features


def logits(n=203, classes=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, classes, generator=generator) * 3


def scored(toy, scores, **options):
    metric = InceptionScore(toy, **options)
    metric.update(Features(torch.zeros(len(scores), 24), scores))
    return metric.compute()


def test_certain_and_even_predictions_count_the_classes(toy):
    """One-hot predictions, evenly over C classes, score C; alike ones score 1."""
    certain = torch.eye(7).repeat(10, 1) * 1000
    assert scored(toy, certain, splits=2, seed=None).value == pytest.approx(7, rel=1e-12)
    alike = torch.eye(7)[:1].repeat(70, 1) * 1000
    assert scored(toy, alike, splits=10).value == pytest.approx(1, rel=1e-12)


def test_two_classes_by_hand(toy):
    p = torch.tensor([[0.9, 0.1], [0.3, 0.7]], dtype=torch.float64)
    q = p.mean(0)
    exact = math.exp(float((p * (p / q).log()).sum(1).mean()))
    assert scored(toy, p.log(), splits=1).value == pytest.approx(exact, rel=1e-12)


def test_torch_fidelity_gives_the_same_on_the_same_splits(toy):
    metric_isc = pytest.importorskip("torch_fidelity.metric_isc")
    theirs = metric_isc.isc_features_to_metric(logits(), splits=10, shuffle=False)
    ours = scored(toy, logits(), splits=10, seed=None)
    assert ours.value == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert ours.parts["std"] == pytest.approx(theirs["inception_score_std"], rel=1e-9)


def test_torchmetrics_differs_in_deviation_splits_and_seed():
    inception = pytest.importorskip("torchmetrics.image.inception")

    def theirs(scores, splits):
        with pytest.warns(UserWarning, match="save all extracted features"):
            metric = inception.InceptionScore(torch.nn.Identity(), splits=splits)
        metric.update(scores)
        with torch.random.fork_rng():
            torch.random.default_generator.manual_seed(0)
            order = torch.randperm(len(scores))
            torch.random.default_generator.manual_seed(0)
            return scores[order], *metric.compute()

    shuffled, mean, deviation = theirs(logits(200), 10)
    scores = split_scores(shuffled, 10)
    assert float(mean) == pytest.approx(float(scores.mean()), rel=1e-5)
    # The deviation of the sample, where the score's own code has that of the population.
    ratio = float(deviation) / float(scores.std(correction=0))
    assert ratio == pytest.approx(math.sqrt(10 / 9), rel=1e-4)  # 1.054

    # 25 pictures in 10 splits: chunks of 3, so there are 9, the last of one picture.
    shuffled, mean, _ = theirs(logits(25), 10)
    nine = torch.cat([split_scores(part, 1) for part in shuffled.split(3)])
    assert len(nine) == 9
    assert float(mean) == pytest.approx(float(nine.mean()), rel=1e-5)
    assert float(mean) != pytest.approx(float(split_scores(shuffled, 10).mean()), rel=0.01)


def test_a_class_that_nobody_predicts_is_no_obstacle(toy):
    scores = torch.full((20, 5), -1e4)
    scores[:, 0] = 0
    assert scored(toy, scores).value == pytest.approx(1)


def test_the_seed_deals_the_pictures_and_is_recorded(toy):
    one, two = scored(toy, logits(), seed=0), scored(toy, logits(), seed=1)
    assert one == scored(toy, logits(), seed=0)
    assert one.value != two.value
    assert (one.params["seed"], two.params["splits"]) == (0, 10)
    assert one.value in one.interval


def test_fewer_pictures_than_splits_is_an_error_not_nan(toy):
    with pytest.raises(ComposeError, match="at least 10"):
        scored(toy, logits(9))
