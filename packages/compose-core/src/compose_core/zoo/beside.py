"""Checkpoints that lie beside the model they change: LoRA (Hu et al. 2021, arXiv 2106.09685).

Such a folder has no `model_index.json` but `lora.json`, which names its base, and the tensors
under the name that diffusers gives them. Only JSON is read here.
"""

import json
from pathlib import Path
from typing import Any, cast

from compose_core.errors import WeightsError

INDEX = "lora.json"
TENSORS = "pytorch_lora_weights.safetensors"
FORMAT = 1


def is_beside(folder: Path) -> bool:
    """Whether a folder holds changes to a base model and not a model."""
    return (folder / INDEX).is_file() and not (folder / "model_index.json").exists()


def read_index(folder: Path) -> tuple[str, float]:
    """The id or folder of the base, and the strength that the changes have.

    Raises:
        WeightsError: `lora.json` cannot be read or says something else.
    """
    path = folder / INDEX
    try:
        found: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read", got=error, expected="JSON") from error
    index = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    base, strength = index.get("base"), index.get("strength", 1.0)
    fits = index.get("format") == FORMAT and isinstance(base, str) and base
    if not (fits and isinstance(strength, (int, float)) and not isinstance(strength, bool)):
        raise WeightsError(
            f"{path} says something else than what is read here",
            got=json.dumps(found),
            expected=f'{{"format": {FORMAT}, "base": "id of a model", "strength": 1.0}}',
        )
    return cast(str, base), float(strength)
