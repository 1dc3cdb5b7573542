"""``compose doctor``: versions, devices, checkpoints, and traps known to bite."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from compose_core.cli import say
from compose_core.errors import ComposeError

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy",
             "pillow", "pydantic", "huggingface-hub")  # fmt: skip
_LOWEST = {"diffusers": (0, 42), "transformers": (5, 0), "accelerate": (1, 15), "torch": (2, 6)}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there is a trap")


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    for title, lines in (("versions", versions()), ("devices", devices()), ("zoo", models())):
        say(title)
        for line in lines:
            say(f"  {line}")
    found = list(traps())
    say("traps" if found else "no traps found")
    for line in found:
        say(f"  {line}")
    return 1 if args.strict and found else 0


def versions() -> Iterator[str]:
    """Python, this project's packages and those that they stand on."""
    yield f"python {platform.python_version()} on {platform.platform()}"
    for name, number in sorted(_own().items()):
        yield f"{name} {number}"
    for name in _PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            yield f"{name} is not installed"


def devices() -> Iterator[str]:
    """What can compute here, and how much memory is left."""
    import torch

    from compose_core.run.limits import available_bytes

    memory = available_bytes("cpu")
    left = f", {memory / 2**30:.1f} GiB of memory free" if memory is not None else ""
    yield f"cpu: {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads{left}"
    for i in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(i)
        name = torch.cuda.get_device_name(i)
        yield f"cuda:{i}: {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if torch.backends.mps.is_available():
        yield "mps: available"


def models() -> Iterator[str]:
    """Every model of the zoo and whether its files are here and intact."""
    from compose_core import zoo

    for name in zoo.known():
        try:
            yield f"{name}: {zoo.resolve(name)}"
        except ComposeError as error:
            yield f"{name}: {error.what}"


def traps() -> Iterator[str]:
    """Situations in which things go wrong quietly."""
    for name, lowest in _LOWEST.items():
        number = _number(name)
        if number is not None and number < lowest:
            wanted = ".".join(map(str, lowest))
            yield f"{name} {version(name)} is older than {wanted}: loading is unsafe or wrong"
    own = _own()
    if len(set(own.values())) > 1:
        yield f"packages of different releases: {', '.join(f'{k} {v}' for k, v in own.items())}"
    if sys.version_info < (3, 11, 13):
        yield "this Python unpacks archives unsafely (CVE-2025-4517): use 3.11.13 or later"
    if "OMP_NUM_THREADS" not in os.environ:
        yield "OMP_NUM_THREADS is not set: pictures repeat byte for byte at one thread count only"
    if (free := shutil.disk_usage(Path.cwd()).free) < 2**30:
        yield f"only {free / 2**20:.0f} MiB left on the disk of {Path.cwd()}"


def _own() -> dict[str, str]:
    """Versions of the packages of this project."""
    found = ((str(d.metadata["Name"]), d.version) for d in distributions())
    return {name: number for name, number in found if name.startswith("compose-")}


def _number(name: str) -> tuple[int, ...] | None:
    try:
        parts = version(name).split("+")[0].split(".")[:2]
        return tuple(int(part) for part in parts)
    except (PackageNotFoundError, ValueError):
        return None
