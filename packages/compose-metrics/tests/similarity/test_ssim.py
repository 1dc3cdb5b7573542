import pytest
import torch

from compose_core.errors import ShapeError, UsageError
from compose_metrics.similarity.ssim import SSIM, gaussian, ssim


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(2, 3, 6, 7, generator=generator, dtype=torch.float64)
    a = torch.nn.functional.interpolate(smooth, (48, 40), mode="bicubic").clamp(0, 1)
    noise = 0.1 * torch.randn(a.shape, generator=generator, dtype=torch.float64)
    return a, (a + noise).clamp(0, 1)


def test_it_is_wangs_as_scikit_image_computes_it(pair):
    metrics = pytest.importorskip("skimage.metrics")
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for a, b, value in zip(*pair, ssim(*pair, data_range=1.0), strict=True):
        expected = metrics.structural_similarity(
            a.numpy(), b.numpy(), data_range=1.0, channel_axis=0, **options
        )
        assert float(value) == pytest.approx(expected, abs=1e-12)


def test_torchmetrics_counts_padded_borders_and_so_differs(pair):
    image = pytest.importorskip("torchmetrics.functional.image")
    theirs = image.structural_similarity_index_measure(*pair, data_range=1.0, reduction="none")
    ours = ssim(*pair, data_range=1.0)
    assert float((theirs - ours).abs().min()) > 1e-3
    # Inside a wide frame of one colour the border does not matter: both maps are 1 there.
    framed = [torch.nn.functional.pad(x, [24] * 4, value=0.5) for x in pair]
    height, width = framed[0].shape[2:]
    theirs = image.structural_similarity_index_measure(*framed, data_range=1.0, reduction="none")
    inside = (height - 10) * (width - 10)
    ours = (ssim(*framed, data_range=1.0) * inside + height * width - inside) / (height * width)
    assert float((ours - theirs).abs().max()) < 1e-6


def test_skimages_default_is_another_number(pair):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = (x[0].numpy() for x in pair)
    default = metrics.structural_similarity(a, b, data_range=1.0, channel_axis=0)
    assert abs(default - float(ssim(*pair, data_range=1.0)[0])) > 5e-3


def test_it_is_symmetric_one_on_equals_and_scales_with_the_range(pair):
    a, b = pair
    torch.testing.assert_close(ssim(a, b, data_range=1), ssim(b, a, data_range=1))
    torch.testing.assert_close(ssim(a, a, data_range=1), torch.ones(2).double())
    wide = ssim(255 * a, 255 * b, data_range=255)
    torch.testing.assert_close(ssim(a, b, data_range=1), wide)
    assert float(ssim(a, 1 - a, data_range=1).max()) < 0


def test_two_constants_leave_only_luminance():
    a, b = torch.full((1, 1, 11, 11), 0.2), torch.full((1, 1, 11, 11), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert float(ssim(a, b, data_range=1)) == pytest.approx(expected, rel=1e-6)
    assert float(gaussian().sum()) == pytest.approx(1, abs=1e-15)


def test_the_metric_measures_on_zero_to_one(pair):
    a, b = ((255 * x).round() / 255 for x in pair)  # as files hold them
    metric = SSIM()
    metric.update(2 * a - 1, 2 * b - 1)
    result = metric.compute()
    expected = ssim(a, b, data_range=1)
    torch.testing.assert_close(result.per_sample, expected, atol=1e-12, rtol=0)
    assert result.value == pytest.approx(float(expected.mean()))
    assert result.metric == "ssim" and result.higher_is_better and result.n == 2


def test_what_cannot_be_compared_is_refused(pair):
    a, b = pair
    with pytest.raises(ShapeError, match="smaller than the window"):
        ssim(a[..., :10, :], b[..., :10, :], data_range=1)
    with pytest.raises(ShapeError, match="cannot be compared"):
        ssim(a, b[:1], data_range=1)
    with pytest.raises(UsageError, match="range"):
        ssim(a, b, data_range=0)
    with pytest.raises(ShapeError, match="range"):
        SSIM().update(255 * a, 255 * b)


def test_devices_agree(pair, device):
    there = ssim(*(x.to(device) for x in pair), data_range=1)
    torch.testing.assert_close(there.cpu(), ssim(*pair, data_range=1), rtol=0, atol=1e-12)
