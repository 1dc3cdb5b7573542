"""Make the pictures of a study; what is there already is kept.

The folder is the work list, as in `compose_benchmarks.runner`: a group of pairs is done under a
setting when its files are whole and its note says that they were made together.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compose_benchmarks.runner.share import groups
from compose_benchmarks.studies.pairs import Drawn, Pair, drawn
from compose_benchmarks.studies.study import Setting
from compose_cnc.guidance import CFG
from compose_cnc.pipeline import CnCPipeline
from compose_core.evaluate import Local
from compose_core.run.files import write_atomic

__all__ = ["Plan", "Progress", "load", "make", "read", "seconds"]

Progress = Callable[[int, int], None]
"""Receives how many pictures are done, of how many."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides the pictures of a study, but pairs and settings.

    Attributes:
        study: Its name.
        model: Id in the zoo, or a folder.
        model_sha256: Hash over its files.
        adapter: Likewise, of Compose and Conquer.
        adapter_sha256: Hash over its files.
        steps: Steps of DDIM.
        guidance: Scale of classifier-free guidance. There is no prompt, so with `cfg="official"`
            both sides hear the same and it changes nothing.
        cfg: What the unconditional side hears, where `guidance` is not 1.
        device: Kind of device.
        micro_batch: Pairs in one batch.
        max_batch: The most rows of one network call.
        threads: On the CPU.
        sources_sha256: Hash of the code that makes the pictures.
    """

    study: str
    model: str
    model_sha256: str
    adapter: str
    adapter_sha256: str
    steps: int
    guidance: float
    cfg: CFG
    device: str
    micro_batch: int
    max_batch: int
    threads: int
    sources_sha256: str

    @property
    def run_id(self) -> str:
        """sha256 of all of it."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def load(model: Path, adapter: Path, device: str) -> CnCPipeline:
    """The pipeline of a model and an adapter.

    Raises:
        WeightsError: A part is missing or damaged, or the two do not belong together.
    """
    pipe: Any = CnCPipeline.from_pretrained(model, adapter=adapter)
    pipe.set_progress_bar_config(disable=True)
    return cast(CnCPipeline, pipe.to(device))


def make(
    folder: Path,
    plan: Plan,
    pipe: Callable[[], CnCPipeline],
    some: Sequence[Pair],
    settings: Sequence[Setting],
    progress: Progress | None = None,
) -> None:
    """Draw every pair under every setting.

    Args:
        folder: Of this plan's pictures.
        plan: What decides them.
        pipe: Loads the networks; not called when nothing is missing.
        some: The pairs.
        settings: The settings.
        progress: Is told.

    Raises:
        ComposeError: The disk does not permit it.
    """
    total = len(some) * len(settings)
    work = [(one, group) for group in groups(len(some), plan.micro_batch) for one in settings]
    missing = [(one, group) for one, group in work if not _done(folder, one, group)]
    done = total - sum(len(group) for _, group in missing)
    if progress is not None:
        progress(done, total)
    if not missing:
        return
    at, given = range(0), drawn(some[:1])
    with _threads(plan.threads):
        loaded = pipe()
        for one, group in missing:
            members = [some[i] for i in group]
            if group != at:
                at, given = group, drawn(members)
            started = time.perf_counter()
            pictures = _draw(loaded, plan, given, [pair.seed for pair in members], one)
            taken = time.perf_counter() - started
            note = _note(folder, one, group)
            note.unlink(missing_ok=True)  # it holds only once all of these files are there
            for number, levels in zip(group, pictures, strict=True):
                write_atomic(_path(folder, one, number), _png(levels))
            write_atomic(note, json.dumps({"items": len(group), "seconds": taken}).encode())
            done += len(group)
            if progress is not None:
                progress(done, total)


def read(folder: Path, setting: Setting, n: int) -> Tensor:
    """The first `n` pictures under a setting, (n, 3, H, W) uint8.

    Raises:
        OSError: A picture is missing or damaged.
    """
    return torch.stack([_read(_path(folder, setting, number)) for number in range(n)])


def seconds(folder: Path, n: int, micro_batch: int, settings: Sequence[Setting]) -> float:
    """What the pictures took to make, over all sittings."""
    every = [(one, group) for one in settings for group in groups(n, micro_batch)]
    return sum(float((_noted(folder, one, group) or {}).get("seconds", 0)) for one, group in every)


@torch.no_grad()
def _draw(
    pipe: CnCPipeline, plan: Plan, given: Drawn, seeds: Sequence[int], setting: Setting
) -> Tensor:
    """Pictures (B, 3, H, W) uint8 of pairs under one setting."""
    looks = (given.second, given.first) if setting.swapped else (given.first, given.second)
    made: Any = pipe(
        [""] * len(seeds),
        depth_fg=list(given.depth),
        depth_bg=list(given.depth),
        mask=list(given.mask),
        exemplar_fg=list(looks[0]),
        exemplar_bg=list(looks[1]),
        lambda_fg=setting.lambda_fg,
        lambda_bg=setting.lambda_bg,
        soft_guidance=setting.soft_guidance,
        cfg=plan.cfg,
        guidance_scale=plan.guidance,
        num_inference_steps=plan.steps,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        evaluator=Local(plan.max_batch),
        output_type="pt",
        warn=lambda _: None,
    )
    return (made.images.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def _done(folder: Path, setting: Setting, group: range) -> bool:
    if (_noted(folder, setting, group) or {}).get("items") != len(group):
        return False
    try:
        for number in group:
            _read(_path(folder, setting, number))
    except (OSError, SyntaxError, ValueError):  # what Pillow raises of damaged files
        return False
    return True


def _png(levels: Tensor) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(levels.permute(1, 2, 0).numpy())).save(stream, "PNG")
    return stream.getvalue()


def _read(path: Path) -> Tensor:
    with Image.open(path, formats=("PNG",)) as opened:
        return torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1)


def _noted(folder: Path, setting: Setting, group: range) -> dict[str, Any] | None:
    try:
        return json.loads(_note(folder, setting, group).read_text("utf-8"))
    except (OSError, ValueError):  # killed before it was written, or damaged
        return None


def _path(folder: Path, setting: Setting, number: int) -> Path:
    return folder / setting.id / f"{number:05d}.png"


def _note(folder: Path, setting: Setting, group: range) -> Path:
    return folder / setting.id / f"{group.start:05d}.json"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads on the CPU: sums in another order round to other pictures."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
