"""The Inception of FID: the 2015-12-05 TensorFlow graph, as ported to torch.

It is not torchvision's network. It classifies 1008 classes; its average pools leave the padding
out of the mean; and the last block pools by maximum. Only these weights give a number called FID.
Parameter names are those of the port that torch-fidelity and pytorch-fid publish.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_core.errors import UsageError
from compose_metrics.extractor import Extractor, Features
from compose_metrics.features import CANONICAL
from compose_metrics.pictures import taken
from compose_metrics.result import Source
from compose_metrics.weights import Weights, fill, finite, read

Resizing = Literal["clean", "tf1"]
Kernel = tuple[int, int]
Pool = Literal["", "average", "max", "reduce"]

SIZE = 299
CLASSES = 1008


class _Conv(nn.Module):
    """Convolution without bias, normalisation with TensorFlow's epsilon, ReLU."""

    def __init__(self, inside: int, width: int, kernel: Kernel, stride: int, same: bool) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if same else 0
        self.conv = nn.Conv2d(inside, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Unit(NamedTuple):
    """A convolution of a path, by the name of its parameters; stride 2 shrinks unpadded."""

    name: str
    width: int
    kernel: Kernel = (1, 1)
    stride: int = 1


class _Path(NamedTuple):
    """One branch: a pool, then steps; the units of a step stand side by side."""

    steps: tuple[tuple[_Unit, ...], ...] = ()
    pool: Pool = ""


def _pooled(x: Tensor, pool: Pool) -> Tensor:
    if pool == "average":
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    if pool == "max":
        return F.max_pool2d(x, 3, 1, 1)
    return F.max_pool2d(x, 3, 2) if pool == "reduce" else x


class _Block(nn.Module):
    """Paths side by side, their outputs joined over the channels."""

    def __init__(self, inside: int, paths: tuple[_Path, ...]) -> None:
        super().__init__()
        self.paths = paths
        for path in paths:
            before = inside
            for step in path.steps:
                for name, width, kernel, stride in step:
                    self.add_module(name, _Conv(before, width, kernel, stride, stride == 1))
                before = sum(unit.width for unit in step)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._follow(path, x) for path in self.paths], 1)

    def _follow(self, path: _Path, x: Tensor) -> Tensor:
        x = _pooled(x, path.pool)
        for step in path.steps:
            x = torch.cat([self.get_submodule(unit.name)(x) for unit in step], 1)
        return x


def _chain(*units: _Unit, pool: Pool = "") -> _Path:
    return _Path(tuple((unit,) for unit in units), pool)


def _a(pooled: int) -> tuple[_Path, ...]:
    """35 x 35: one by one, five by five, two times three by three, pool."""
    return (
        _chain(_Unit("branch1x1", 64)),
        _chain(_Unit("branch5x5_1", 48), _Unit("branch5x5_2", 64, (5, 5))),
        _chain(
            _Unit("branch3x3dbl_1", 64),
            _Unit("branch3x3dbl_2", 96, (3, 3)),
            _Unit("branch3x3dbl_3", 96, (3, 3)),
        ),
        _chain(_Unit("branch_pool", pooled), pool="average"),
    )


def _b() -> tuple[_Path, ...]:
    """35 x 35 to 17 x 17."""
    return (
        _chain(_Unit("branch3x3", 384, (3, 3), 2)),
        _chain(
            _Unit("branch3x3dbl_1", 64),
            _Unit("branch3x3dbl_2", 96, (3, 3)),
            _Unit("branch3x3dbl_3", 96, (3, 3), 2),
        ),
        _Path(pool="reduce"),
    )


def _c(inner: int) -> tuple[_Path, ...]:
    """17 x 17: seven by seven as products of rows and columns."""
    across, down = (1, 7), (7, 1)
    return (
        _chain(_Unit("branch1x1", 192)),
        _chain(
            _Unit("branch7x7_1", inner),
            _Unit("branch7x7_2", inner, across),
            _Unit("branch7x7_3", 192, down),
        ),
        _chain(
            _Unit("branch7x7dbl_1", inner),
            _Unit("branch7x7dbl_2", inner, down),
            _Unit("branch7x7dbl_3", inner, across),
            _Unit("branch7x7dbl_4", inner, down),
            _Unit("branch7x7dbl_5", 192, across),
        ),
        _chain(_Unit("branch_pool", 192), pool="average"),
    )


def _d() -> tuple[_Path, ...]:
    """17 x 17 to 8 x 8."""
    return (
        _chain(_Unit("branch3x3_1", 192), _Unit("branch3x3_2", 320, (3, 3), 2)),
        _chain(
            _Unit("branch7x7x3_1", 192),
            _Unit("branch7x7x3_2", 192, (1, 7)),
            _Unit("branch7x7x3_3", 192, (7, 1)),
            _Unit("branch7x7x3_4", 192, (3, 3), 2),
        ),
        _Path(pool="reduce"),
    )


def _e(pool: Pool) -> tuple[_Path, ...]:
    """8 x 8: rows and columns side by side. The graph of 2015 ends with a maximum as its pool."""
    return (
        _chain(_Unit("branch1x1", 320)),
        _Path(((_Unit("branch3x3_1", 384),), _cross("branch3x3_2"))),
        _Path(
            (
                (_Unit("branch3x3dbl_1", 448),),
                (_Unit("branch3x3dbl_2", 384, (3, 3)),),
                _cross("branch3x3dbl_3"),
            )
        ),
        _chain(_Unit("branch_pool", 192), pool=pool),
    )


