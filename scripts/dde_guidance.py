"""Which guidance objects at several places need, by method.

Usage: ``python scripts/dde_guidance.py [NUMBER]``; 64 pictures of each take minutes on one core.

The places are none of those of `dde-positions`, and two each: as many as a coordinator was taught.
Prints the share of pictures with an object at every place, and of those with nothing else.
"""

from __future__ import annotations

import sys

from compose_benchmarks.trials.dde_positions import START, TRIAL, Found, Kept, asked, draw, loaded

WEIGHTS = {
    "dde": (4.0, 10.0, 20.0, 30.0),
    "multidiffusion": (1.0, 2.0, 4.0, 8.0, 20.0),
    "rrr": (1.0, 2.0, 4.0, 8.0, 20.0),
}
PLACES, BATCH = 2, 64


def main(number: int = 64) -> None:
    """Draw, judge and print."""
    pipe, kept = loaded(TRIAL.model, "cpu")
    given = asked(PLACES, number, START + 1_000_000)
    for method, weights in WEIGHTS.items():
        for w in weights:
            held, exact = Kept(kept.classifier, kept.source), Found()
            for start in range(0, number, BATCH):
                some = given[start : start + BATCH]
                pictures = draw(pipe, method, some, 1_000_000 + start, w)
                for metric in (held, exact):
                    metric.update(pictures, some)
            found = [f"{metric.compute().value:.3f}" for metric in (held, exact)]
            print(f"{method:15} w = {w:4.0f}  accuracy {found[0]}  exactly {found[1]}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
