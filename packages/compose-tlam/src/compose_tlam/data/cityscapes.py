"""Cityscapes (Cordts et al. 2016): streets with classes, depth, normals and Canny edges.

The paper estimates depth with a network. Here it is that of the stereo disparity of the data set,
or of any estimator that is given; normals follow by back-projection with the camera's numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import torch
from torch import LongTensor, Tensor

from compose_core.errors import SceneError
from compose_tlam.checks import check_layer
from compose_tlam.data.canny import canny
from compose_tlam.data.derive import back_projected
from compose_tlam.data.pictures import at_size, colours, plane
from compose_tlam.labels import Label, LabelSet
from compose_tlam.sparsity import areas
from compose_tlam.stack import LabelStack, Layer

__all__ = ["Cityscapes", "cityscapes"]

Estimator = Callable[[Tensor], Tensor]
"""Pictures (B, 3, H, W) in [0, 1] to depth (B, 1, H, W) in metres."""

_FARTHEST = 256.0
_PLATE = 255
"""Number of licence plates, -1, in files of bytes."""


def cityscapes() -> LabelSet:
    """The four labels of the paper."""
    return LabelSet(
        [
            Label(name="semantics", kind="discrete", high=34, meaning="label ids"),
            Label(name="depth", kind="continuous", meaning="log(1 + metres) / log 257"),
            Label(
                name="normals",
                kind="vector",
                channels=3,
                low=-1.0,
                negated=(0,),
                meaning="unit normals: x right, y up, z towards the camera",
            ),
            Label(name="edges", kind="continuous", meaning="Canny edges, 0 or 1"),
        ]
    )


@final
class Cityscapes:
    """A folder of Cityscapes as `compose_tlam.training.Samples`.

    Args:
        folder: Holds ``leftImg8bit``, ``gtFine``, and, without an estimator, ``disparity``;
            ``camera`` gives the focal length.
        split: ``train`` or ``val``.
        size: (height, width) to resize to; None for that of the files.
        estimator: Of depth, instead of disparity.

    Raises:
        SceneError: There are no pictures.
    """

    def __init__(
        self,
        folder: Path,
        split: str = "train",
        size: tuple[int, int] | None = (256, 512),
        estimator: Estimator | None = None,
    ) -> None:
        self.labels: LabelSet = cityscapes()
        self.folder, self.split = folder, split
        self.size, self.estimator = size, estimator
        suffix = "_leftImg8bit.png"
        found = sorted((folder / "leftImg8bit" / split).glob(f"*/*{suffix}"))
        self.names = [f"{p.parent.name}/{p.name.removesuffix(suffix)}" for p in found]
        if not self.names:
            raise SceneError(
                "there are no pictures of Cityscapes",
                got=str(folder),
                expected=f"leftImg8bit/{split}/CITY/*_leftImg8bit.png",
            )

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.names)

    def __call__(self, indices: LongTensor) -> tuple[Tensor, LabelStack, Tensor]:
        """Pictures in [-1, 1], labels, areas (instances where the files know them)."""
        found = [self._street(self.names[int(i)]) for i in indices]
        stack = LabelStack.cat([one[1] for one in found])
        classes = stack.layers["semantics"].value
        instances = torch.cat([one[2] for one in found])
        return torch.cat([one[0] for one in found]) * 2 - 1, stack, areas(classes, instances)

    def _file(self, kind: str, name: str, ending: str) -> Path:
        return self.folder / kind / self.split / f"{name}_{ending}"

    def _street(self, name: str) -> tuple[Tensor, LabelStack, Tensor]:
        picture = colours(self._file("leftImg8bit", name, "leftImg8bit.png"))[None]
        path = self._file("gtFine", name, "gtFine_labelIds.png")
        ids = plane(path, ("L", "P"))[None]
        valid = ids != _PLATE
        classes = check_layer(
            self.labels.named("semantics"), Layer(ids, valid), f"the file {path}"
        )
        classes = Layer(torch.where(valid, ids, torch.zeros_like(ids)), classes.valid)
        path = self._file("gtFine", name, "gtFine_instanceIds.png")
        instances = plane(path, ("I;16", "I"))[None] if path.exists() else ids
        baseline, focal = self._camera(self._file("camera", name, "camera.json"))
        metres, known = self._depth(name, picture, baseline, focal[0])
        normals = back_projected(metres, known, focal)
        depth = torch.log1p(metres.clamp(0, _FARTHEST)) / math.log(_FARTHEST + 1)
        everywhere = torch.ones_like(known)
        stack = LabelStack(
            self.labels,
            {
                "semantics": classes,
                "depth": Layer(depth, known),
                "normals": Layer(normals, normals.norm(dim=1) > 0.5),
                "edges": Layer(canny(picture)[:, None].float(), everywhere),
            },
        )
        if self.size is None:
            return picture, stack, instances
        fit = Layer(instances, everywhere)
        label = Label(name="instances", kind="discrete", high=1e9)
        small = LabelStack(LabelSet([label]), {"instances": fit}).resize(*self.size)
        return (
            at_size(picture, self.size),
            stack.resize(*self.size),
            small.layers["instances"].value,
        )

    def _camera(self, path: Path) -> tuple[float, tuple[float, float]]:
        """Baseline in metres and focal lengths in pixels."""
        try:
            said: Any = json.loads(path.read_text("utf-8"))
            inner = said["intrinsic"]
            return float(said["extrinsic"]["baseline"]), (float(inner["fx"]), float(inner["fy"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SceneError(f"the camera {path} cannot be read", got=error) from error

    def _depth(
        self, name: str, picture: Tensor, baseline: float, focal: float
    ) -> tuple[Tensor, Tensor]:
        """Metres (1, 1, H, W) and where they are known: `depth = baseline fx / disparity`."""
        if self.estimator is not None:
            metres = self.estimator(picture)
            return metres, torch.ones_like(metres[:, 0], dtype=torch.bool)
        raw = plane(self._file("disparity", name, "disparity.png"), ("I;16", "I"))[None]
        known = raw > 1  # 0 is missing, 1 is infinitely far
        disparity = (raw.float() - 1) / 256
        metres = baseline * focal / disparity.clamp_min(1 / 256)
        return metres[:, None], known
