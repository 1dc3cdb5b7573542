"""From the concept tensor to pictures, and the discriminator that judges them."""

from compose_tlam.generators.asap import ASAP
from compose_tlam.generators.discriminator import Discriminator
from compose_tlam.generators.interface import Generator
from compose_tlam.generators.spade import SPADE

__all__ = ["ASAP", "SPADE", "Discriminator", "Generator"]
