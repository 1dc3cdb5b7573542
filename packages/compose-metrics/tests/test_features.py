import pytest
import torch

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics import (
    FID,
    KID,
    FeatureMetrics,
    InceptionScore,
    Precision,
    Statistics,
    StreamedFID,
    manifest,
)
from compose_metrics.features import Extractor, Features, weights_sha256
from compose_metrics.pictures import as_bytes


def all_of(toy, known=None):
    metrics = (FID(toy, known), KID(toy, known), Precision(toy, known), InceptionScore(toy))
    return FeatureMetrics(*metrics)


def test_one_pass_gives_what_each_metric_gives_alone(toy, generated, reference):
    calls = []
    toy.register_forward_hook(lambda *_: calls.append(1))
    together = all_of(toy)
    together.update(generated, reference)
    assert len(calls) == 2
    results = together.compute()
    assert set(results) == {"fid@toy", "kid@toy", "precision@toy", "inception_score@toy"}
    for metric in (FID(toy), KID(toy), Precision(toy), InceptionScore(toy)):
        metric.update(generated, reference)
        assert metric.compute() == results[metric.id]
    assert results["fid@toy"].n_reference == 150
    assert results["inception_score@toy"].n_reference is None
    assert results["kid@toy"].extractor == toy.source


def test_batches_shards_and_order_give_the_same_bytes(toy, generated, reference):
    seen, real = toy.extract(generated), toy.extract(reference)

    def rows(features, numbers):
        return Features(features.features[numbers], features.logits[numbers])

    whole, shards = all_of(toy), [all_of(toy), all_of(toy)]
    whole.update(seen, real)
    mixed = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    for turn, numbers in enumerate(mixed.split(17)):
        shards[turn % 2].update(rows(seen, numbers), keys=numbers)
    for turn, numbers in enumerate(torch.arange(150).flip(0).split(40)):
        shards[turn % 2].update(reference=rows(real, numbers), reference_keys=numbers)
    shards[0].merge(shards[1])
    assert shards[0].compute() == whole.compute()


def test_pictures_and_their_files_are_the_same(toy, generated):
    one, two = toy.extract(generated).features, toy.extract(as_bytes(generated)).features
    assert torch.equal(one, two)


def test_results_come_back_from_a_state(toy, generated, reference):
    first, again = all_of(toy), all_of(toy)
    first.update(generated, reference)
    again.load_state_dict(first.state_dict())
    assert again.compute() == first.compute()
    again.reset()
    with pytest.raises(ComposeError, match="too few generated pictures"):
        again.compute()


def test_synced_does_not_share_pictures(toy, generated, reference):
    metric = FID(toy)
    metric.update(generated, reference)
    copy = metric.synced()
    assert copy.compute() == metric.compute()
    copy.reset()
    assert (copy.n, metric.n) == (0, 120)


def test_a_refused_merge_changes_nothing(toy, generated, reference):
    one, two = FID(toy), FID(toy)
    one.update(generated, reference)
    two.update(generated, reference, keys=range(200, 320))  # new pictures, the same reference
    before = one.compute()
    with pytest.raises(UsageError, match="the reference set already holds"):
        one.merge(two)
    assert one.compute() == before


def test_what_does_not_belong_together_is_refused(toy, other_toy, generated, reference):
    with pytest.raises(UsageError, match="one extractor"):
        FeatureMetrics(FID(toy), KID(other_toy))
    known = Statistics.of(toy, [reference], manifest(["a"]))
    with pytest.raises(UsageError, match="one reference"):
        FeatureMetrics(FID(toy, known), KID(toy))
    with pytest.raises(UsageError, match="known already"):
        FID(toy, known).update(generated, reference)
    one, two = FID(toy), FID(other_toy)  # the same id, other weights
    with pytest.raises(UsageError, match="not one of"):
        one.merge(two)


def test_class_scores_are_needed_by_the_inception_score(toy, generated):
    metric = InceptionScore(toy)
    metric.update(Features(toy.extract(generated).features))
    with pytest.raises(ComposeError, match="needs class scores"):
        metric.compute()


