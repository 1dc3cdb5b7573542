"""What coordination is compared with: rules without training."""

from compose_dde.baselines.merging import concat, product, swap
from compose_dde.baselines.shift import Shifted

__all__ = ["Shifted", "concat", "product", "swap"]
