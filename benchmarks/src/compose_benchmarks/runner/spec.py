"""What decides the pictures of a run, whatever their number; its hash names their folder.

The items are not part of it, since every file carries its own scene and is compared with it: a run
of 8 pictures is thus the beginning of a run of 256.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

__all__ = ["Spec"]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What was asked for, and of which code and weights.

    Attributes:
        suite: Name of the suite.
        suite_version: Its version.
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
        adapter_sha256: Hash over the files of the method's adapter; "" where it has none, several
            joined by "+".
    """

    suite: str
    suite_version: int
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
    adapter_sha256: str = ""

    @property
    def run_id(self) -> str:
        """sha256 of all of it."""
        said = {key: value for key, value in asdict(self).items() if value != ""}
        text = json.dumps(said, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()
