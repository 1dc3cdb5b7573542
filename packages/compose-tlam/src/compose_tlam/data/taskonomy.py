"""Taskonomy (Zamir et al. 2018): pictures of rooms with the five labels of the paper.

Files are called ``point_P_view_V_domain_D.png``. They are matched by building, point and view, in
whatever folders they lie; both generations of the names of domains are known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import final

import torch
from torch import LongTensor, Tensor
from torch.nn import functional as F

from compose_core.errors import SceneError
from compose_tlam.checks import check_layer
from compose_tlam.data.pictures import at_size, colours, plane
from compose_tlam.labels import LabelSet, taskonomy
from compose_tlam.sparsity import areas
from compose_tlam.stack import LabelStack, Layer

__all__ = ["Taskonomy"]

_NAME = re.compile(r"point_(\d+)_view_(\d+)_domain_(\w+)\.png")

_DOMAINS = {
    "rgb": ("rgb",),
    "semantics": ("segmentsemantic", "segment_semantic"),
    "edges": ("edge_texture", "edge2d"),
    "curvature": ("principal_curvature", "curvature"),
    "depth": ("depth_zbuffer", "depth"),
    "normals": ("normal",),
}
_FAR = 64_500
"""Depths from here on are missing; the files have 65535 there."""

_CURVATURE = ((123.572, 120.1), (31.922, 21.658))
"""Means and deviations of the two channels of the files."""

_EDGE = 0.08
"""Texture edges are clipped here, as a share of 65535."""


@final
class Taskonomy:
    """A folder of Taskonomy as `compose_tlam.training.Samples`.

    Args:
        folder: Holds the files, at any depth.
        size: (height, width) to resize to; None for that of the files.
        buildings: Which buildings; None for all.

    Raises:
        SceneError: There are no pictures, or a picture lacks a label file entirely.
    """

    def __init__(
        self,
        folder: Path,
        size: tuple[int, int] | None = (256, 256),
        buildings: Sequence[str] | None = None,
    ) -> None:
        self.labels: LabelSet = taskonomy()
        self.size = size
        self.views = _found(folder, buildings)
        if not self.views:
            raise SceneError(
                "there are no pictures of Taskonomy",
                got=str(folder),
                expected="files such as rgb/point_0_view_0_domain_rgb.png",
            )

    def __len__(self) -> int:
        """Number of views."""
        return len(self.views)

    def __call__(self, indices: LongTensor) -> tuple[Tensor, LabelStack, Tensor]:
        """Pictures in [-1, 1], labels, areas."""
        found = [self._view(int(i)) for i in indices]
        pictures = torch.cat([picture for picture, _ in found])
        stack = LabelStack.cat([stack for _, stack in found])
        classes = stack.layers["semantics"]
        unknown = torch.full_like(classes.value, self.labels.named("semantics").count)
        whole = torch.where(classes.valid, classes.value, unknown)
        return pictures * 2 - 1, stack, areas(whole)

    def _view(self, index: int) -> tuple[Tensor, LabelStack]:
        files = self.views[index]
        picture = colours(files["rgb"])[None]
        layers = {
            "semantics": _semantics(files["semantics"], self.labels),
            "edges": _edges(files["edges"]),
            "depth": _depth(files["depth"]),
        }
        known = layers["depth"].valid
        layers["curvature"] = _curvature(files["curvature"], known)
        layers["normals"] = _normals(files["normals"], known)
        stack = LabelStack(self.labels, layers)
        if self.size is not None:
            stack = stack.resize(*self.size)
        return at_size(picture, self.size), stack


def _found(folder: Path, buildings: Sequence[str] | None) -> list[dict[str, Path]]:
    domain_of = {name: label for label, names in _DOMAINS.items() for name in names}
    views: dict[tuple[str, int, int], dict[str, Path]] = {}
    for path in sorted(folder.rglob("point_*.png")):
        match = _NAME.fullmatch(path.name)
        if match is None or match[3] not in domain_of:
            continue
        building = _building(path.relative_to(folder).parent, domain_of)
        key = (building, int(match[1]), int(match[2]))
        views.setdefault(key, {})[domain_of[match[3]]] = path
    chosen = [
        (key, files)
        for key, files in sorted(views.items())
        if "rgb" in files and (buildings is None or key[0] in buildings)
    ]
    for key, files in chosen:
        lacking = sorted(_DOMAINS.keys() - files.keys())
        if lacking:
            raise SceneError(
                f"a view of Taskonomy lacks labels: {', '.join(lacking)}",
                got=f"building {key[0] or '(none)'}, point {key[1]}, view {key[2]}",
                expected="; ".join(" or ".join(_DOMAINS[name]) for name in lacking),
            )
    return [files for _, files in chosen]


def _building(parent: Path, domains: dict[str, str]) -> str:
    """What is left of a path without the names of domains."""
    rest: list[str] = []
    for part in parent.parts:
        for name in sorted(domains, key=len, reverse=True):
            if part == name or part.endswith(f"_{name}"):
                part = part[: -len(name)].rstrip("_")
                break
        if part:
            rest.append(part)
    return "/".join(rest)


def _semantics(path: Path, labels: LabelSet) -> Layer:
    """0 is uncertain, thus missing; 1 to 17 become 0 to 16."""
    raw = plane(path, ("L", "P"))[None]
    layer = Layer((raw - 1).clamp_min(0), raw > 0)
    label = labels.named("semantics")
    if int(raw.max()) > label.count:
        check_layer(label, Layer(raw, raw > 0), f"the file {path} (raw numbers)")
    return layer


def _depth(path: Path) -> Layer:
    raw = plane(path, ("I;16", "I"))[None]
    value = torch.log1p(raw.float()) / math.log(65_536)
    return Layer(value[:, None].clamp(0, 1), raw < _FAR)


def _normals(path: Path, known: Tensor) -> Layer:
    raw = plane(path, ("RGB",)).permute(2, 0, 1)[None].float()
    centred = (raw - 127) / 127
    length = centred.norm(dim=1)
    return Layer(F.normalize(centred, dim=1), known & (length > 0.5))


def _curvature(path: Path, known: Tensor) -> Layer:
    raw = plane(path, ("RGB", "RGBA"))[..., :2].permute(2, 0, 1)[None].float()
    mean, deviation = (torch.tensor(part)[:, None, None] for part in _CURVATURE)
    return Layer((raw - mean) / deviation, known)


def _edges(path: Path) -> Layer:
    raw = plane(path, ("I;16", "I"))[None, None].float() / 65_535
    value = raw.clamp_max(_EDGE) / _EDGE * 2 - 1
    return Layer(value, torch.ones_like(value[:, 0], dtype=torch.bool))
