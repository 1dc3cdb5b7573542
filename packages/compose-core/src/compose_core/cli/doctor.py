"""``compose doctor``: versions, devices, checkpoints, and traps known to bite."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path

from compose_core.cli import say
from compose_core.errors import ComposeError

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy",
             "pillow", "pydantic", "huggingface-hub")  # fmt: skip


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
        yield f"{name} {_version(name) or 'is not installed'}"


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

    try:
        known = zoo.known()
    except ComposeError as error:
        known = ()
        yield error.what
    for name in known:
        try:
            yield f"{name}: {zoo.resolve(name)}"
        except ComposeError as error:
            yield f"{name}: {error.what}"


def traps() -> Iterator[str]:
    """Situations in which things go wrong quietly, and what is installed and cannot be used."""
    from compose_core import method, zoo

    for name, lowest in _lowest().items():
        found = _version(name)
        if found is not None and _numbers(found) < _numbers(lowest):
            yield f"{name} {found} is older than {lowest}: loading is unsafe or wrong"
    yield from _faults(zoo.known, _check_checkpoint)
    yield from _faults(method.methods, method.find)
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


def _faults(names: Callable[[], Iterable[str]], check: Callable[[str], object]) -> Iterator[str]:
    """What ``check`` has against each of the names, one line each."""
    try:
        known = list(names())
    except ComposeError as error:
        yield _in_a_line(error)
        return
    for name in known:
        try:
            check(name)
        except ComposeError as error:
            yield f"{name}: {_in_a_line(error)}"


def _check_checkpoint(model_id: str) -> None:
    """A checkpoint that is absent is no fault; one that is here has to be whole."""
    from compose_core import zoo

    if zoo.place(model_id) is not None:
        zoo.resolve(model_id)


def _in_a_line(error: ComposeError) -> str:
    return " ".join(str(error).split())


def _lowest() -> dict[str, str]:
    """The lower bounds that compose-core declares; none in a source tree without metadata."""
    try:
        declared = requires("compose-core") or []
    except PackageNotFoundError:
        declared = []
    bounds = (re.fullmatch(r"([\w-]+)>=([\d.]+)", line) for line in declared)  # without extras
    return {bound[1]: bound[2] for bound in bounds if bound}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _numbers(release: str) -> list[int]:
    """The numbers that a version begins with; zeros at the end mean nothing."""
    start = re.match(r"\d+(\.\d+)*", release)
    return [int(part) for part in re.sub(r"(\.0+)+$", "", start[0]).split(".")] if start else []