def test_the_identity_of_a_network_is_its_weights(toy, other_toy):
    assert weights_sha256(toy) != weights_sha256(other_toy)
    before = weights_sha256(toy)
    with torch.no_grad():
        toy.see.bias[0] += 1e-3
    assert weights_sha256(toy) != before


def test_extract_leaves_the_network_as_it_was(toy, generated):
    def modes():
        return [module.training for module in toy.modules()]

    assert modes() == [False, True, True]  # the outer module is born in evaluation mode
    toy.see.eval()
    toy.register_forward_hook(lambda *_: during.append(modes()))
    for toy.training in (False, True):
        before, during = modes(), []
        seen = toy.extract(generated.detach().requires_grad_())
        assert (during, modes()) == ([[False] * 3], before)
        assert not seen.features.requires_grad


def test_a_failed_look_leaves_the_network_as_it_was(toy):
    before = [module.training for module in toy.modules()]
    with pytest.raises(ShapeError):
        toy.extract(torch.zeros(2, 3, 8, 8) * float("nan"))
    assert [module.training for module in toy.modules()] == before


def test_features_of_another_shape_are_refused(toy, generated):
    class Wrong(Extractor):
        def forward(self, pictures):
            return Features(pictures.flatten(1))

    with pytest.raises(ShapeError, match="features of toy have the wrong shape"):
        Wrong(toy.source, dim=5, size=4).extract(generated)


def test_given_features_have_the_shape_of_the_extractors(toy, generated):
    seen = toy.extract(generated)
    for metric in (FID(toy), StreamedFID(toy)):
        with pytest.raises(ShapeError, match="features of toy have the wrong shape"):
            metric.update(Features(torch.rand(3, 7)), Features(torch.rand(3, 7)))
        with pytest.raises(ShapeError, match="class scores of toy"):
            metric.update(Features(seen.features, seen.logits[:-1]))
        assert metric.n == 0


def test_results_of_one_id_are_not_dropped(toy):
    with pytest.raises(UsageError, match="precision@toy more than once"):
        FeatureMetrics(Precision(toy, k=1), Precision(toy, k=2))


def test_what_a_metric_has_seen_is_not_dropped(toy, generated, reference):
    used, shown = FID(toy), KID(toy)
    used.update(generated)
    shown.update(reference=reference)
    for metric in (used, shown):
        with pytest.raises(UsageError, match=f"seen nothing[^$]*{metric.id}"):
            FeatureMetrics(metric)
    assert used.n == 120
    taken = FID(toy)
    first = FeatureMetrics(taken)
    with pytest.raises(UsageError, match="stand in another pass"):
        FeatureMetrics(taken, KID(toy))
    first.update(generated)
    assert first.n == taken.n == 120


def test_a_synced_pass_gathers_the_features_once(toy, generated, reference, monkeypatch):
    sent = []

    def gather(state, group):
        sent.append(state)
        return [state]

    monkeypatch.setattr("compose_metrics.features.of_everyone", gather)
    together = all_of(toy)
    together.update(generated, reference)
    copy = together.synced()
    assert len(sent) == 1 and copy.compute() == together.compute()
    copy.reset()
    assert (copy.n, together.n) == (0, 120)


def test_a_network_without_weights_is_not_known_by_them():
    with pytest.raises(UsageError, match="without weights"):
        weights_sha256(torch.nn.ReLU())


def test_broken_features_are_named(toy, generated):
    seen = toy.extract(generated).features.clone()
    seen[5, 3] = float("nan")
    with pytest.raises(ComposeError, match="samples 105"):
        FID(toy).update(Features(seen), keys=range(100, 220))


def test_pictures_go_where_the_network_is(toy, generated, reference, device):
    there = FID(toy.to(device))
    there.update(generated, reference.to(device))
    toy.to("cpu")
    here = FID(toy)
    here.update(generated, reference)
    assert there.compute().value == pytest.approx(here.compute().value, rel=1e-3)
