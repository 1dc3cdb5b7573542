import pytest
import torch

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics.dense import DepthMAE, DepthRMSE


def maps(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(metric, *samples, **named):
    metric.update(*samples, **named)
    return metric.compute().value


def test_minmax_ignores_scale_and_shift_but_not_direction():
    truth = maps(3, 8, 8)
    assert value(DepthMAE("minmax"), 5 * truth + 2, truth) == pytest.approx(0, abs=1e-12)
    assert value(DepthMAE("raw"), 5 * truth + 2, truth) > 2
    # Inverted depth is the mirror image: the error is mean |1 - 2 d| of the stretched truth.
    flat = truth.flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    mirrored = (1 - 2 * (flat - low) / (high - low)).abs().mean()
    assert value(DepthMAE("minmax"), -truth, truth) == pytest.approx(float(mirrored))


def test_scale_shift_is_the_least_squares_fit():
    predicted, truth = maps(1, 6, 7), maps(1, 6, 7, seed=1)
    design = torch.stack([predicted.flatten(), torch.ones(42, dtype=torch.float64)], 1)
    solution = torch.linalg.lstsq(design, truth.flatten()[:, None]).solution
    residual = (design @ solution).flatten() - truth.flatten()
    rmse = value(DepthRMSE("scale-shift"), predicted, truth)
    assert rmse == pytest.approx(float((residual**2).mean().sqrt()))
    assert rmse <= value(DepthRMSE("raw"), predicted, truth)
    assert value(DepthRMSE("scale-shift"), -3 * truth + 1, truth) == pytest.approx(0, abs=1e-12)


def test_mask_hides_infinite_sky():
    truth = maps(2, 4, 4)
    predicted = truth.clone()
    predicted[:, 0] = float("inf")
    truth[:, 0] = float("inf")
    valid = torch.ones(2, 4, 4, dtype=torch.bool)
    valid[:, 0] = False
    for alignment in ("raw", "minmax", "scale-shift"):
        assert value(DepthMAE(alignment), predicted, truth, valid=valid) == pytest.approx(
            0, abs=1e-12
        )
    with pytest.raises(ComposeError, match="finite"):
        DepthMAE().update(predicted, truth)


def test_flat_prediction_is_finite():
    truth = maps(1, 4, 4)
    flat = torch.full_like(truth, 0.3)
    for alignment in ("minmax", "scale-shift", "raw"):
        assert 0 < value(DepthMAE(alignment), flat, truth) < 1


def test_order_and_batches_do_not_matter():
    predicted, truth = maps(6, 4, 4), maps(6, 4, 4, seed=1)
    whole, parts, rest = DepthMAE(), DepthMAE(), DepthMAE()
    whole.update(predicted, truth)
    parts.update(predicted[4:], truth[4:], keys=[4, 5])
    rest.update(predicted[:4], truth[:4], keys=[0, 1, 2, 3])
    parts.merge(rest)
    a, b = whole.compute(), parts.compute()
    assert a.value == b.value
    assert torch.equal(a.per_sample, b.per_sample)
    assert a.interval == b.interval
    assert not a.higher_is_better


def test_alignments_do_not_mix():
    with pytest.raises(UsageError):
        DepthMAE("raw").merge(DepthMAE("minmax"))
    with pytest.raises(UsageError, match="alignment"):
        DepthMAE("median")  # type: ignore[arg-type]


def test_bad_input_is_named():
    with pytest.raises(ShapeError, match="same pixels"):
        DepthMAE().update(maps(2, 4, 4), maps(2, 8, 8))
    with pytest.raises(ShapeError):
        DepthMAE().update(maps(2, 3, 4, 4), maps(2, 3, 4, 4))
    empty = torch.ones(2, 4, 4, dtype=torch.bool)
    empty[1] = False
    with pytest.raises(ComposeError, match="no pixel") as caught:
        DepthMAE().update(maps(2, 4, 4), maps(2, 4, 4), valid=empty)
    assert "pictures 1 of" in str(caught.value)
    with pytest.raises(ComposeError, match="too few"):
        DepthMAE().compute()
