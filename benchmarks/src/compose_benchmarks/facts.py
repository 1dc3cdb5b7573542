"""Where a run happened: code, versions, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import compose_core
from compose_benchmarks.record import Code, Environment, Hardware, MethodInfo
from compose_core.method import Method

__all__ = [
    "clone",
    "code",
    "environment",
    "hardware",
    "method_info",
    "processor",
    "results_folder",
]

_PACKAGES = (
    "compose-core",
    "compose-metrics",
    "compose-worlds",
    "compose-zoo",
    "compose-benchmarks",
    "diffusers",
    "transformers",
    "torchvision",
    "numpy",
    "pillow",
    "open-clip-torch",
    "safetensors",
)
"""Packages whose versions matter, besides torch."""


def clone() -> Path | None:
    """Root of the clone that the running sources belong to; None when they are installed."""
    source = compose_core.__file__
    for folder in Path(source).resolve().parents if source else ():
        if (folder / "constraints.txt").is_file() and (folder / "benchmarks").is_dir():
            return folder
    return None


def results_folder() -> Path:
    """Where published records are: in the clone that one stands in, else in that of the code."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "benchmarks" / "pyproject.toml").is_file():
            return folder / "benchmarks" / "results"
    root = clone()
    return (root if root is not None else here) / "benchmarks" / "results"


def code(sources_sha256: str, scoring_sha256: str) -> Code:
    """Commit and state of the clone, and the hashes of what makes and what scores pictures."""
    root = clone()
    commit = _git(root, "rev-parse", "HEAD") if root else None
    changed = _git(root, "status", "--porcelain", "--untracked-files=no") if root else None
    pins = root / "constraints.txt" if root else None
    return Code(
        commit=commit or "",
        dirty=None if commit is None or changed is None else bool(changed),
        sources_sha256=sources_sha256,
        scoring_sha256=scoring_sha256,
        constraints_sha256=hashlib.sha256(pins.read_bytes()).hexdigest() if pins else "",
    )


def method_info(method: type[Method]) -> MethodInfo:
    """What a record says of a method."""
    top = method.__module__.partition(".")[0]
    return MethodInfo(
        name=method.name,
        summary=method.summary,
        package=top.replace("_", "-"),
        version=str(getattr(import_module(top), "__version__", "unknown")),
    )


def environment() -> Environment:
    """Versions of what computed."""
    import torch

    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return Environment(
        python=platform.python_version(),
        torch=torch.__version__,
        cuda=torch.version.cuda or "" if torch.cuda.is_available() else "",
        os=platform.platform(terse=True),
        packages=found,
    )


def hardware(device: str) -> Hardware:
    """The machine; the graphics card only where it was used."""
    import torch

    gpu = torch.cuda.get_device_name(torch.device(device)) if device.startswith("cuda") else ""
    return Hardware(cpu=processor(), cores=os.cpu_count() or 1, gpu=gpu, ram_bytes=_memory())


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.SubprocessError):  # no git, or a very slow disk
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def processor() -> str:
    """Name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0
