"""Two prompts in two regions, put together by hand from the parts of core."""
# ruff: noqa: E402 (imports stand where they are first needed)

# --8<-- [start:model]
import torch

from compose_core import DDIM, Bound, Guided, Regional, zoo
from compose_core.backbones import load_model

model = load_model(zoo.resolve("sd-tiny"), id="sd-tiny")
# --8<-- [end:model]

# --8<-- [start:parts]
unconditional = Bound(model.network, model.text.encode(""))


def guided(prompt: str) -> Guided:
    """The model under a prompt, with classifier-free guidance."""
    return Guided(Bound(model.network, model.text.encode(prompt)), unconditional, scale=5.0)


parts = [guided("a red sphere on grass"), guided("a blue cube on grass")]
# --8<-- [end:parts]

# --8<-- [start:masks]
height, width = model.sample_size
left = torch.zeros(height, width)
left[:, : width // 2] = 1.0
both = Regional(parts, torch.stack([left, 1 - left]))
# --8<-- [end:masks]

# --8<-- [start:sample]
sampler = DDIM(model.schedule.levels(10))
generator = torch.Generator().manual_seed(14)
noise = sampler.initial((1, model.channels, height, width), generator)
latents = sampler.sample(both, noise, generator=generator)
# --8<-- [end:sample]

# --8<-- [start:decode]
from PIL import Image

with torch.no_grad():
    picture = model.codec.decode(latents)[0].clamp(-1, 1)
pixels = ((picture + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
Image.fromarray(pixels.numpy()).save("regions.png")
# --8<-- [end:decode]
