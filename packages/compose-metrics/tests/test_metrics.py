"""What holds for every metric of the package."""

import inspect
import pkgutil
from dataclasses import dataclass
from importlib import import_module

import pytest
import torch

import compose_metrics
from compose_core.errors import UsageError
from compose_metrics.aesthetic import AestheticHead, AestheticScore
from compose_metrics.alignment.clip_score import CLIPScore
from compose_metrics.alignment.encoders import EncodedTexts
from compose_metrics.alignment.localized import LocalizedSemantics
from compose_metrics.audio.fad import FAD, FADInfinity, SubFAD
from compose_metrics.audio.seams import SeamAudibility
from compose_metrics.audio.separation import SISDRi
from compose_metrics.audio.structure import StructureAgreement
from compose_metrics.compbench import (
    AttributeBinding,
    Complex,
    Detections,
    NonSpatial,
    Numeracy,
    Spatial2D,
    Spatial3D,
)
from compose_metrics.dense.depth import DepthMAE, DepthRMSE
from compose_metrics.dense.fidelity import EdgeF1, NormalAngle
from compose_metrics.dense.front import FrontSeen, Undecided
from compose_metrics.dense.order import DepthOrder, OcclusionIoU
from compose_metrics.dense.position import PositionAccuracy
from compose_metrics.dense.segmentation import MeanIoU, PixelAccuracy
from compose_metrics.distribution import (
    FID,
    KID,
    Coverage,
    Density,
    FIDInfinity,
    InceptionScore,
    Precision,
    Recall,
    StreamedFID,
)
from compose_metrics.features import Extractor, Features
from compose_metrics.metric import Metric, Rows
from compose_metrics.pictures import as_bytes
from compose_metrics.result import Source
from compose_metrics.similarity.lpips import LPIPS
from compose_metrics.similarity.ssim import SSIM


class Net(Extractor):
    def forward(self, pictures):
        features = seen(pictures).mean((2, 3))
        return Features(features, features)


def seen(pictures):
    """Pictures as any model here gets them: on the levels of a PNG, whatever the metric."""
    levels = (pictures + 1) * 127.5
    assert float((levels - levels.round()).abs().max()) < 1e-3
    return pictures


class Eyes:
    """Every model that a metric may ask, each sensitive to any change of a picture."""

    source = Source("eyes", "e" * 64, False)
    transform, size, channels, labels = "none", 16, (3,), ("cat", "dog")

    def __call__(self, pictures):
        return [seen(pictures)]

    def encode_pictures(self, pictures):
        return seen(pictures).flatten(1)

    def encode_texts(self, texts):
        ends = torch.zeros(len(texts), dtype=torch.bool)
        return EncodedTexts(torch.ones(len(texts), 3 * 16 * 16), ends)

    def answer(self, pictures, questions):
        return (seen(pictures).mean((1, 2, 3)) + 1) / 2

    def cosine(self, pictures, texts):
        return seen(pictures).mean((1, 2, 3))

    def nearness(self, pictures):
        return seen(pictures).mean(1)

    def detect(self, pictures):
        boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [8.0, 0.0, 12.0, 4.0]])
        sure = (seen(pictures).mean((1, 2, 3)) + 1) / 2
        return [Detections(boxes, self.labels, one.expand(2)) for one in sure]


@dataclass
class Model:
    """Whatever a metric looks through, as far as its constructor asks."""

    source: Source
    transform = "none"
    channels = (3,)
    size = 8


def net(source):
    return Net(source, dim=3, size=16)


def head(source):
    return AestheticHead(torch.ones(3), torch.zeros(()), source)


FIXED = Model(Source("fixed", "f" * 64, False))
THROUGH = {
    AestheticScore: lambda s: AestheticScore(FIXED, head(s)),
    CLIPScore: lambda s: CLIPScore(Model(s)),
    LocalizedSemantics: lambda s: LocalizedSemantics(Model(s)),
    FAD: lambda s: FAD(Model(s)),
    FADInfinity: lambda s: FADInfinity(Model(s)),
    SubFAD: lambda s: SubFAD(Model(s), ["drums"]),
    StructureAgreement: lambda s: StructureAgreement("key", judge=s),
    AttributeBinding: lambda s: AttributeBinding("color", Model(s)),
    Complex: lambda s: Complex(FIXED, Model(s), FIXED),
    NonSpatial: lambda s: NonSpatial(Model(s)),
    Numeracy: lambda s: Numeracy(Model(s)),
    Spatial2D: lambda s: Spatial2D(Model(s)),
    Spatial3D: lambda s: Spatial3D(FIXED, Model(s)),
    DepthMAE: lambda s: DepthMAE(judge=s),
    DepthRMSE: lambda s: DepthRMSE(judge=s),
    EdgeF1: lambda s: EdgeF1(judge=s),
    NormalAngle: lambda s: NormalAngle(judge=s),
    DepthOrder: lambda s: DepthOrder(judge=s),
    OcclusionIoU: lambda s: OcclusionIoU(judge=s),
    FrontSeen: lambda s: FrontSeen(judge=s),
    Undecided: lambda s: Undecided(judge=s),
    PositionAccuracy: lambda s: PositionAccuracy(judge=s),
    MeanIoU: lambda s: MeanIoU(3, judge=s),
    PixelAccuracy: lambda s: PixelAccuracy(3, judge=s),
    LPIPS: lambda s: LPIPS(Model(s), None),
    **{
        kind: lambda s, kind=kind: kind(net(s))
        for kind in (
            *(FID, KID, Coverage, Density, FIDInfinity),
            *(InceptionScore, Precision, Recall, StreamedFID),
        )
    },
}
"""How each metric that looks through a network is made with a given one."""

