import pytest
import torch

from compose_core.errors import ComposeError
from compose_metrics import Coverage, Density, FeatureMetrics, Precision, Recall
from compose_metrics.distribution.prdc import neighbourhoods
from compose_metrics.features import Features


def gaussian(n, dim=24, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator) + shift


def measured(toy, generated, reference, **k):
    metrics = FeatureMetrics(*(kind(toy, **k) for kind in (Precision, Recall, Density, Coverage)))
    metrics.update(Features(generated), Features(reference))
    return [metrics.compute()[f"{n}@toy"] for n in ("precision", "recall", "density", "coverage")]


def by_hand(x, y, k):
    """Ball by ball, from exact distances."""
    own_x = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    own_y = torch.cdist(y, y, compute_mode="donot_use_mm_for_euclid_dist")
    across = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    reach_x, reach_y = own_x.sort(1).values[:, k], own_y.sort(1).values[:, k]
    inside = across <= reach_y
    precision = inside.any(1).double().mean()
    recall = (across <= reach_x[:, None]).any(0).double().mean()
    density = inside.sum(1).double().mean() / k
    coverage = inside.any(0).double().mean()
    return [float(value) for value in (precision, recall, density, coverage)]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_is_the_definition(toy, k, monkeypatch):
    monkeypatch.setattr("compose_metrics.distribution.prdc.BLOCK", 17)
    x, y = gaussian(60, seed=1, shift=0.1), gaussian(75, seed=2)
    found = [result.value for result in measured(toy, x, y, k=k)]
    assert found == pytest.approx(by_hand(x.double(), y.double(), k), abs=1e-12)


def test_each_sees_its_own_failure(toy):
    """Modes 0 and 20 are real. One missing hurts recall, a foreign one hurts precision."""
    real = torch.cat([gaussian(60, seed=1), gaussian(60, seed=2, shift=20.0)])
    one_mode, foreign = gaussian(120, seed=3), gaussian(60, seed=4, shift=-20.0)
    precision, recall, density, coverage = measured(toy, one_mode, real)
    assert precision.value > 0.7 and recall.value < 0.6
    assert density.value > 0.7 and coverage.value < 0.6
    precision, *_ = measured(toy, torch.cat([one_mode[:60], foreign]), real)
    assert precision.value < 0.6


def test_the_same_set_has_all_of_everything(toy):
    x = gaussian(80)
    precision, recall, density, coverage = measured(toy, x, x.clone())
    assert (precision.value, recall.value, coverage.value) == (1, 1, 1)
    # Each ball holds its own centre too: k + 1 of k.
    assert density.value == pytest.approx(6 / 5, abs=1e-12)


def test_an_outlier_fools_precision_and_not_density(toy):
    """One real outlier has a ball that reaches everywhere (Naeem et al. 2020, figure 2)."""
    real = torch.cat([gaussian(100, seed=1), torch.full((1, 24), 30.0)])
    nonsense = gaussian(100, seed=2, shift=5.0)
    precision, _, density, _ = measured(toy, nonsense, real, k=3)
    assert precision.value > 0.9
    assert density.value < 0.4


def test_torch_fidelity_gives_the_same(toy):
    metric_prc = pytest.importorskip("torch_fidelity.metric_prc")
    x, y = gaussian(60, seed=1, shift=0.1).double(), gaussian(75, seed=2).double()
    theirs = metric_prc.prc_features_to_metric(x, y, prc_neighborhood=3, verbose=False)
    precision, recall, *_ = measured(toy, x, y, k=3)
    assert theirs["precision"] == pytest.approx(precision.value, abs=1e-6)
    assert theirs["recall"] == pytest.approx(recall.value, abs=1e-6)


def test_copies_far_from_the_origin_lie_on_the_surface(toy):
    """Squares of 1e4 leave rounding errors of 1e-8: radius zero must still hold its centre."""
    x = gaussian(10).double().repeat_interleave(4, 0) + 1e4
    precision, *_ = measured(toy, x[::2], x, k=1)
    assert precision.value == 1


def test_what_a_result_holds(toy):
    x, y = gaussian(60, seed=1, shift=0.1), gaussian(75, seed=2)
    precision, recall, density, coverage = measured(toy, x, y)
    assert [r.params["k"] for r in (precision, recall, density, coverage)] == [3, 3, 5, 5]
    assert float(precision.per_sample.mean()) == precision.value
    assert recall.per_sample is None
    assert all(r.value in r.interval for r in (precision, recall, density, coverage))
    assert (recall.n, recall.n_reference) == (60, 75)


def test_too_few_for_neighbours_says_how_many(toy):
    with pytest.raises(ComposeError, match="at least 4"):
        measured(toy, gaussian(3), gaussian(75))
    with pytest.raises(ComposeError, match="the reference set is too small"):
        neighbourhoods(gaussian(75), gaussian(3), 3)
