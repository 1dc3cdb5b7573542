"""Composers: denoisers made of denoisers, each with its own rule.

`Consensus` agrees over views of a canvas (MultiDiffusion and its relatives), `Product` multiplies
distributions, `Regional` gives each part its own place, and `Guided` (of
`compose_core.denoiser`) extrapolates. A rule of your own is a `Composer` with a `merge`.
"""

from compose_core.compose.composer import Composer
from compose_core.compose.consensus import Consensus
from compose_core.compose.least_squares import agree, partition, raw_weights
from compose_core.compose.product import Product
from compose_core.compose.regional import Regional
from compose_core.denoiser import Guided

__all__ = [
    "Composer",
    "Consensus",
    "Guided",
    "Product",
    "Regional",
    "agree",
    "partition",
    "raw_weights",
]