EYES, N = Eyes(), 60
LEFT = (torch.arange(16) < 8).float().expand(N, 16, 16)
ASKED = ["a cat on the left of a dog"] * N
OF_PICTURES = {
    AestheticScore: lambda p, r: (
        AestheticScore(EYES, AestheticHead(torch.ones(768), torch.zeros(()), EYES.source)),
        (p,),
    ),
    CLIPScore: lambda p, r: (CLIPScore(EYES), (p, ASKED)),
    LocalizedSemantics: lambda p, r: (LocalizedSemantics(EYES), (p, LEFT, r, p)),
    AttributeBinding: lambda p, r: (AttributeBinding("color", EYES), (p, ASKED)),
    Complex: lambda p, r: (Complex(EYES, EYES, EYES), (p, ASKED, ["both"] * N)),
    NonSpatial: lambda p, r: (NonSpatial(EYES), (p, ASKED)),
    Numeracy: lambda p, r: (Numeracy(EYES, confidence=0), (p, ASKED)),
    Spatial2D: lambda p, r: (Spatial2D(EYES), (p, ASKED)),
    Spatial3D: lambda p, r: (Spatial3D(EYES, EYES), (p, ["a cat behind a dog"] * N)),
    LPIPS: lambda p, r: (LPIPS(EYES, None), (p, r)),
    SSIM: lambda p, r: (SSIM(), (p, r)),
    InceptionScore: lambda p, r: (InceptionScore(net(EYES.source)), (p,)),
    **{
        kind: lambda p, r, kind=kind: (kind(net(EYES.source)), (p, r))
        for kind in (
            *(FID, KID, Coverage, Density, FIDInfinity),
            *(Precision, Recall, StreamedFID),
        )
    },
}
"""How each metric that takes pictures is shown some; the others take maps or sounds."""

WITHOUT = {SISDRi, SSIM, SeamAudibility}
"""Metrics that look through none."""


def test_no_metric_is_forgotten_here():
    found = set()
    for info in pkgutil.walk_packages(compose_metrics.__path__, "compose_metrics."):
        for _, kind in inspect.getmembers(import_module(info.name), inspect.isclass):
            if issubclass(kind, Metric) and getattr(kind, "__final__", False):
                found.add(kind)
    assert found == {*THROUGH, *WITHOUT}


@pytest.mark.parametrize("kind", THROUGH, ids=lambda kind: kind.__name__)
def test_states_seen_through_other_weights_are_refused(kind):
    one, same, other = (THROUGH[kind](Source("net", sha * 64, False)) for sha in "aab")
    assert one.id == other.id and one.params() == other.params()
    one.merge(same)
    with pytest.raises(UsageError, match="not one of"):
        one.merge(other)
    with pytest.raises(UsageError, match="same arguments and weights"):
        one.load_state_dict(other.state_dict())


@pytest.mark.parametrize("kind", OF_PICTURES, ids=lambda kind: kind.__name__)
def test_pictures_and_their_png_are_measured_alike(kind):
    generator = torch.Generator().manual_seed(0)
    shown, real = (torch.rand(N, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2))
    results = []
    for pair in ((shown, real), (as_bytes(shown), as_bytes(real))):
        metric, samples = OF_PICTURES[kind](*pair)
        metric.update(*samples)
        results.append(metric.compute())
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "kind",
    [kind for kind in OF_PICTURES if issubclass(kind, Rows)],
    ids=lambda kind: kind.__name__,
)
def test_a_result_says_how_large_the_pictures_were(kind):
    shown = torch.zeros(N, 3, 16, 16, dtype=torch.uint8)
    shown[:, 0] = 200
    metric, samples = OF_PICTURES[kind](shown, shown)
    metric.update(*samples)
    result = metric.compute()
    assert result.params == {**metric.params(), "resolution": ["16 x 16"]}
    again, _ = OF_PICTURES[kind](shown, shown)
    again.load_state_dict(metric.state_dict())  # an empty metric knows no resolution yet
    assert again.compute() == result
