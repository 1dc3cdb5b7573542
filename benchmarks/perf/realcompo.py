"""RealCompo: what a picture costs, against the schedule of the published code.

Bars: at most 0.40 of its operations for a picture of 50 steps (counted at the full size of Stable
Diffusion 1, without numbers), at most half its time on the tiny models, and at most a quarter of
the activations of a look-ahead whose attention is explicit everywhere.

The published schedule, for each of 50 steps and each of both models, one question at a time: two
conditional predictions, a look-ahead, and both sides of guidance; two derivatives; and in the
layout model, at every question, 15 blocks whose attention is computed once more from their
outputs. It asks both models also before t0, at step 20.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import measure
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from subject import Subject, subject
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from compose_core import Bound, Guided
from compose_core.attention import layers, record
from compose_core.backbones import UNetNetwork
from compose_core.denoiser import Network
from compose_core.encoded import Encoded
from compose_core.prediction import Prediction
from compose_core.sampler import DDIM
from compose_core.schedule import Schedule
from compose_core.testing.models import stable_diffusion_schedule
from compose_realcompo.balancer import Balancer, Branch
from compose_realcompo.gated import gated_unet
from compose_realcompo.grounding import GatedUNet
from compose_realcompo.hearing import ears
from compose_realcompo.lookahead import Listener, call, frozen
from compose_realcompo.options import Options

STEPS, EARLY = 50, 20
SPANS = ((2, 3), (6,))


def main() -> None:
    """Count, then time in turns."""
    torch.set_num_threads(1)
    options = measure.arguments(__doc__, rounds=3, steps=10)
    row: dict[str, Any] = {
        **counts(),
        **times(subject(), options.rounds, options.steps),
        "bars": {
            "operations_over_official": 0.40,
            "seconds_over_official": 0.5,
            "activations_over_explicit": 0.25,
        },
    }
    measure.write("realcompo", row, options.out)


def masks(size: tuple[int, int]) -> Tensor:
    """Two boxes beside one another."""
    found = torch.zeros(2, *size)
    found[0, size[0] // 4 :, : size[1] // 2 - 1] = 1
    found[1, size[0] // 4 :, size[1] // 2 + 1 :] = 1
    return found


def told(text: Tensor, boxes: bool) -> Encoded:
    """A prompt, and two phrases in boxes where they are heard."""
    if not boxes:
        return Encoded(text=text)
    places = torch.tensor([[[0.0, 0.25, 0.45, 1.0], [0.55, 0.25, 1.0, 1.0]]]).to(text)
    phrases = torch.ones(1, 2, text.shape[-1]).to(text)
    return Encoded(text=text, boxes=places, phrases=phrases, present=torch.ones(1, 2).to(text))


def branch(name: str, network: Any, text: Tensor, empty: Tensor, size: tuple[int, int]) -> Branch:
    """A model under guidance, listened to."""
    boxes = isinstance(network, GatedUNet)
    cond = told(text, boxes)
    heard = ears(network.unet)
    listener = Listener(network, cond, network.unet, heard.where, SPANS, masks(heard.size(size)))
    uncond = Bound(network, told(empty, boxes))
    return Branch(name, Guided(Bound(network, cond), uncond, 7.5), listener)


def counts() -> dict[str, Any]:
    """Operations of a picture, and bytes of a look-ahead, at full size on no device."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
        gated = UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8, attention_type="gated"
        )
        text, x = torch.empty(1, 77, 768), torch.empty(1, 4, 64, 64)
    schedule = stable_diffusion_schedule()
    networks = {
        "text": UNetNetwork(unet, schedule, "epsilon"),
        "layout": GatedUNet(gated, schedule, "epsilon"),
    }
    made = [branch(name, network, text, text, (64, 64)) for name, network in networks.items()]
    pieces = {one.name: costs(one, x, schedule) for one in made}
    again = reapplied(gated, text, x, schedule)
    layout, plain = pieces["layout"], pieces["text"]
    both = {name: layout[name] + plain[name] for name in layout}
    # A call of two rows costs two of one row; what is saved is counted, not how it is batched.
    ours = EARLY * 2 * layout["whole"]
    ours += (STEPS - EARLY) * (2 * both["whole"] + both["ahead"] + both["back"])
    official = (4 * STEPS + 2) * both["whole"] + 2 * STEPS * layout["back"]
    full = official + (4 * STEPS + 2) * again
    held = {one.name: activations(one, x, schedule) for one in made}
    return {
        "operations": {
            "of_one_question": {name: n["whole"] / 1e9 for name, n in pieces.items()},
            "of_a_look_ahead": {name: n["ahead"] / 1e9 for name, n in pieces.items()},
            "of_its_derivative": {name: n["back"] / 1e9 for name, n in pieces.items()},
            "of_attention_computed_again": again / 1e9,
            "of_a_picture": ours / 1e12,
            "of_an_official_picture": full / 1e12,
        },
        "operations_over_official": ours / full,
        "operations_over_official_without_attention_again": ours / official,
        "look_ahead_over_whole": {n: p["ahead"] / p["whole"] for n, p in pieces.items()},
        "activations": held,
    }


