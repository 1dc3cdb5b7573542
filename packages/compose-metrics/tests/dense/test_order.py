import pytest
import torch

from compose_core.errors import ComposeError
from compose_metrics.dense import DepthOrder, OcclusionIoU, contested


def box(y0, y1, x0, x1, size=8):
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[y0:y1, x0:x1] = True
    return mask


FRONT, BACK = box(2, 6, 0, 5), box(2, 6, 3, 8)


def scene(front=2.0, back=1.0):
    depth = torch.zeros(1, 8, 8)
    depth[0, BACK] = back
    depth[0, FRONT] = front
    return depth


def test_order_is_the_sign_of_the_difference():
    metric = DepthOrder()
    for front, back in ((2, 1), (1, 2), (1, 1), (3, 1)):
        metric.update(scene(front, back), FRONT[None], BACK[None])
    result = metric.compute()
    assert result.per_sample.tolist() == [1, 0, 0, 1]  # a tie shows no order
    assert result.value == 0.5
    assert result.interval.how == "Wilson score"
    assert result.parts["margin"] == pytest.approx((1 / 3 - 1 / 3 + 0 + 1 / 2) / 4)


def test_metres_run_the_other_way():
    metric = DepthOrder(nearer="smaller")
    metric.update(scene(1, 2), FRONT[None], BACK[None])
    assert metric.compute().value == 1


def test_order_does_not_depend_on_monotone_depth():
    depth = torch.rand(40, 8, 8, generator=torch.Generator().manual_seed(0))
    # Odd numbers of pixels: a median is one of the values, so that monotone maps keep order.
    front, back = (m.expand(40, -1, -1) for m in (box(2, 5, 0, 3), box(2, 5, 4, 7)))
    plain, bent = DepthOrder(), DepthOrder()
    plain.update(depth, front, back)
    bent.update((3 * depth).exp(), front, back)
    assert torch.equal(plain.compute().per_sample, bent.compute().per_sample)
    assert 0 < plain.compute().value < 1


def test_shared_pixels_count_for_neither():
    depth = scene(2, 1)
    depth[0, FRONT & BACK] = -100.0
    metric = DepthOrder()
    metric.update(depth, FRONT[None], BACK[None])
    assert metric.compute().value == 1
    with pytest.raises(ComposeError, match="no pixel"):
        metric.update(depth, FRONT[None], FRONT[None])


def test_occlusion_right_swapped_and_half():
    outlines = torch.stack([FRONT, BACK])[None]
    area = contested(outlines)
    assert area.sum() == 8
    seen = torch.full((1, 8, 8), -1)
    seen[0, BACK], seen[0, FRONT] = 1, 0
    swapped = seen.clone()
    swapped[area] = 1
    half = seen.clone()
    half[0, 2:4, 3:5] = 1
    nobody = torch.full((1, 8, 8), -1)
    metric = OcclusionIoU()
    for owners in (seen, swapped, half, nobody):
        metric.update(owners, outlines)
    assert metric.compute().per_sample.tolist() == [1, 0, 0.5, 0]


def test_what_happens_elsewhere_does_not_matter():
    outlines = torch.stack([FRONT, BACK])[None]
    noise = torch.randint(-1, 2, (1, 8, 8), generator=torch.Generator().manual_seed(0))
    noise[contested(outlines)] = 0
    metric = OcclusionIoU()
    metric.update(noise, outlines)
    assert metric.compute().value == 1


def test_three_layers_are_averaged_over_those_to_be_seen():
    # The third lies below both; it should be seen in no contested pixel.
    third = box(2, 6, 3, 5)
    outlines = torch.stack([FRONT, BACK, third])[None]
    metric = OcclusionIoU()
    metric.update(torch.zeros(1, 8, 8, dtype=torch.int64), outlines)
    assert metric.compute().value == 1
    # Now the order of two pairs matters: 0 over 1 on one side, 1 over 2 on the other.
    right = box(2, 6, 6, 8)
    outlines = torch.stack([FRONT, BACK, right])[None]
    metric = OcclusionIoU()
    metric.update(torch.ones(1, 8, 8, dtype=torch.int64), outlines)
    # 0 is nowhere (IoU 0); 1 has its 8 pixels, and the 8 that belong to 0 (IoU 1 / 2).
    assert metric.compute().value == pytest.approx(0.25)


def test_nothing_contested_is_an_error():
    apart = torch.stack([box(0, 2, 0, 2), box(4, 6, 4, 6)])[None]
    with pytest.raises(ComposeError, match="overlaps"):
        OcclusionIoU().update(torch.zeros(1, 8, 8, dtype=torch.int64), apart)
