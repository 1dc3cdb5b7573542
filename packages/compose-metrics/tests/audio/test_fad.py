import pytest
import torch

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics.audio.fad import FAD, FADInfinity, SubFAD, mixture
from compose_metrics.result import Source

RATE = 100


class Blocks:
    """Every four samples are a vector: Gaussian noise gives Gaussian vectors."""

    source = Source(id="blocks", sha256="", reference=False)
    rate, dim, transform = RATE, 4, "blocks of four"

    def embed(self, samples):
        return samples[: len(samples) // 4 * 4].view(-1, 4)


def noise(n, length, seed, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return shift + scale * torch.randn(n, length, generator=generator, dtype=torch.float64)


def test_gaussians_give_their_closed_form():
    # Independent of scale s and mean m: d2 = 4 (m^2 + (s - 1)^2) for four equal coordinates.
    metric = FAD(Blocks())
    metric.update(noise(40, 8000, 1, 2.0, 0.5), noise(40, 8000, 2), rate=RATE)
    result = metric.compute()
    assert result.value == pytest.approx(4 * (0.25 + 1), rel=0.02)
    assert result.n == 40 and result.n_reference == 40 and not result.higher_is_better
    assert result.metric == "fad@blocks" and result.parts["vectors_generated"] == 80_000
    assert 5 in result.interval


def test_it_equals_torchaudio_on_the_same_vectors():
    functional = pytest.importorskip("torchaudio.functional")
    a, b = noise(5, 800, 3, 1.5), noise(7, 400, 4, 1.0, 0.2)
    metric = FAD(Blocks())
    metric.update(a, b, rate=RATE)
    x, y = a.reshape(-1, 4), b.reshape(-1, 4)
    theirs = functional.frechet_distance(x.mean(0), x.T.cov(), y.mean(0), y.T.cov())
    assert metric.compute().value == pytest.approx(float(theirs), rel=1e-9)
    same = FAD(Blocks())
    same.update(a, a, rate=RATE)
    assert abs(same.compute().value) < 1e-9


def test_order_batches_and_shards_do_not_matter():
    sounds = [noise(1, 40 * (i + 1), i)[0] for i in range(6)]
    real = noise(4, 200, 9)
    whole = FAD(Blocks())
    whole.update(sounds, real, rate=RATE)
    left, right = FAD(Blocks()), FAD(Blocks())
    left.update([sounds[4], sounds[1]], real[2:], rate=RATE, keys=[4, 1], reference_keys=[2, 3])
    right.update(sounds[2:4], real[:2], rate=RATE, keys=[2, 3], reference_keys=[0, 1])
    right.update([sounds[5], sounds[0]], rate=RATE, keys=[5, 0])
    right.merge(left)
    assert right.compute().to_json() == whole.compute().to_json()
    again = FAD(Blocks())
    again.load_state_dict(whole.state_dict())
    again.update([sounds[0]], rate=RATE)
    assert again.n == 7
    with pytest.raises(UsageError, match="already holds"):
        whole.merge(left)
    assert whole.n == 6 and whole.synced().compute().value == whole.compute().value
    assert whole.n == 6


def test_other_rates_and_channels_are_brought_to_the_embedder():
    x = noise(3, 4000, 1)
    stereo, mono = FAD(Blocks()), FAD(Blocks())
    mono.update(x, x, rate=2 * RATE)
    stereo.update(torch.stack([x + 0.1, x - 0.1], 1), x, rate=2 * RATE)
    assert mono.compute().parts["vectors_generated"] == 3 * 500
    assert stereo.compute().value == pytest.approx(mono.compute().value, abs=1e-9)


def test_infinity_takes_the_bias_off():
    small = FAD(Blocks())
    fit = FADInfinity(Blocks())
    for metric in (small, fit):
        metric.update(noise(60, 16, 1), noise(60, 4000, 2), rate=RATE)
    result = fit.compute()
    assert result.parts["slope"] > 0 and result.parts["at_n"] == small.compute().value
    assert abs(result.value) < small.compute().value
    assert result.metric == "fad_infinity@blocks"
    few = FADInfinity(Blocks())
    few.update(noise(29, 16, 1), noise(60, 40, 2), rate=RATE)
    with pytest.raises(ComposeError, match="too few") as caught:
        few.compute()
    assert "at least 30" in str(caught.value)


def test_sub_fad_measures_the_sum_of_given_and_generated():
    given, made, real = (noise(4, 400, seed) for seed in (1, 2, 3))
    metric, plain = SubFAD(Blocks(), ["piano"]), FAD(Blocks())
    metric.update({"piano": made}, {"bass": given}, {"bass": real, "piano": made}, rate=RATE)
    plain.update(given + made, real + made, rate=RATE)
    assert metric.compute().value == pytest.approx(plain.compute().value, rel=1e-12)
    assert metric.id == "sub_fad@blocks" and metric.params()["generated"] == ["piano"]
    with pytest.raises(UsageError, match="do not make the songs"):
        metric.update({"bass": made}, {"piano": given}, {"bass": real, "piano": made}, rate=RATE)
    with pytest.raises(UsageError, match="no stems"):
        SubFAD(Blocks(), "piano")
    with pytest.raises(ShapeError, match="fit together"):
        mixture({"bass": given, "piano": made[:, :8]})


def test_bad_sounds_are_named_and_nothing_is_kept():
    metric = FAD(Blocks())
    with pytest.raises(ShapeError, match="generated sound 1 holds"):
        metric.update([torch.ones(8), torch.full((8,), float("nan"))], rate=RATE)
    with pytest.raises(ShapeError, match="reference sound 0 is no wave"):
        metric.update([torch.ones(8)], [torch.ones(8, dtype=torch.int16)], rate=RATE)
    with pytest.raises(UsageError, match="empty batch"):
        metric.update([], rate=RATE)
    assert metric.n == 0 and metric.n_reference == 0
    with pytest.raises(ComposeError, match="too few generated sounds"):
        metric.compute()
