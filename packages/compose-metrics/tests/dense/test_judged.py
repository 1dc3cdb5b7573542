import pytest
import torch

from compose_core.errors import UsageError
from compose_metrics.dense import (
    DepthMAE,
    DepthOrder,
    DepthRMSE,
    EdgeF1,
    MeanIoU,
    NormalAngle,
    OcclusionIoU,
    PixelAccuracy,
    PositionAccuracy,
)
from compose_metrics.result import Source

JUDGE = Source("tiny-v1", "ab", False)
MAKE = {
    "depth-mae": lambda **k: DepthMAE(**k),
    "depth-rmse": lambda **k: DepthRMSE(**k),
    "depth-order": lambda **k: DepthOrder(**k),
    "occlusion-iou": lambda **k: OcclusionIoU(**k),
    "miou": lambda **k: MeanIoU(3, **k),
    "pixel-accuracy": lambda **k: PixelAccuracy(3, **k),
    "normal-angle": lambda **k: NormalAngle(**k),
    "edge-f1": lambda **k: EdgeF1(**k),
    "position-accuracy": lambda **k: PositionAccuracy(**k),
}


def sample(name, n=3):
    generator = torch.Generator().manual_seed(0)
    real = torch.rand(2, n, 6, 6, generator=generator)
    half = torch.zeros(n, 6, 6, dtype=torch.bool)
    half[..., :3] = True
    classes = torch.randint(3, (2, n, 6, 6), generator=generator)
    vectors = torch.randn(2, n, 3, 6, 6, generator=generator)
    outlines = torch.ones(n, 2, 6, 6, dtype=torch.bool)
    return {
        "depth-order": (real[0], half, ~half),
        "occlusion-iou": (classes[0], outlines),
        "miou": tuple(classes),
        "pixel-accuracy": tuple(classes),
        "normal-angle": tuple(vectors),
        "position-accuracy": (real[0, :, 0] > 0.5,),
    }.get(name, tuple(real))


@pytest.mark.parametrize("name", MAKE)
def test_the_judge_belongs_to_the_name(name):
    plain, seen = MAKE[name](), MAKE[name](judge=JUDGE)
    plain.update(*sample(name))
    seen.update(*sample(name))
    a, b = plain.compute(), seen.compute()
    assert (a.metric, a.extractor) == (name, None)
    assert (b.metric, b.extractor) == (f"{name}@tiny-v1", JUDGE)
    assert a.value == b.value
    with pytest.raises(UsageError):
        plain.merge(seen)


@pytest.mark.parametrize("name", MAKE)
def test_saved_and_merged_states_give_the_same_bytes(name):
    samples = sample(name)
    whole, first, second, again = (MAKE[name]() for _ in range(4))
    whole.update(*samples)
    second.update(*(s[2:] for s in samples), keys=[2])
    first.update(*(s[:2] for s in samples), keys=[0, 1])
    second.merge(first)
    again.load_state_dict(second.state_dict())
    a, b = whole.compute(), again.compute()
    assert (a.value, a.interval, a.parts) == (b.value, b.interval, b.parts)
    assert (a.per_sample is None) == (b.per_sample is None)
    if a.per_sample is not None:
        assert torch.equal(a.per_sample, b.per_sample)


@pytest.mark.parametrize("name", MAKE)
def test_devices_agree(name, device):
    samples = sample(name)
    here, there = MAKE[name](), MAKE[name]()
    here.update(*samples)
    there.update(*(s.to(device) for s in samples))
    assert there.compute().value == pytest.approx(here.compute().value, abs=1e-9)
