"""What the tests of this package share.

Libraries that are compared with may be missing: then those tests are skipped, unless
`COMPOSE_REQUIRE_ORACLES=1` says that they have to be there. Then a skip for a missing library is a
failure, so that a run in which they do not import cannot be green and empty.
"""

import os

import pytest
import torch
from torch import nn

from compose_core.testing.devices import device  # noqa: F401 (a fixture)
from compose_metrics.features import Extractor, Features, weights_sha256
from compose_metrics.result import Source


def _required(report):
    """Turn a skip for a library that cannot be imported into a failure, where it is required."""
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    if "could not import" in reason and os.environ.get("COMPOSE_REQUIRE_ORACLES") == "1":
        report.outcome, report.longrepr = "failed", f"COMPOSE_REQUIRE_ORACLES=1, and: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return _required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _required((yield))


class Toy(Extractor):
    """A small random network: 24 features, 10 classes, pictures of 16 x 16."""

    def __init__(self, seed: int = 0, name: str = "toy") -> None:
        generator = torch.Generator().manual_seed(seed)
        see, name_it = nn.Conv2d(3, 24, 5, stride=3), nn.Linear(24, 10)
        for module in (see, name_it):
            module.requires_grad_(False)
            module.weight.normal_(0, 0.3, generator=generator)
            module.bias.normal_(0, 0.3, generator=generator)
        digest = weights_sha256(nn.ModuleList([see, name_it]))
        super().__init__(Source(name, digest, reference=False), dim=24, size=16)
        self.see, self.name_it = see, name_it

    def forward(self, pictures):
        features = self.see(pictures).relu().mean((2, 3))
        return Features(features, self.name_it(features) * 3)


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def other_toy() -> Toy:
    return Toy(seed=1)


def draw_pictures(n: int, seed: int, power: float = 1.0, size: int = 20) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    blobs = torch.rand(n, 3, 4, 4, generator=generator) * 2 - 1
    smooth = nn.functional.interpolate(blobs, size, mode="bilinear", align_corners=False)
    return smooth.sign() * smooth.abs() ** power


@pytest.fixture
def generated() -> torch.Tensor:
    return draw_pictures(120, seed=1, power=1.3)


@pytest.fixture
def reference() -> torch.Tensor:
    return draw_pictures(150, seed=2)
