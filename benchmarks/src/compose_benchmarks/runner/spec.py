"""Everything that decides the pictures of a run; its hash names the folder they lie in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from compose_core.method import Method

__all__ = ["Spec", "sources_digest"]

_MAKING = ("lockstep.py", "plain.py", "runner/generate.py", "runner/files.py")
"""Modules of this package that decide pictures; the others only look at them."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What was asked for, and of which code and weights.

    Attributes:
        suite: Name of the suite.
        suite_version: Its version.
        items_sha256: Hash of all items.
        n: How many they are.
        method: Name of the method.
        model: Id in the zoo, or a folder.
        model_sha256: Hash over the files of the model.
        sampler: Name of the sampler.
        steps: Its steps.
        guidance: Scale of classifier-free guidance.
        dtype: What the networks compute in.
        micro_batch: Items in one batch.
        max_batch: The most rows of one network call.
        threads: Threads of each process on the CPU.
        device: Kind of device: cpu, cuda, mps.
        sources_sha256: Hash of the code that makes the pictures.
    """

    suite: str
    suite_version: int
    items_sha256: str
    n: int
    method: str
    model: str
    model_sha256: str
    sampler: str
    steps: int
    guidance: float
    dtype: str
    micro_batch: int
    max_batch: int
    threads: int
    device: str
    sources_sha256: str

    @property
    def run_id(self) -> str:
        """sha256 of all of it."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


@cache
def sources_digest(method: type[Method]) -> str:
    """sha256 over the code that decides the pictures of a method.

    That is all of `compose_core`, the package that the method comes from, and the few modules
    here that walk and write. Files of an older code are then never taken for those of a newer.
    It is read once: what changes on the disk later is not what runs.
    """
    here = Path(__file__).parent.parent
    files = {f"bench/{name}": here / name for name in _MAKING}
    top = method.__module__.partition(".")[0]
    for package in {"compose_core", top} - {here.name}:
        root = Path(import_module(package).__path__[0])
        found = sorted(root.rglob("*.py"))
        files |= {f"{package}/{path.relative_to(root).as_posix()}": path for path in found}
    total = hashlib.sha256()
    for name, path in sorted(files.items()):
        total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()
