"""Procedural worlds with exact labels.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_worlds`` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from compose_worlds._version import __version__

if TYPE_CHECKING:
    from compose_worlds.primitives.captions import Caption, Claim, Relation, mirrored, vocabulary
    from compose_worlds.primitives.draw import Taste
    from compose_worlds.primitives.environments import ENVIRONMENTS
    from compose_worlds.primitives.figure import BONES, JOINTS, Figure, Keypoints, keypoints
    from compose_worlds.primitives.labels import (
        Labels,
        background,
        centres,
        edges,
        labels,
        relative_depth,
    )
    from compose_worlds.primitives.poses import POSES, Limb, Pose, draw_pose
    from compose_worlds.primitives.render import picture
    from compose_worlds.primitives.solids import SHAPES
    from compose_worlds.primitives.world import (
        CLASSES,
        COLORS,
        Scene,
        Setting,
        Solid,
        World,
        stack,
        toy,
    )

_HOME = {
    "captions": ("Caption", "Claim", "Relation", "mirrored", "vocabulary"),
    "draw": ("Taste",),
    "environments": ("ENVIRONMENTS",),
    "figure": ("BONES", "JOINTS", "Figure", "Keypoints", "keypoints"),
    "labels": ("Labels", "background", "centres", "edges", "labels", "relative_depth"),
    "poses": ("POSES", "Limb", "Pose", "draw_pose"),
    "render": ("picture",),
    "solids": ("SHAPES",),
    "world": ("CLASSES", "COLORS", "Scene", "Setting", "Solid", "World", "stack", "toy"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "BONES",
    "CLASSES",
    "COLORS",
    "ENVIRONMENTS",
    "JOINTS",
    "POSES",
    "SHAPES",
    "Caption",
    "Claim",
    "Figure",
    "Keypoints",
    "Labels",
    "Limb",
    "Pose",
    "Relation",
    "Scene",
    "Setting",
    "Solid",
    "Taste",
    "World",
    "__version__",
    "background",
    "centres",
    "draw_pose",
    "edges",
    "keypoints",
    "labels",
    "mirrored",
    "picture",
    "relative_depth",
    "stack",
    "toy",
    "vocabulary",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds ``name`` and keep what was found."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'compose_worlds' has no attribute {name!r}")
    value = getattr(import_module(f"compose_worlds.primitives.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
