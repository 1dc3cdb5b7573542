"""How `clip-tiny` was made: an open_clip model, contrastive on rendered scenes and captions."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from compose_zoo.recipes import stages, text, towers

SEED = 4


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write ``folder/export``: open_clip's config, weights, tokenizer."""
    task = towers.TowersTask(folder.parent / "cache" / "primitives")
    stages.run(task, towers.CONFIG, folder / "towers", device=device, resume=resume, steps=steps)
    out = folder / "export"
    words = text.tokenizer()
    words.save_pretrained(out)
    text.compact(out)
    settings = {
        "model_cfg": towers.config(len(words)),
        "preprocess_cfg": {"size": 64, "mean": [0.5] * 3, "std": [0.5] * 3},
    }
    (out / "open_clip_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    state = task.clip.state_dict()
    kept = {k: v.half().contiguous() for k, v in state.items() if k != "attn_mask"}
    save_file(kept, out / "open_clip_model.safetensors")
