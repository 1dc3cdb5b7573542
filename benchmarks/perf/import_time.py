"""How long ``import compose_core`` and ``compose --help`` take, over an idle interpreter.

Bars: import at most 0.3 s, help at most 0.5 s; importing the pipeline costs what torch and
diffusers cost, which is measured beside it and not counted.
"""

import subprocess
import sys

import measure

PROGRAMS = {
    "nothing": "pass",
    "core": "import compose_core",
    "torch": "import torch",
    "help": "import sys; sys.argv = ['compose', '--help']; "
    "from compose_core.cli import main; main()",
    "denoiser": "from compose_core import Denoiser",
}


def main() -> None:
    """Start each program in a fresh interpreter, in turns."""
    options = measure.arguments(__doc__, rounds=15)
    runs = {name: _starter(code) for name, code in PROGRAMS.items()}
    seconds = measure.in_turns(runs, options.rounds, measure.of_children)
    median = measure.medians(seconds)
    row = {
        "seconds": median,
        "import_core": median["core"] - median["nothing"],
        "compose_help": median["help"],
        "denoiser_over_torch": measure.ratio(seconds, "denoiser", "torch"),
        "bars": {"import_core": 0.3, "compose_help": 0.5},
    }
    measure.write("import_time", row, options.out)


def _starter(code: str) -> "measure.Callable[[], object]":
    command = [sys.executable, "-c", code]
    return lambda: subprocess.run(command, capture_output=True, check=False)


if __name__ == "__main__":
    main()
