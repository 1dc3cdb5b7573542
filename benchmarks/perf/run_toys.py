"""How long ``compose run examples/toys.toml`` takes, from the command to the picture on the disk.

Bar: at most 30 s of the wall clock on two cores. Importing torch and diffusers in an interpreter
of its own is timed beside it: the part that no code here can shorten.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import measure

SCENE = Path(__file__).parents[2] / "examples" / "toys.toml"
COMPOSE = "import sys; from compose_core.cli import main; sys.exit(main())"
LIBRARIES = "import torch, diffusers, transformers; from diffusers import UNet2DConditionModel"


def main() -> None:
    """Start each program in a fresh interpreter, in turns, with the threads that torch chooses."""
    options = measure.arguments(__doc__, rounds=3)
    with tempfile.TemporaryDirectory() as folder:
        run = ("run", str(SCENE), "--device", "cpu", "--out", folder, "--quiet")
        runs = {"run": starter(COMPOSE, *run), "libraries": starter(LIBRARIES)}
        seconds = measure.in_turns(runs, options.rounds, time.perf_counter)
    row = {
        "clock": "wall",
        "seconds": measure.medians(seconds),
        "slowest": max(seconds["run"]),
        "run_over_libraries": measure.ratio(seconds, "run", "libraries"),
        "bar": 30,
    }
    measure.write("run_toys", row, options.out)


def starter(code: str, *arguments: str) -> Callable[[], object]:
    """Run a program to its end; one that fails is an error, not a time."""
    command = [sys.executable, "-c", code, *arguments]
    return lambda: subprocess.run(command, capture_output=True, check=True)


if __name__ == "__main__":
    main()
