"""DDE: what a coordinator costs, and what local attention saves.

Floating point operations are counted on the meta device, for the paper's music in its full size
(405M base, 66M coordinator) and for the sizes of `dde-music-tiny`; seconds and megabytes are
measured with these and random weights, on which neither depends.

Bars: local attention equal to full attention with a mask within 1e-5 in float32, at least ten
times cheaper at 100 windows, and growing with the length to the power of 1.1 at most from 13 to
200 windows; a stream of ten minutes in the memory of its first two.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import measure
import torch
from torch.utils.flop_counter import FlopCounterMode

from compose_core.denoiser import Bound
from compose_core.encoded import Encoded
from compose_core.evaluate import Local
from compose_core.schedule import KarrasVE
from compose_dde.composer import DDE
from compose_dde.coordinator import MUSIC, CoordinatorConfig, Heard, Transformer
from compose_dde.domain import Domain, span
from compose_dde.folder import Expansion, Walk
from compose_dde.networks import Backbone, EDMNetwork, SpectralTransformer, UNet1d
from compose_dde.networks.unet1d import MSDM
from compose_dde.pipeline import MusicPipeline
from compose_dde.testing import spoken
from compose_zoo.recipes.dde_music_tiny import BASE, COORDINATOR, WINDOW

LENGTHS = (13, 25, 50, 100, 200)
FULL_WINDOW = 2**18
REACH, SUMMARIES = 1, 4
GROWTH = "growth"
RATE, STEMS = 22_050, ("bass", "drums", "guitar", "piano")

LEAST_BASE: dict[str, Any] = {**BASE, "width": 16, "depth": 1, "heads": 1}
"""For streams: what a base model computes does not matter to how memory grows."""


def local(config: CoordinatorConfig) -> CoordinatorConfig:
    """The same with neighbours and summaries."""
    return dataclasses.replace(config, reach=REACH, summaries=SUMMARIES)


def main() -> None:
    """Count, compare, time in turns, then measure memory."""
    torch.set_num_threads(1)
    options = measure.arguments(__doc__, rounds=3, windows=13)
    streams: dict[str, Callable[[], object]] = {"10_minutes": lambda: list(stream(10))}
    if options.peak == GROWTH:
        print(growth())
        return
    if measure.peak_asked(options, streams):
        return
    contenders = timed(options.windows)
    seconds = measure.in_turns(contenders, options.rounds)
    row: dict[str, Any] = {
        "windows": options.windows,
        "rounds": options.rounds,
        "seconds_of_one_evaluation": measure.medians(seconds),
        "batched_over_one_by_one": measure.ratio(seconds, "windows_batched", "windows_one_by_one"),
        "full_over_base": measure.ratio(seconds, "with_full", "windows_batched"),
        "local_over_base": measure.ratio(seconds, "with_local", "windows_batched"),
        "paper": counted(MUSIC, FULL_WINDOW, lambda: UNet1d(**MSDM)),
        "tiny": counted(COORDINATOR, WINDOW, lambda: SpectralTransformer(**BASE)),
        "difference_from_masked_attention": difference(),
        "peak_megabytes": measure.peaks(streams),
        "peak_of_ten_minutes_over_two": measure.peaks([GROWTH])[GROWTH],
        "bars": {
            "difference": 1e-5,
            "full_over_local_at_100": 10,
            "exponent": 1.1,
            "peak_of_ten_minutes_over_two": 1.1,
        },
    }
    measure.write("dde", row, options.out)


def counted(
    config: CoordinatorConfig, window: int, base: Callable[[], Backbone]
) -> dict[str, Any]:
    """Operations of one evaluation, in units of 10^12."""
    of_base = base_operations(window, base)
    found: dict[str, Any] = {"base_per_window": of_base, "full": {}, "local": {}}
    for name, one in (("full", config), ("local", local(config))):
        found[name] = {str(n): operations(one, window, n) for n in LENGTHS}
        found[f"{name}_over_base_at_13"] = found[name]["13"] / (13 * of_base)
        found[f"{name}_exponent"] = exponent(list(found[name].values()))
    found["full_over_local_at_100"] = found["full"]["100"] / found["local"]["100"]
    return found


def base_operations(window: int, make: Callable[[], Backbone]) -> float:
    """Of the base model for one window."""
    with torch.device("meta"):
        net = make()
        x, noise = torch.empty(1, 4, window), torch.empty(1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x, noise, Encoded())
    return counter.get_total_flops() / 1e12


def operations(config: CoordinatorConfig, window: int, windows: int) -> float:
    """Of the coordinator for that many windows."""
    stride = window * 3 // 4
    domain = Domain.chain(span(windows, window, stride), window, stride)
    with torch.device("meta"):
        net = Transformer(config)
    x = torch.empty(1, windows, config.channels, window, device="meta")
    heard = Heard(x0=x, x_t=x, level=KarrasVE().level(1.0))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(heard, net.prepare(domain, x))
    return counter.get_total_flops() / 1e12


def exponent(values: Sequence[float]) -> float:
    """Slope of the logarithms over `LENGTHS`."""
    x, y = [math.log(n) for n in LENGTHS], [math.log(v) for v in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return slope / sum((a - mean_x) ** 2 for a in x)


def timed(windows: int) -> dict[str, Callable[[], object]]:
    """One evaluation of a composite denoiser with the tiny sizes."""
    stride = WINDOW * 3 // 4
    domain = Domain.chain(span(windows, WINDOW, stride), WINDOW, stride)
    base = EDMNetwork(SpectralTransformer(**BASE).requires_grad_(False), 0.2)
    x = torch.randn((1, 4, *domain.size), generator=torch.Generator().manual_seed(0))
    level = KarrasVE().level(0.5)

    def ask(config: CoordinatorConfig | None, rows: int) -> Callable[[], object]:
        composed = DDE(Bound(base), domain, None if config is None else spoken(config))
        state = composed.init(x)

        def run() -> object:
            with torch.no_grad():
                return composed(x, level, state, Local(rows))

        return run

    return {
        "windows_one_by_one": ask(None, 1),
        "windows_batched": ask(None, windows),
        "with_full": ask(COORDINATOR, windows),
        "with_local": ask(local(COORDINATOR), windows),
    }


def difference() -> float:
    """The greatest one, in float32, between local attention and full attention with a mask."""
    config = dataclasses.replace(COORDINATOR, patch=256, depth=2)
    stride = WINDOW * 3 // 4
    domain = Domain.chain(span(5, WINDOW, stride), WINDOW, stride)
    near = dataclasses.replace(config, reach=1)
    x = torch.randn((1, 5, 4, WINDOW), generator=torch.Generator().manual_seed(0))
    heard = Heard(x0=x, x_t=x, level=KarrasVE().level(0.5))
    one, other = spoken(near), spoken(config)
    tokens = WINDOW // config.patch
    reach = torch.zeros(5, 5, dtype=torch.bool)
    for i, row in enumerate(domain.neighbours()):
        reach[i, [x.index for x in row if x.hops <= 1]] = True
    mask = reach.repeat_interleave(tokens, 0).repeat_interleave(tokens, 1)
    plain = torch.nn.functional.scaled_dot_product_attention
    found = one(heard, one.prepare(domain, x))
    torch.nn.functional.scaled_dot_product_attention = lambda q, k, v: plain(q, k, v, mask)
    try:
        expected = other(heard, other.prepare(domain, x))
    finally:
        torch.nn.functional.scaled_dot_product_attention = plain
    return float((found - expected).abs().max() / expected.abs().max())


def growth() -> float:
    """The most memory that ten minutes take over what their first two do, in one process."""
    before, early = measure.held(), math.inf
    for minutes in stream(10):
        if minutes >= 2:
            early = min(early, measure.most() - before)
    return (measure.most() - before) / early


def stream(minutes: int) -> Iterator[float]:
    """A stream of the tiny coordinator with two steps; says how long it is so far."""
    made = Expansion(
        subject="music",
        base=EDMNetwork(SpectralTransformer(**LEAST_BASE).requires_grad_(False), 0.2, clamp=True),
        coordinators={"local": spoken(local(COORDINATOR))},
        channels=4,
        window=(WINDOW,),
        stride=(WINDOW * 3 // 4,),
        walk=Walk(steps=2, sigma_min=1e-3),
        facts={"sample_rate": RATE, "stems": list(STEMS), "windows": 5},
    )
    pipe = MusicPipeline(made, evaluator=Local(4))
    samples = 0
    for piece in pipe.stream(60 * minutes, generator=torch.Generator().manual_seed(0)):
        samples += piece.shape[1]
        yield samples / RATE / 60
    assert samples == 60 * minutes * RATE


if __name__ == "__main__":
    main()