def costs(one: Branch, x: Tensor, schedule: Schedule) -> dict[str, float]:
    """Operations of one question, of a look-ahead, and of its derivative."""
    listener: Any = one.listener
    level = schedule.levels(STEPS)[10]
    with torch.no_grad(), FlopCounterMode(display=False) as whole:
        listener.network(x, level, listener.encoded)
    ahead, loss, given = look(listener, x, schedule)
    with FlopCounterMode(display=False) as back:
        torch.autograd.grad(loss, given)
    counted = (whole, ahead, back)
    return dict(zip(("whole", "ahead", "back"), map(_total, counted), strict=True))


def _total(counter: FlopCounterMode) -> float:
    return float(counter.get_total_flops())


def look(listener: Listener, x: Tensor, schedule: Schedule) -> tuple[Any, Tensor, Tensor]:
    """Listen once, on no device: the counter, a loss of the maps, and the sample."""
    level = schedule.levels(STEPS)[10]
    given = x.detach().clone().requires_grad_(True)
    with FlopCounterMode(display=False) as counter, frozen(listener.network):
        with record(listener.unet, listener.where, grad=True) as maps:
            call(listener, given, level, listener.encoded, False)
    loss = torch.stack([maps[name].sum() for name in maps]).sum()
    return counter, loss, given


def reapplied(unet: Any, text: Tensor, x: Tensor, schedule: Schedule) -> float:
    """Operations of computing attention again from the outputs of the blocks on the way."""
    total = 0.0
    shapes: dict[str, torch.Size] = {}
    hooks = [
        module.register_forward_hook(
            lambda _, __, out, name=name: shapes.__setitem__(name, out[0].shape)
        )
        for name, module in unet.named_modules()
        if type(module).__name__ == "Transformer2DModel" and "mid" not in name
    ]
    level = schedule.levels(STEPS)[10]
    with torch.no_grad():
        GatedUNet(unet, schedule, "epsilon")(x, level, told(text, True))
        for hook in hooks:
            hook.remove()
        objects = torch.empty(1, 30, 768, device="meta")
        for name, shape in shapes.items():
            part = unet.get_submodule(name)
            block = part.transformer_blocks[0]
            with FlopCounterMode(display=False) as counter:
                hidden = part.proj_in(part.norm(torch.empty(shape, device="meta")))
                hidden = hidden.flatten(2).mT if hidden.dim() == 4 else hidden
                hidden = block.attn1(block.norm1(hidden)) + hidden
                hidden = block.norm2(block.fuser(hidden, objects))
                query, key = block.attn2.to_q(hidden), block.attn2.to_k(text)
                width = query.shape[-1] // block.attn2.heads
                split = [t.unflatten(-1, (-1, width)).transpose(1, 2) for t in (query, key)]
                (split[0] @ split[1].mT).softmax(-1)
            total += counter.get_total_flops()
    return total


