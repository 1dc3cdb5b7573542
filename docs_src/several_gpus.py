"""The questions of one composition, shared among processes."""

# --8<-- [start:distributed]
import torch

from compose_core import DDIM, Bound, Consensus, Distributed, cover, zoo
from compose_core.backbones import load_model

evaluator = Distributed()  # one process when nothing was launched
model = load_model(zoo.resolve("sd-tiny"))
height, width = model.sample_size
canvas = (height, 4 * width)
windows = cover(canvas, (height, width), (height, width // 2), wrap=(False, True))
panorama = Consensus(Bound(model.network, model.text.encode("snow")), windows)

sampler = DDIM(model.schedule.levels(4))
noise = sampler.initial((1, model.channels, *canvas), torch.Generator().manual_seed(0))
latents = sampler.sample(panorama, noise, evaluator=evaluator)
# --8<-- [end:distributed]
