"""NYU depth v2 (Silberman et al. 2012): rooms with classes and depth, from the labelled .mat file.

The file is HDF5, in which the axes of MATLAB come reversed. Normals and curvature are not in it;
they follow from depth by back-projection. Reading needs h5py: ``pip install compose-tlam[nyu]``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import LongTensor, Tensor

from compose_core.errors import ComposeError, SceneError
from compose_tlam.data.canny import canny
from compose_tlam.data.derive import back_projected, curvatures
from compose_tlam.data.pictures import at_size
from compose_tlam.labels import Label, LabelSet
from compose_tlam.sparsity import areas
from compose_tlam.stack import LabelStack, Layer

__all__ = ["NYU", "nyu"]

FOCAL = (518.8579, 519.4696)
"""Of the colour camera, in pixels at 640 x 480."""

_CLASSES = 894
_FARTHEST = 10.0
_PARTS = ("images", "depths", "labels", "instances")


def nyu(classes: int = _CLASSES) -> LabelSet:
    """Labels of the file, and those that follow from them."""
    return LabelSet(
        [
            Label(name="semantics", kind="discrete", high=classes - 1, meaning="classes less 1"),
            Label(name="depth", kind="continuous", meaning="log(1 + metres) / log 11"),
            Label(
                name="normals",
                kind="vector",
                channels=3,
                low=-1.0,
                negated=(0,),
                meaning="unit normals: x right, y up, z towards the camera",
            ),
            Label(
                name="curvature",
                kind="continuous",
                channels=2,
                low=-8.0,
                high=8.0,
                scale=(4.0,),
                clip=True,
                meaning="principal curvatures in 1 / metre",
            ),
            Label(name="edges", kind="continuous", meaning="Canny edges, 0 or 1"),
        ]
    )


@final
class NYU:
    """The labelled pictures as `compose_tlam.training.Samples`.

    Args:
        path: Of ``nyu_depth_v2_labeled.mat``.
        numbers: Which pictures, from 0; None for all. The paper's split of 1200 and 249 is not
            published.
        size: (height, width) to resize to; None for that of the file.
        classes: For each of the 894 classes, in order, its number in a coarser set, -1 for
            missing; None for the classes themselves.

    Raises:
        ComposeError: h5py is not installed.
        SceneError: The file is missing, damaged, or something else.
    """

    def __init__(
        self,
        path: Path,
        numbers: Sequence[int] | None = None,
        size: tuple[int, int] | None = (256, 256),
        classes: Sequence[int] | None = None,
    ) -> None:
        self.path, self.size = path, size
        self._classes = torch.tensor(classes) if classes is not None else torch.arange(_CLASSES)
        self.labels: LabelSet = nyu(int(self._classes.max()) + 1)
        self._file = _opened(path)
        count = len(self._file["images"])
        self.numbers = list(numbers) if numbers is not None else list(range(count))
        wrong = [n for n in self.numbers if not 0 <= n < count]
        if wrong:
            raise SceneError(
                f"{path} has no such pictures", got=wrong[:5], expected=f"0 to {count - 1}"
            )

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.numbers)

    def __call__(self, indices: LongTensor) -> tuple[Tensor, LabelStack, Tensor]:
        """Pictures in [-1, 1], labels, areas."""
        found = [self._room(self.numbers[int(i)]) for i in indices]
        stack = LabelStack.cat([one[1] for one in found])
        unknown = torch.full_like(stack.layers["semantics"].value, -1)
        classes = torch.where(
            stack.layers["semantics"].valid, stack.layers["semantics"].value, unknown
        )
        regions = areas(classes + 1, torch.cat([one[2] for one in found]))
        return torch.cat([one[0] for one in found]) * 2 - 1, stack, regions

    def _room(self, number: int) -> tuple[Tensor, LabelStack, Tensor]:
        def read(name: str) -> Tensor:
            # (..., W, H) in the file
            try:
                values = torch.from_numpy(self._file[name][number].astype("float64"))
            except (OSError, IndexError, ValueError, TypeError) as error:
                raise SceneError(
                    f"{self.path} is damaged", got=f"{name} of picture {number}: {error}"
                ) from error
            return values.transpose(-1, -2)

        picture = (read("images") / 255).float()[None]
        raw = read("labels").long()[None]
        if int(raw.max()) > len(self._classes):
            raise SceneError(
                f"{self.path} holds class numbers that are not known",
                got=f"{int(raw.max())} in picture {number}",
                expected=f"0 to {len(self._classes)}",
            )
        mapped = self._classes[(raw - 1).clamp_min(0)]
        known = (raw > 0) & (mapped >= 0)
        metres = read("depths").float()[None, None]
        seen = (metres[:, 0] > 0) & metres[:, 0].isfinite()
        normals = back_projected(metres, seen, FOCAL)
        curved = curvatures(normals, metres, seen, FOCAL)
        depth = torch.log1p(metres.nan_to_num(0).clamp(0, _FARTHEST)) / math.log(_FARTHEST + 1)
        stack = LabelStack(
            self.labels,
            {
                "semantics": Layer(mapped.clamp_min(0), known),
                "depth": Layer(depth, seen),
                "normals": Layer(normals, normals.norm(dim=1) > 0.5),
                "curvature": Layer(curved.clamp(-8, 8), normals.norm(dim=1) > 0.5),
                "edges": Layer(canny(picture)[:, None].float(), torch.ones_like(seen)),
            },
        )
        instances = read("instances").long()[None]
        if self.size is None:
            return picture, stack, instances
        label = Label(name="instances", kind="discrete", high=1e9)
        fit = LabelStack.of(LabelSet([label]), {"instances": instances}).resize(*self.size)
        return (
            at_size(picture, self.size),
            stack.resize(*self.size),
            fit.layers["instances"].value,
        )


def _opened(path: Path) -> Any:
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise ComposeError(
            "NYU depth v2 comes as a .mat file, which needs h5py",
            got=error,
            remedy='pip install "compose-tlam[nyu]"',
        ) from error
    try:
        found = h5py.File(path, "r")
        lacking = [k for k in _PARTS if k not in found]
    except OSError as error:
        raise SceneError(f"{path} cannot be read", got=error, expected="an HDF5 .mat") from error
    lacking += [k for k in found if k in _PARTS and not hasattr(found[k], "shape")]
    if lacking:
        raise SceneError(
            f"{path} is not the labelled file", got=f"no {', '.join(lacking)}",
            expected="nyu_depth_v2_labeled.mat",
        )  # fmt: skip
    return found
