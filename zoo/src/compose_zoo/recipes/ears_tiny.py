"""How `ears-tiny` was made: the network of ``fad@tiny-v1``, which names what the band plays."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from compose_zoo.recipes import ears_task, stages

SEED = 11


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write ``folder/export``: without the heads."""
    task = ears_task.EarsTask(folder.parent / "cache" / "stems")
    config = ears_task.CONFIG
    stages.run(task, config, folder / "ears", device=device, resume=resume, steps=steps)
    if not stages.first():
        return
    out = folder / "export"
    out.mkdir(parents=True, exist_ok=True)
    kept = {k: v.half().contiguous() for k, v in task.network.state_dict().items()}
    save_file(kept, out / "model.safetensors")
    (out / "config.json").write_text(json.dumps({"kind": "ears", "version": 1}, indent=2) + "\n")
    held_out = task.validate({"ears": task.network, "heads": task.heads})
    (folder / "scores.json").write_text(json.dumps(held_out, indent=2) + "\n")
