"""Checkpoints that lie beside the model they change: LoRA (Hu et al. 2021, arXiv 2106.09685).

Such a folder has no `model_index.json` but `lora.json`, which names its base, and the tensors
under the name that diffusers gives them. Only JSON is read here.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple, cast

from compose_core.errors import WeightsError

INDEX = "lora.json"
TENSORS = "pytorch_lora_weights.safetensors"
WHOLE = "model_index.json"
FORMAT = 1
_EXAMPLE = f'{{"format": {FORMAT}, "base": "id of a model", "strength": 1.0}}'


class Index(NamedTuple):
    """What a `lora.json` says.

    Attributes:
        base: Id or folder of the model that is changed.
        strength: Factor on the changes.
        base_sha256: That the base must have (`hash_folder`), or "" if any will do.
    """

    base: str
    strength: float = 1.0
    base_sha256: str = ""


def is_beside(folder: Path) -> bool:
    """Whether a folder holds changes to a base model and not a model.

    Raises:
        WeightsError: It holds both, or changes that do not say to which model.
    """
    whole, index = (folder / WHOLE).is_file(), (folder / INDEX).is_file()
    if whole and index:
        raise WeightsError(
            f"{folder} holds a whole model and changes to one",
            got=f"{WHOLE} and {INDEX}",
            expected="one of them",
            remedy="move one of them into a folder of its own",
        )
    if not whole and not index and (folder / TENSORS).is_file():
        raise WeightsError(
            f"{folder} does not say which model it changes",
            got=f"{TENSORS} alone",
            expected=f"{INDEX} beside it",
            remedy=f"write {_EXAMPLE} into {folder / INDEX}",
        )
    return index


def read_index(folder: Path) -> Index:
    """What `lora.json` says.

    Raises:
        WeightsError: It cannot be read or says something else.
    """
    path = folder / INDEX
    try:
        found: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read", got=error, expected=_EXAMPLE) from error
    said = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    base, strength = said.get("base"), said.get("strength", 1.0)
    pin = said.get("base_sha256", "")
    known = set(said) <= {"format", *Index._fields}
    right = said.get("format") is not True and said.get("format") == FORMAT
    named = isinstance(base, str) and base != "" and isinstance(pin, str)
    if not (known and right and named and _finite(strength)):
        raise WeightsError(
            f"{path} says something else than what is read here",
            got=json.dumps(found),
            expected=_EXAMPLE,
        )
    return Index(cast(str, base), float(strength), pin)


def _finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
