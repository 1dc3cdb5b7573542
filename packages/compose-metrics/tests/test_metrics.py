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
from compose_metrics.alignment.localized import LocalizedSemantics
from compose_metrics.audio.fad import FAD, FADInfinity, SubFAD
from compose_metrics.audio.separation import SISDRi
from compose_metrics.compbench import (
    AttributeBinding,
    Complex,
    NonSpatial,
    Numeracy,
    Spatial2D,
    Spatial3D,
)
from compose_metrics.dense.depth import DepthMAE, DepthRMSE
from compose_metrics.dense.fidelity import EdgeF1, NormalAngle
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
from compose_metrics.metric import Metric
from compose_metrics.result import Source
from compose_metrics.similarity.lpips import LPIPS
from compose_metrics.similarity.ssim import SSIM


class Net(Extractor):
    def forward(self, pictures):
        return Features(pictures.mean((2, 3)))


@dataclass
class Model:
    """Whatever a metric looks through, as far as its constructor asks."""

    source: Source
    transform = "none"
    channels = (3,)
    size = 8


def net(source):
    return Net(source, dim=3, size=8)


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

WITHOUT = {SISDRi, SSIM}
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
