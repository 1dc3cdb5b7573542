"""Training: base models on parts, coordinators on large objects, with one loss (Eq. 1 and 5)."""

from compose_dde.training.poses import (
    BaseOfMaps,
    BaseOfMusic,
    BaseOfPositions,
    CoordinatedMaps,
    CoordinatedMusic,
    CoordinatedPositions,
    Pose,
)
from compose_dde.training.task import Data, DenoisingTask

__all__ = [
    "BaseOfMaps",
    "BaseOfMusic",
    "BaseOfPositions",
    "CoordinatedMaps",
    "CoordinatedMusic",
    "CoordinatedPositions",
    "Data",
    "DenoisingTask",
    "Pose",
]
