"""Composition without a network: exact denoisers of Gaussian data."""

# --8<-- [start:parts]
import torch

from compose_core import DDIM, DiscreteVP, Gaussian, Product, Regional

dark, light = Gaussian(mean=-1.0, var=0.01), Gaussian(mean=1.0, var=0.01)
# --8<-- [end:parts]

# --8<-- [start:regional]
masks = torch.zeros(2, 8, 8)
masks[0, :, :4], masks[1, :, 4:] = 1.0, 1.0
both = Regional([dark, light], masks)
# --8<-- [end:regional]

# --8<-- [start:sample]
schedule = DiscreteVP.from_config({"beta_schedule": "squaredcos_cap_v2"})
sampler = DDIM(schedule.levels(50))
noise = sampler.initial((1, 1, 8, 8), torch.Generator().manual_seed(0))
picture = sampler.sample(both, noise)

columns = picture.mean((0, 1, 2))
assert (columns[:4] + 1).abs().max() < 0.2
assert (columns[4:] - 1).abs().max() < 0.2
# --8<-- [end:sample]

# --8<-- [start:product]
anything = Gaussian(mean=0.0, var=1.0)
product = Product([anything, dark, light], weights=[0.5, 0.5])

level = schedule.level(500)
x_t = torch.zeros(1, 1, 8, 8)
between = product(x_t, level).x0
assert torch.allclose(between, torch.zeros_like(between), atol=1e-6)
# --8<-- [end:product]

# --8<-- [start:nest]
bright_half = Regional([both, Gaussian(mean=3.0, var=0.01)], torch.stack([masks[0], masks[1]]))
picture = sampler.sample(bright_half, noise)
assert (picture.mean((0, 1, 2))[4:] - 3).abs().max() < 0.2
# --8<-- [end:nest]
