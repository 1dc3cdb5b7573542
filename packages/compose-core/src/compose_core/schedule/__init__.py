r"""Noise schedules: which mixture of picture and noise belongs to which time.

Every schedule here writes a noisy sample as

.. math:: x_t = \alpha_t x_0 + \sigma_t \epsilon, \qquad \epsilon \sim N(0, 1),

and differs only in how it walks through the pairs :math:`(\alpha_t, \sigma_t)`. Two levels with
the same ratio :math:`\sigma / \alpha` hold the same sample up to a scale, so a network trained on
one schedule can be asked from another (`Schedule.match`, `compose_core.prediction.translate`).
"""

from compose_core.schedule.continuous import KarrasVE, Rectified
from compose_core.schedule.discrete import DiscreteVP
from compose_core.schedule.level import Level, Schedule

__all__ = ["DiscreteVP", "KarrasVE", "Level", "Rectified", "Schedule"]
