"""Opening a checkpoint that somebody else wrote; see `compose_core.zoo.foreign`."""

from compose_core.zoo.foreign import read_checkpoint

__all__ = ["read_checkpoint"]