def activations(one: Branch, x: Tensor, schedule: Schedule) -> dict[str, float]:
    """GiB in half precision that a look-ahead keeps for its derivative."""
    listener: Any = one.listener
    unet, level = listener.unet, schedule.levels(STEPS)[10]
    with _AsFused():
        ours = saved(lambda: look(listener, x, schedule), unet)
    unet.set_attn_processor(AttnProcessor())

    def explicit() -> object:
        given = x.detach().clone().requires_grad_(True)
        with record(unet, None, grad=True):
            return listener.network(given, level, listener.encoded)

    theirs = saved(explicit, unet)
    unet.set_default_attn_processor()
    return {"ours": ours, "explicit": theirs, "over_explicit": ours / theirs}


class _Fused(torch.autograd.Function):
    """Keeps what fused attention keeps: its inputs, its output, and a number for each query."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1]))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return ctx.saved_tensors[:3]


class _AsFused(TorchFunctionMode):
    """Without a device, torch would take attention apart."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return _Fused.apply(*args[:3])
        return func(*args, **(kwargs or {}))


def saved(run: Callable[[], object], module: nn.Module) -> float:
    """GiB of the tensors that autograd keeps, weights not counted, at two bytes a number."""
    weights = {weight.untyped_storage()._cdata for weight in module.parameters()}
    kept: dict[int, tuple[Tensor, int]] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()._cdata
        if storage not in weights:
            kept[storage] = (value, value.numel())
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        result = run()
    del result
    return sum(numel for _, numel in kept.values()) * 2 / 2**30


def times(model: Subject, rounds: int, steps: int) -> dict[str, Any]:
    """A picture on the tiny models, in turns with the published schedule."""
    gated: Any = gated_unet(model.unet)
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.randn(value.shape, generator=generator) * 0.05
        for name, value in gated.state_dict().items()
        if value.is_meta
    }
    gated.load_state_dict(state, strict=False, assign=True)
    kind: Any = model.prediction_type
    both: list[Network] = [
        UNetNetwork(model.unet, model.schedule, kind),
        GatedUNet(gated, model.schedule, kind),
    ]
    text, empty = model.prompt["text"], model.empty["text"]
    made = [branch(str(k), network, text, empty, (16, 16)) for k, network in enumerate(both)]
    balancer = Balancer(made, Options(start=EARLY / STEPS))
    walk = DDIM(model.schedule.levels(steps))
    x_t = torch.randn(1, 4, 16, 16, generator=generator)

    def ours() -> Tensor:
        return walk.sample(balancer, x_t, generator=torch.Generator().manual_seed(1))

    seconds = measure.in_turns(
        {"ours": ours, "official": lambda: official(made, walk, x_t)}, rounds
    )
    return {
        "model": model.name,
        "seconds": {name: min(taken) for name, taken in seconds.items()},
        "seconds_over_official": measure.ratio(seconds, "ours", "official"),
    }


def official(made: list[Branch], walk: DDIM, x_t: Tensor) -> Tensor:
    """The published order of questions: nothing shared, batched or left early."""
    for now, after in zip(walk.levels, walk.levels[1:], strict=False):
        prediction = Prediction(x_t, now, x_t)
        for one in made:
            listener: Any = one.listener
            with torch.no_grad():
                listener.network(x_t, now, listener.encoded)  # its cond, for the look-ahead
                listener.network(x_t, now, listener.encoded)  # and once more, under guidance
                uncond: Any = one.denoiser
                prediction = listener.network(x_t, now, uncond.uncond.encoded)
            given = x_t.detach().clone().requires_grad_(True)
            every = list(layers(listener.unet))
            with record(listener.unet, every, grad=True) as maps:
                listener.network(given, now, listener.encoded)
            if listener is made[-1].listener:
                loss = torch.stack([maps[name].sum() for name in listener.where]).sum()
                for _ in range(2):
                    torch.autograd.grad(loss, given, retain_graph=True)
        shrink = after.sigma / now.sigma
        x_t = shrink * x_t + (after.alpha - now.alpha * shrink) * prediction.x0
    return x_t


if __name__ == "__main__":
    main()
