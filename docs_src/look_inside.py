"""What a composition does: step by step, and where its words look."""
# ruff: noqa: E402 (imports stand where they are first needed)

# --8<-- [start:model]
import torch

from compose_core import DDIM, Bound, zoo
from compose_core.backbones import load_model

model = load_model(zoo.resolve("sd-tiny"), id="sd-tiny")
denoiser = Bound(model.network, model.text.encode("a red sphere on grass"))
sampler = DDIM(model.schedule.levels(8))
noise = sampler.initial((1, model.channels, *model.sample_size), torch.Generator().manual_seed(1))
# --8<-- [end:model]

# --8<-- [start:trace]
from compose_core.trace import Trace

trace = Trace({"prompt": "a red sphere on grass"})
for moment in sampler.steps(denoiser, noise):
    with torch.no_grad():
        preview = model.codec.decode(moment.prediction.x0).clamp(-1, 1)
    trace.log(moment.step.index, {"preview": preview, "x_t": moment.x_t})

trace.picture().save("trace.png")
trace.save("trace.safetensors")
# --8<-- [end:trace]

# --8<-- [start:attention]
from compose_core.attention import record

level = model.schedule.level(400)
with torch.no_grad(), record(model.network) as maps:
    denoiser(noise, level)

looks = maps.average(model.sample_size)  # (B, tokens, h, w)
assert torch.allclose(looks.sum(1), torch.ones_like(looks[:, 0]), atol=1e-4)
# --8<-- [end:attention]
