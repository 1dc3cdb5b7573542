"""Guidance and 8 windows as one batched network call, against one call for each question.

Bar: at least 1.5 times faster. Both give the same prediction, which is checked.
"""

from __future__ import annotations

import measure
import torch
from subject import Subject, subject

from compose_core import Bound, Consensus, Denoiser, Guided, Local, Prediction, cover

WINDOWS = 8


def main() -> None:
    """Time one prediction of a panorama in turns."""
    torch.set_num_threads(1)
    options = measure.arguments(__doc__, rounds=15)
    model = subject()
    wide = 16 + 8 * (WINDOWS - 1)
    x_t = torch.randn(1, 4, 16, wide, generator=torch.Generator().manual_seed(1))
    level = model.schedule.levels(20)[5]
    denoiser = panorama(model, wide)
    batched, single = Local(), Local(max_batch=1)

    @torch.no_grad()
    def predict(evaluator: Local) -> Prediction:
        return denoiser(x_t, level, denoiser.init(x_t), evaluator=evaluator)

    runs = {"batched": lambda: predict(batched), "one_by_one": lambda: predict(single)}
    if measure.peak_asked(options, runs):
        return
    held = measure.peaks(runs)
    torch.testing.assert_close(predict(batched).x0, predict(single).x0, rtol=1e-3, atol=1e-3)
    seconds = measure.in_turns(runs, options.rounds)
    row = {
        "model": model.name,
        "questions": 2 * WINDOWS,
        "seconds": measure.medians(seconds),
        "peak_megabytes": held,
        "one_by_one_over_batched": measure.ratio(seconds, "one_by_one", "batched"),
        "bar": 1.5,
    }
    measure.write("batching", row, options.out)


def panorama(model: Subject, wide: int) -> Denoiser:
    """Eight overlapping windows, each guided."""
    windows = cover((16, wide), (16, 16), (16, 8))
    assert len(windows) == WINDOWS
    cond, uncond = (Bound(model.network, encoded) for encoded in (model.prompt, model.empty))
    return Consensus([Guided(cond, uncond, 4.0) for _ in windows], windows)


if __name__ == "__main__":
    main()
