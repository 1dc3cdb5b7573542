"""Procedural worlds with exact labels.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_worlds`` does not import torch.
"""

from typing import TYPE_CHECKING

from compose_core import lazy
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
    "primitives.captions": ("Caption", "Claim", "Relation", "mirrored", "vocabulary"),
    "primitives.draw": ("Taste",),
    "primitives.environments": ("ENVIRONMENTS",),
    "primitives.figure": ("BONES", "JOINTS", "Figure", "Keypoints", "keypoints"),
    "primitives.labels": ("Labels", "background", "centres", "edges", "labels", "relative_depth"),
    "primitives.poses": ("POSES", "Limb", "Pose", "draw_pose"),
    "primitives.render": ("picture",),
    "primitives.solids": ("SHAPES",),
    "primitives.world": (
        "CLASSES",
        "COLORS",
        "Scene",
        "Setting",
        "Solid",
        "World",
        "stack",
        "toy",
    ),
}
__getattr__, __dir__ = lazy.attach(__name__, _HOME)

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
