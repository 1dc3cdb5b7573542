"""Training: the adversarial game as a task of `compose_core.train`."""

from compose_tlam.training.game import Game, GameTask, Samples
from compose_tlam.training.presets import CODE, PAPER

__all__ = ["CODE", "PAPER", "Game", "GameTask", "Samples"]
