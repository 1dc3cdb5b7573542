import pytest
import torch

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics.dense import MeanIoU, PixelAccuracy, confusion

C = 5


def labels(n=6, size=12, seed=0, void=True):
    """Truth with unequal classes, and predictions that are right three times out of four."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.2])
    draw = torch.multinomial(weights, 2 * n * size * size, replacement=True, generator=generator)
    truth, other = draw.view(2, n, size, size)
    keep = torch.rand(n, size, size, generator=generator) < 0.75
    predicted = torch.where(keep, truth, other)
    truth = truth.clone()
    if void:
        truth[torch.rand(n, size, size, generator=generator) < 0.15] = 255
    return predicted, truth


def computed(metric, predicted, truth):
    metric.update(predicted, truth)
    return metric.compute()


def test_confusion_counts_every_pixel_once():
    predicted, truth = labels()
    matrix = confusion(predicted, truth, C)
    assert matrix.shape == (6, C + 1, C + 1)
    assert torch.equal(matrix.sum((1, 2)), torch.full((6,), 144))
    assert matrix[2, 1, 3] == ((truth[2] == 1) & (predicted[2] == 3)).sum()
    assert torch.equal(matrix[:, -1].sum(1), (truth == 255).sum((1, 2)))


def test_values_by_hand():
    truth = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 255]]])
    predicted = torch.tensor([[[0, 0, 0, 1], [0, 1, 1, 1]]])
    miou, accuracy = (
        computed(MeanIoU(3), predicted, truth),
        computed(PixelAccuracy(3), predicted, truth),
    )
    assert miou.value == pytest.approx((3 / 5 + 2 / 4) / 2)  # class 2 occurs nowhere
    assert accuracy.value == pytest.approx(5 / 7)
    assert accuracy.parts["void counted"] == pytest.approx(5 / 8)
    assert miou.parts["void counted"] == pytest.approx((3 / 5 + 2 / 5) / 2)
    assert miou.parts["class 1"] == pytest.approx(2 / 4)
    counted = computed(PixelAccuracy(3, convention="counted"), predicted, truth)
    assert counted.value == accuracy.parts["void counted"]
    assert counted.parts["void ignored"] == accuracy.value


def test_agrees_with_torchmetrics_confusion_matrix():
    classification = pytest.importorskip("torchmetrics.functional.classification")
    predicted, truth = labels()
    theirs = classification.multiclass_confusion_matrix(
        predicted, truth, num_classes=C, ignore_index=255
    )
    assert torch.equal(confusion(predicted, truth, C).sum(0)[:C, :C], theirs)
    jaccard = classification.multiclass_jaccard_index(
        predicted, truth, num_classes=C, ignore_index=255, average="macro"
    )
    assert computed(MeanIoU(C), predicted, truth).value == pytest.approx(float(jaccard), abs=1e-6)
    accuracy = classification.multiclass_accuracy(
        predicted, truth, num_classes=C, ignore_index=255, average="micro"
    )
    assert computed(PixelAccuracy(C), predicted, truth).value == pytest.approx(
        float(accuracy), abs=1e-6
    )


def test_mean_iou_of_pictures_is_another_number():
    """torchmetrics' MeanIoU averages pictures; a rare class weighs as much as it is rare here."""
    segmentation = pytest.importorskip("torchmetrics.segmentation")
    truth = torch.zeros(2, 10, 10, dtype=torch.int64)
    truth[0, :, :5] = 1
    truth[1, 0, 0] = 1
    predicted = truth.clone()
    predicted[1, 0, 0] = 0  # one pixel of 200 is wrong
    theirs = segmentation.MeanIoU(num_classes=2, input_format="index")
    theirs.update(predicted, truth)
    ours = computed(MeanIoU(2), predicted, truth).value
    assert ours == pytest.approx((149 / 150 + 50 / 51) / 2)
    assert float(theirs.compute()) == pytest.approx((1 + 1 + 0.99 + 0) / 4, abs=1e-6)
    assert ours - float(theirs.compute()) > 0.2


def test_conventions_agree_without_void():
    predicted, truth = labels(void=False)
    for kind in (MeanIoU, PixelAccuracy):
        result = computed(kind(C), predicted, truth)
        assert result.parts["void counted"] == result.value


def test_shards_give_the_same_bytes():
    predicted, truth = labels()
    for kind in (MeanIoU, PixelAccuracy):
        whole, a, b = kind(C), kind(C), kind(C)
        whole.update(predicted, truth)
        b.update(predicted[3:], truth[3:], keys=[3, 4, 5])
        a.update(predicted[:3], truth[:3])
        b.merge(a)
        first, second = whole.compute(), b.compute()
        assert first.value == second.value
        assert first.interval == second.interval
        assert first.value in first.interval


def test_prediction_of_nothing_is_a_miss():
    truth = torch.zeros(1, 4, 4, dtype=torch.int64)
    predicted = truth.clone()
    predicted[0, 0] = 255
    assert computed(MeanIoU(2), predicted, truth).value == 0.75
    assert computed(PixelAccuracy(2), predicted, truth).value == 0.75


def test_bad_labels_are_named():
    good = torch.zeros(1, 4, 4, dtype=torch.int64)
    with pytest.raises(ComposeError, match="no class") as caught:
        MeanIoU(3).update(good, good + 7)
    assert "[7]" in str(caught.value)
    with pytest.raises(ShapeError):
        MeanIoU(3).update(good, torch.zeros(1, 8, 8, dtype=torch.int64))
    with pytest.raises(UsageError):
        MeanIoU(3, void=2)
    only = PixelAccuracy(3)
    only.update(good, good + 255)
    with pytest.raises(ComposeError, match="only void"):
        only.compute()
