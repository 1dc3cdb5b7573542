"""From labels to the concept tensor: TLAM, and what it is compared with."""

from compose_tlam.merge.baselines import CLAM, Concatenation, Mean, ProductOfExperts
from compose_tlam.merge.interface import Merger, Strength
from compose_tlam.merge.tlam import TLAM, Missing

__all__ = [
    "CLAM",
    "TLAM",
    "Concatenation",
    "Mean",
    "Merger",
    "Missing",
    "ProductOfExperts",
    "Strength",
]