def _cross(name: str) -> tuple[_Unit, _Unit]:
    return _Unit(f"{name}a", 384, (1, 3)), _Unit(f"{name}b", 384, (3, 1))


_STEM = (
    ("Conv2d_1a_3x3", 3, 32, 3, 2, False),
    ("Conv2d_2a_3x3", 32, 32, 3, 1, False),
    ("Conv2d_2b_3x3", 32, 64, 3, 1, True),
    ("", 0, 0, 0, 0, False),
    ("Conv2d_3b_1x1", 64, 80, 1, 1, False),
    ("Conv2d_4a_3x3", 80, 192, 3, 1, False),
    ("", 0, 0, 0, 0, False),
)
_BLOCKS = (
    ("Mixed_5b", 192, _a(32)),
    ("Mixed_5c", 256, _a(64)),
    ("Mixed_5d", 288, _a(64)),
    ("Mixed_6a", 288, _b()),
    ("Mixed_6b", 768, _c(128)),
    ("Mixed_6c", 768, _c(160)),
    ("Mixed_6d", 768, _c(160)),
    ("Mixed_6e", 768, _c(192)),
    ("Mixed_7a", 768, _d()),
    ("Mixed_7b", 1280, _e("average")),
    ("Mixed_7c", 2048, _e("max")),
)


class InceptionNet(nn.Module):
    """From normalised pictures (B, 3, 299, 299) to 2048 features; ``fc`` gives the logits."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        for name, inside, width, kernel, stride, same in _STEM:
            if name:
                self.add_module(name, _Conv(inside, width, (kernel, kernel), stride, same))
        for name, inside, paths in _BLOCKS:
            self.add_module(name, _Block(inside, paths))
        self.fc = nn.Linear(2048, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, 2048)."""
        for name, *_ in _STEM:
            x = self.get_submodule(name)(x) if name else F.max_pool2d(x, 3, 2)
        for name, *_ in _BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))


class Inception2015(Extractor):
    """What FID, KID and the Inception Score measure with.

    ``resizing`` says how a picture comes to 299 x 299: ``clean``, antialiased bicubic as in
    clean-fid (the default), or ``tf1``, the unsmoothed bilinear of the 2015 graph as in
    torch-fidelity. The two give different numbers, so the second has another id.

    Args:
        network: The network itself; `load` reads the published one.
        source: Its identity.
        resizing: How pictures are resized.
    """

    def __init__(
        self, network: InceptionNet, source: Source, resizing: Resizing = "clean"
    ) -> None:
        """Raise UsageError for an unknown resizing."""
        if resizing not in ("clean", "tf1"):
            raise UsageError("unknown resizing", got=resizing, expected="clean or tf1")
        super().__init__(source, dim=2048, size=SIZE, transform="(x - 128) / 128 of 255 levels")
        self.network = network.eval().requires_grad_(False)
        self.resizing: Resizing = resizing
        if resizing == "tf1":
            self.transform = self.transform.replace(
                "bicubic antialiased", "bilinear of TensorFlow 1, unsmoothed,"
            )

    @classmethod
    def load(cls, weights: Weights, resizing: Resizing = "clean") -> Inception2015:
        """Read the published weights from a safetensors file.

        Raises:
            WeightsError: The file is missing, a pickle, or of another network.
        """
        found = read(weights)
        finite(found.tensors, "the Inception of FID")
        with torch.device("meta"):
            network = InceptionNet()
        fill(network, found, "the Inception of FID")
        name = CANONICAL if resizing == "clean" else f"{CANONICAL}-{resizing}"
        return cls(network, Source(id=name, sha256=found.sha256, reference=True), resizing)

    def prepare(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, 299, 299) in [-1, 1]: checked, rounded as a PNG, resized."""
        if self.resizing == "clean":
            return super().prepare(pictures)
        return resize_tf1(taken(pictures), SIZE)

    def forward(self, pictures: Tensor) -> Features:
        """Features (B, 2048), and logits (B, 1008) without their bias.

        The original Inception Score was computed without the bias, and so are all its heirs.
        """
        levels = (pictures.to(self.network.fc.weight.device) + 1) * 127.5
        features = self.network((levels - 128) / 128)
        return Features(features, features @ self.network.fc.weight.T)


def resize_tf1(x: Tensor, size: int) -> Tensor:
    """The bilinear resize (B, C, H, W) to (B, C, size, size) of TensorFlow 1.

    Pixel i of the new picture is taken at i * old / new: corners, not centres, are aligned, and
    nothing is smoothed when shrinking.
    """
    for axis in (2, 3):
        old = x.shape[axis]
        place = torch.arange(size, dtype=x.dtype, device=x.device) * torch.tensor(
            old / size, dtype=torch.float32
        )
        low = place.long()
        part = (place - low).view(-1, *[1] * (3 - axis))
        left = x.index_select(axis, low)
        right = x.index_select(axis, (low + 1).clamp_max(old - 1))
        x = left + (right - left) * part
    return x
