"""What every script here shares: timing against a peer in one run, and the row it writes.

Absolute times depend on the machine and on what else runs on it. Each script therefore times the
thing and its peer in turns, in one run, and reports the ratio; seconds stand beside it only for
orientation. Unless a row says otherwise they are seconds of the processor, not of the wall clock,
so that a busy neighbour does not count.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def arguments(description: str | None, **defaults: int) -> argparse.Namespace:
    """Read ``--name N`` for every default, and ``--out`` for the folder of the row."""
    parser = argparse.ArgumentParser(description=description)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON row")
    parser.add_argument("--peak", default="", help="only run this contender, and print its memory")
    return parser.parse_args()


def of_children() -> float:
    """Read the processor time of the finished child processes, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def in_turns(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Time every contender once per round, so that a slow moment of the machine hits them all.

    One round before the first is not counted.

    The order is reversed in every second round: whoever runs first after a pause gains nothing.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(-1, rounds):
        names = list(contenders)[:: 1 if turn % 2 else -1]
        for name in names:
            start = clock()
            contenders[name]()
            if turn >= 0:
                seconds[name].append(clock() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], over: str, under: str) -> dict[str, float]:
    """Compare two contenders round by round: median, quartiles, and the ratio of the fastest."""
    pairs = [a / b for a, b in zip(seconds[over], seconds[under], strict=True)]
    low, middle, high = statistics.quantiles(pairs, n=4)
    fastest = min(seconds[over]) / min(seconds[under])
    return {"median": middle, "q25": low, "q75": high, "of_fastest": fastest}


def medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Take the median of every contender."""
    return {name: statistics.median(times) for name, times in seconds.items()}


def peaks(contenders: Iterable[str]) -> dict[str, float]:
    """Run this program again for every contender: the megabytes that each holds at most.

    Each gets a process of its own, so none finds memory that another has left behind. The program
    must hand its contenders to `peak_asked` once they are ready.
    """
    found: dict[str, float] = {}
    for name in contenders:
        command = [sys.executable, *sys.argv, "--peak", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = float(done.stdout.split()[-1])
    return found


def peak_asked(
    options: argparse.Namespace, contenders: Mapping[str, Callable[[], object]]
) -> bool:
    """In a process of `peaks`, run its contender, print its memory and say that this is one."""
    if options.peak in contenders:
        print(peak(contenders[options.peak]))
    return bool(options.peak)


def peak(run: Callable[[], object]) -> float:
    """Megabytes by which the memory of this process rises at most while `run` runs once."""
    before = held()
    run()
    return most() - before


def held() -> float:
    """Read the megabytes that this process holds, and let `most` begin with them.

    Where the kernel keeps no such mark they are the most so far.
    """
    marks = Path("/proc/self/clear_refs")
    if marks.exists():
        marks.write_text("5")  # the highest so far becomes what is held now
    return most()


def most() -> float:
    """Read the megabytes that this process has held at most.

    `ru_maxrss` of a child begins with what its parent held, and never falls.
    """
    status = Path("/proc/self/status")
    for line in status.read_text("utf-8").splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def write(name: str, row: Mapping[str, Any], folder: Path) -> None:
    """Write ``<folder>/<name>.json``: the row, the machine and the versions. Also print it."""
    whole = {"name": name, **row, "machine": machine(), "versions": versions(), "commit": commit()}
    text = json.dumps(_rounded(whole), indent=2) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(text, "utf-8")
    print(text, end="")


def machine() -> dict[str, Any]:
    """Describe where the row was measured, without naming the host."""
    import torch  # here, because `import_time` has no use for it while it measures

    from compose_benchmarks.facts import processor

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": load,
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Read the versions that a number may depend on."""
    names = ("compose-core", "compose-metrics", "compose-worlds", "compose-cnc")
    names += ("torch", "numpy", "diffusers", "transformers")
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "from source"
    return found


def commit() -> str:
    """Name the commit, marked when the working tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    here = Path(__file__).parent
    result = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
