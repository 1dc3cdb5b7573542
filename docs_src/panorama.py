"""A canvas four times as wide as the model was trained for, closed to a ring."""
# ruff: noqa: E402 (imports stand where they are first needed)

# --8<-- [start:windows]
import torch

from compose_core import DDIM, Bound, Consensus, Guided, cover, zoo
from compose_core.backbones import load_model

model = load_model(zoo.resolve("sd-tiny"), id="sd-tiny")
height, width = model.sample_size
canvas = (height, 4 * width)
windows = cover(canvas, (height, width), (height, width // 2), wrap=(False, True))
# --8<-- [end:windows]

# --8<-- [start:consensus]
text = Bound(model.network, model.text.encode("sand"))
nothing = Bound(model.network, model.text.encode(""))
one = Guided(text, nothing, scale=4.0)
panorama = Consensus(one, windows, weights="hann")
# --8<-- [end:consensus]

# --8<-- [start:sample]
sampler = DDIM(model.schedule.levels(8))
noise = sampler.initial((1, model.channels, *canvas), torch.Generator().manual_seed(2))
latents = sampler.sample(panorama, noise)
with torch.no_grad():
    picture = model.codec.decode(latents, wrap=(False, True))
# --8<-- [end:sample]

# --8<-- [start:save]
from PIL import Image

pixels = ((picture[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
Image.fromarray(pixels.numpy()).save("panorama.png")
# --8<-- [end:save]
