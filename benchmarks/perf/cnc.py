"""Compose and Conquer: what preparing saves, what attention holds, what one batch and "off" cost.

Bars: preparing saves at least 5.9 % of the operations of a step at 512x512 and 4.8 % at 768x768
(counted at the full size of Stable Diffusion 1, without numbers); fused attention needs at most
half the memory of an explicit softmax at 512x512; both sides of guidance in one call are not
slower than two calls; without depth the network costs at most 2 % more than the UNet.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import torch
from diffusers import UNet2DConditionModel
from subject import Subject, subject
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from compose_cnc.model import SD15, TINY, GlobalFuser, LocalFuser
from compose_cnc.network import CnCNetwork
from compose_cnc.testing import SIZES
from compose_core import Bound, Guided, Local
from compose_core.backbones import UNetNetwork
from compose_core.encoded import Encoded
from compose_core.testing.models import stable_diffusion_schedule

HEADS, WIDTH, COLUMNS = 8, 40, 85
"""Of the finest layers of Stable Diffusion 1, and its text with two exemplars."""


def main() -> None:
    """Count, then time in turns."""
    if sys.argv[1:2] == ["--hold"]:
        return hold(sys.argv[2], int(sys.argv[3]))
    torch.set_num_threads(1)
    options = measure.arguments(__doc__, rounds=15, side=512, other=768)
    row: dict[str, Any] = {
        "operations": {str(side): operations(side) for side in (options.side, options.other)},
        "attention_megabytes": memory(options.side),
        **times(subject(), options.rounds),
        "bars": {
            "saved_share": {"512": 0.059, "768": 0.048},
            "fused_over_explicit": 0.5,
            "two_calls_over_one": 1.0,
            "off_over_unet": 1.02,
        },
    }
    measure.write("cnc", row, options.out)


def conditions(side: int, width: int, text: int, tokens: int, device: str = "cpu") -> Encoded:
    """Two depth maps and two exemplars over a square picture."""
    made = {
        "text": torch.zeros(1, text, width),
        "depth_fg": torch.zeros(1, 3, side, side),
        "depth_bg": torch.zeros(1, 3, side, side),
        "tokens": torch.zeros(1, 2 * tokens, width),
        "region": torch.ones(1, 2, side, side),
    }
    made["region"][:, 0, :, side // 2 :] = 0
    return Encoded(made).to(device)


def operations(side: int) -> dict[str, float]:
    """Count the floating-point operations of one step, with conditions prepared and not."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        local, x_t = LocalFuser(), torch.empty(1, 4, side // SD15.factor, side // SD15.factor)
    schedule = stable_diffusion_schedule()
    level = schedule.levels(50)[10]
    network = CnCNetwork(unet, schedule, "epsilon", local_fuser=local)
    raw = conditions(side, 768, 77, 4, "meta")
    ready = network.prepare(raw, (x_t.shape[2], x_t.shape[3]))
    plain = UNetNetwork(unet, schedule, "epsilon")
    counts = {
        "every_time": counted(lambda: network(x_t, level, raw)),
        "prepared": counted(lambda: network(x_t, level, ready)),
        "unet": counted(lambda: plain(x_t, level, Encoded(text=raw["text"]))),
    }
    saved = 1 - counts["prepared"] / counts["every_time"]
    return {**{name: n / 1e9 for name, n in counts.items()}, "saved_share": saved}


def counted(call: Callable[[], object]) -> float:
    """Operations of one call: two for each multiplication and addition."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def memory(side: int) -> dict[str, float]:
    """Memory that the finest self- and cross-attention need beyond their inputs."""
    found = {name: held(name, side) for name in ("explicit", "fused")}
    return {**found, "fused_over_explicit": found["fused"] / found["explicit"]}


def held(how: str, side: int) -> float:
    """Megabytes at the peak, in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--hold", how, str(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


def hold(how: str, side: int) -> None:
    """Attend once and print by how many megabytes the peak of this process rose."""
    torch.set_num_threads(1)
    attend = {"explicit": explicit, "fused": F.scaled_dot_product_attention}[how]
    cells = (side // SD15.factor) ** 2
    query, key, value = (torch.zeros(1, HEADS, cells, WIDTH) for _ in range(3))
    context = torch.zeros(1, HEADS, COLUMNS, WIDTH)
    bias = torch.zeros(1, 1, cells, COLUMNS)
    # Importing has left room below the peak, which would hide what comes: fill it up.
    ballast = torch.ones(max(int(peak() - resident()), 0) * 2**18)
    before = peak()
    attend(query, key, value)
    attend(query, context, context, attn_mask=bias)
    print(peak() - before, ballast.numel())


def peak() -> float:
    """Megabytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident() -> float:
    """Megabytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * resource.getpagesize() / 2**20


def explicit(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """Attention as it is written down."""
    scores = query @ key.mT * query.shape[-1] ** -0.5
    if attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1) @ value


def times(model: Subject, rounds: int) -> dict[str, Any]:
    """Time one guided prediction of the tiny base, in turns."""
    width = model.prompt["text"].shape[-1]
    sizes = TINY if len(model.unet.config.block_out_channels) == 3 else SIZES
    network = CnCNetwork(
        model.unet,
        model.schedule,
        model.network.prediction_type,  # pyright: ignore[reportArgumentType]
        local_fuser=LocalFuser.from_unet(model.unet, sizes).eval(),
        global_fuser=GlobalFuser.fresh(8, width).eval(),
    )
    given = conditions(16 * sizes.factor, width, 1, 4)
    raw = [Encoded({**given, "text": side["text"]}) for side in (model.prompt, model.empty)]
    ready = network.prepare_all(raw, (16, 16))
    bare = [Encoded(text=side["text"]) for side in (model.prompt, model.empty)]
    x_t = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    level = model.schedule.levels(20)[5]

    def guided(which: Any, sides: list[Encoded], rows: int | None = None) -> Callable[[], Any]:
        cond, uncond = (Bound(which, side) for side in sides)
        denoiser = Guided(cond, uncond, 4.0)
        evaluator = Local(max_batch=rows)
        return torch.no_grad()(lambda: denoiser(x_t, level, evaluator=evaluator))

    runs = {
        "prepared": guided(network, ready),
        "two_calls": guided(network, ready, 1),
        "every_time": guided(network, raw),
        "off": guided(network, bare),
        "unet": guided(model.network, bare),
    }
    torch.testing.assert_close(runs["two_calls"]().x0, runs["prepared"]().x0, rtol=1e-3, atol=1e-3)
    assert torch.equal(runs["off"]().x0, runs["unet"]().x0)
    seconds = measure.in_turns(runs, rounds)
    pairs = [("two_calls", "prepared"), ("every_time", "prepared"), ("off", "unet")]
    pairs += [("prepared", "unet")]
    return {
        "model": model.name,
        "seconds": {name: min(taken) for name, taken in seconds.items()},
        **{f"{over}_over_{under}": measure.ratio(seconds, over, under) for over, under in pairs},
    }


if __name__ == "__main__":
    main()
