import math

import pytest
import torch

from compose_core.errors import ComposeError
from compose_metrics import FID, FIDInfinity, Statistics, StreamedFID, manifest
from compose_metrics.features import Features
from compose_metrics.frechet import frechet_distance
from compose_metrics.pictures import as_bytes

GOLDEN = 0.14324514


def gaussian(n, dim, seed, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator, dtype=torch.float64) + shift


def measured(metric, generated, reference):
    metric.update(generated, reference)
    return metric.compute()


def test_a_golden_value(toy, generated, reference):
    """Version 1 gives this; another value needs another version."""
    result = measured(FID(toy), generated, reference)
    assert result.version == 1
    assert result.value == pytest.approx(GOLDEN, rel=1e-4)
    assert result.value in result.interval


def test_it_knows_nothing_of_pairs_and_all_of_difference(toy, generated, reference):
    near = measured(FID(toy), reference.flip(0)[:140], reference).value
    far = measured(FID(toy), generated * 0.3, reference).value
    assert 0 < near < measured(FID(toy), generated, reference).value < far


def test_torchmetrics_gives_the_same_in_single_precision(toy, generated, reference):
    fid = pytest.importorskip("torchmetrics.image.fid")

    class Same(torch.nn.Module):
        num_features = 24

        def forward(self, pictures):
            return toy.extract(pictures).features

    theirs = fid.FrechetInceptionDistance(feature=Same())
    for real, pictures in ((True, reference), (False, generated)):
        for batch in pictures.split(50):
            theirs.update(batch, real=real)
    ours = measured(FID(toy), generated, reference).value
    assert float(theirs.compute()) == pytest.approx(ours, rel=1e-5)
    # It rounds its float64 distance to the dtype of the features.
    assert theirs.compute().dtype == torch.float32


def test_torch_fidelity_gives_the_same(toy, generated, reference):
    fidelity = pytest.importorskip("torch_fidelity")
    base = pytest.importorskip("torch_fidelity.feature_extractor_base")

    class Same(base.FeatureExtractorBase):
        def __init__(self, name, features_list, **_):
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list():
            return ("features",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "features"

        @staticmethod
        def can_be_compiled():
            return False

        def forward(self, pictures):
            return (toy.extract(pictures).features.double(),)

    class Pictures(torch.utils.data.Dataset):
        def __init__(self, pictures):
            self.pictures = as_bytes(pictures)

        def __len__(self):
            return len(self.pictures)

        def __getitem__(self, i):
            return self.pictures[i]

    fidelity.register_feature_extractor("same-as-ours", Same)
    theirs = fidelity.calculate_metrics(
        input1=Pictures(generated),
        input2=Pictures(reference),
        feature_extractor="same-as-ours",
        fid=True,
        cuda=False,
        save_cpu_ram=True,
        cache=False,
        verbose=False,
    )["frechet_inception_distance"]
    assert theirs == pytest.approx(measured(FID(toy), generated, reference).value, rel=1e-6)


def test_streaming_gives_the_same(toy, generated, reference):
    plain = measured(FID(toy), generated, reference)
    parts = [StreamedFID(toy), StreamedFID(toy)]
    for turn, numbers in enumerate(torch.arange(120).split(13)):
        parts[turn % 2].update(generated[numbers], keys=numbers)
    parts[1].update(reference=reference)
    parts[0].merge(parts[1])
    result = parts[0].compute()
    assert result.value == pytest.approx(plain.value, rel=1e-9)
    assert (result.metric, result.n, result.n_reference) == (plain.metric, 120, 150)
    again = StreamedFID(toy)
    again.load_state_dict(parts[0].state_dict())
    assert again.compute() == result
    known = StreamedFID(toy, Statistics.of(toy, [reference], manifest(["a"]), rows=False))
    known.update(generated)
    assert known.compute().value == pytest.approx(plain.value, rel=1e-9)


def test_a_refused_batch_leaves_a_stream_as_it_was(toy, generated, reference):
    stream = StreamedFID(toy)
    stream.update(generated[:30], reference[:30])
    before = stream.compute()
    bad = [
        ((generated[30:60], reference[30:60] * 5), {}),
        ((Features(torch.rand(3, 7)), None), {}),
        ((generated[30:60], reference[30:60]), {"reference_keys": range(30)}),
    ]
    for batch, keys in bad:
        with pytest.raises(ComposeError):
            stream.update(*batch, **keys)
        assert stream.n == 30 and stream.compute() == before
    state = stream.state_dict() | {"generated.keys": torch.arange(100, 130)}
    foreign = state | {"generated.mean": torch.zeros(7), "generated.scatter": torch.zeros(7, 7)}
    for damaged in (foreign, state):  # the second holds the reference pictures once more
        with pytest.raises(ComposeError):
            stream._absorb(stream._checked(damaged))
        assert stream.n == 30 and stream.compute() == before
    stream.update(generated[30:], reference[30:])
    whole = StreamedFID(toy)
    whole.update(generated, reference)
    assert stream.compute().value == pytest.approx(whole.compute().value, rel=1e-9)


def test_the_interval_covers_what_other_draws_give(toy):
    """The jackknife's spread is that of the value over independent sets of pictures."""
    metric, dim, n = FID(toy), 24, 400
    real = gaussian(2000, dim, 1000)
    values = [frechet_distance(gaussian(n, dim, s, 0.2), real) for s in range(40)]
    spread = float(torch.tensor(values, dtype=torch.float64).std())
    metric.update(Features(gaussian(n, dim, 7, 0.2)), Features(real))
    interval = metric.compute().interval
    half = (interval.high - interval.low) / 2
    assert half / 2.26 == pytest.approx(spread, rel=0.6)


def test_infinity_takes_the_bias_away(toy):
    """Both sets from one distribution: the true distance to its Gaussian is 0."""
    dim = 24
    real = gaussian(20_000, dim, 1)
    plain, infinite = FID(toy), FIDInfinity(toy)
    for metric in (plain, infinite):
        metric.update(Features(gaussian(1000, dim, 2)), Features(real))
    biased, found = plain.compute().value, infinite.compute()
    # Of the mean D / n, of the covariance D (D + 1) / (4 n).
    slope = dim + dim * (dim + 1) / 4
    assert biased == pytest.approx(slope / 1000, rel=0.2)
    assert abs(found.value) < biased / 5
    assert found.parts["at_n"] == pytest.approx(biased, rel=1e-12)
    assert found.parts["slope"] == pytest.approx(slope, rel=0.3)
    assert found.metric == "fid_infinity@toy"


def test_too_few_pictures_say_how_many(toy, generated, reference):
    with pytest.raises(ComposeError, match="at least 2"):
        measured(FID(toy), generated[:1], reference)
    with pytest.raises(ComposeError, match="too few reference pictures"):
        measured(FID(toy), generated, None)
    with pytest.raises(ComposeError, match="at least 50"):
        measured(FIDInfinity(toy), generated[:49], reference)


def test_fewer_pictures_than_features_is_fine(toy, generated, reference):
    result = measured(FID(toy), generated[:12], reference[:9])
    assert result.value > 0 and result.interval is None
    assert math.isfinite(measured(FID(toy), generated[:22], reference[:9]).interval.high)
