"""A published checkpoint becomes a folder of diffusers components, whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from compose_cnc.convert import keys, networks
from compose_cnc.convert.extras import copy_base, write_adapter, write_index, write_scheduler
from compose_cnc.convert.read import read_checkpoint
from compose_cnc.exemplars import ExemplarEncoder
from compose_core.errors import ComposeError, UsageError, WeightsError
from compose_core.zoo.digest import digest

__all__ = ["Conversion", "convert", "verify"]

_FOLDERS = {
    "unet": "unet",
    "vae": "vae",
    "text_encoder": "text_encoder",
    "local_fuser": "cnc/local_fuser",
    "global_fuser": "cnc/global_fuser",
}
_FILES = {"text_encoder": "model.safetensors"}
_FILE = "diffusion_pytorch_model.safetensors"

_STRANGERS = {
    "control_model.": "a ControlNet",
    "model_ema.": "a checkpoint with a moving average of its weights",
    "conditioner.": "Stable Diffusion XL",
    "cond_stage_model.model.": "Stable Diffusion 2",
    "down_blocks.": "one part of a diffusers model",
    "local_adapter.feature_extractor.pre_extractor.": "Uni-ControlNet",
}
"""How names of other models begin."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What became of a checkpoint.

    Attributes:
        folder: Where the components are: the base here, the fusers under `cnc/`.
        parameters: Number of weights of each part.
        ignored: Names that are no weights and were not kept, and what they are.
        absent: Parts of a pipeline that are not there, and why.
        compared: Tensors that were read back and found equal; 0 when nobody asked.
    """

    folder: Path
    parameters: Mapping[str, int]
    ignored: Mapping[str, str]
    absent: Mapping[str, str]
    compared: int = 0


def convert(
    checkpoint: str | Path,
    out: str | Path,
    *,
    base: str | Path | None = None,
    exemplars: ExemplarEncoder | None = None,
    check: bool = False,
) -> Conversion:
    """Write the components of a published checkpoint of Compose and Conquer.

    The UNet, autoencoder and text encoder are taken from the checkpoint as well: its base need not
    be, to the bit, the one that is published elsewhere.

    Args:
        checkpoint: A `.ckpt` or `.safetensors` in the names of latent diffusion.
        out: A folder that is not there yet, or is empty.
        base: Folder of a Stable Diffusion 1 model in the layout of diffusers. The checkpoint has
            no vocabulary; the tokenizer is copied from here.
        exemplars: The picture encoder, which the checkpoint has not either; it is put beside the
            fusers.
        check: Read everything back and compare it, bit for bit, before the folder appears.

    Raises:
        WeightsError: The file is no checkpoint of this model, or not a sound one; the message
            names the tensors that are missing, left over or of another shape. Or the picture
            encoder has another width than the global fuser takes.
        UsageError: The folder is there already, or `base` does not fit.
    """
    out = Path(out).absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(
            "the result is there already",
            got=out,
            remedy="choose another folder, or remove this one",
        )
    tensors = read_checkpoint(checkpoint)
    parts, built = _understood(tensors, Path(checkpoint))
    draft = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        draft.mkdir(parents=True)
        for part, network in built.items():
            _write(draft, part, network, parts[part])
        write_adapter(draft / "cnc", built["global_fuser"], exemplars)
        done = _finish(draft, out, tensors, parts, Path(checkpoint), base)
        compared = verify(tensors, draft) if check else 0
        if out.exists():
            out.rmdir()
        draft.rename(out)
    except OSError as error:
        raise ComposeError(
            "the converted model could not be written",
            got=f"{out}: {error.strerror or error}",
            remedy="free some space, or choose another folder",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Conversion(compared=compared, **done)


def _understood(
    tensors: Mapping[str, Tensor], path: Path
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The parts in our names, and their networks; every name and shape accounted for."""
    for part, prefix in keys.PARTS.items():
        if not any(name.startswith(prefix) for name in tensors):
            raise _stranger(tensors, f"nothing under {prefix!r}, where the {part} should be", path)
    try:
        depth = networks.depth_of(list(tensors))
        parts, unknown = keys.from_official(tensors, depth)
        built = networks.build(parts, depth)
    except WeightsError as error:
        raise _stranger(tensors, str(error.got), path) from error
    wanted = {part: networks.shapes(network) for part, network in built.items()}
    missing: list[str] = []
    odd: list[str] = []
    for part, names in wanted.items():
        found = parts[part]
        official = _official_names(part, names, depth)
        missing += [official[name] for name in names.keys() - found.keys()]
        unknown += [f"{part}: {name}" for name in found.keys() - names.keys()]
        odd += [
            f"{official[name]} {tuple(found[name].shape)} for {tuple(names[name])}"
            for name in names.keys() & found.keys()
            if found[name].shape != names[name]
        ]
    lists = (("missing", missing), ("left over", unknown), ("of another shape", odd))
    if missing or unknown or odd:
        raise _stranger(
            tensors, "; ".join(f"{len(x)} {how}: {_some(x)}" for how, x in lists if x), path
        )
    _sound(tensors)
    return parts, built


def _official_names(part: str, names: Iterable[str], depth: keys.Depth) -> dict[str, str]:
    table = {name: key for key, name in keys.modules(part, depth).items()}
    return {name: f"{keys.PARTS[part]}{keys.renamed(name, table) or name}" for name in names}


def _some(names: list[str], most: int = 8) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + rest


def _stranger(tensors: Iterable[str], got: str, path: Path) -> WeightsError:
    known = {
        kind
        for prefix, kind in _STRANGERS.items()
        if any(name.startswith(prefix) for name in tensors)
    }
    looks = f"; it looks like {', '.join(sorted(known))}" if known else ""
    return WeightsError(
        "this is not a checkpoint of Compose and Conquer",
        got=f"{got}{looks}",
        expected="exactly the UNet, autoencoder, text encoder, local and global adapter",
        remedy=f"check {path}; it should be the published, integrated checkpoint",
    )


def _sound(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if name in keys.BUFFERS:
            continue
        if not tensor.is_floating_point():
            raise WeightsError(
                "the checkpoint is damaged",
                got=f"{tensor.dtype} in {name}",
                expected="floating point weights",
            )
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError("the checkpoint is damaged", got=f"NaN or infinity in {name}")


def _write(draft: Path, part: str, network: Any, tensors: Mapping[str, Tensor]) -> None:
    folder = draft / _FOLDERS[part]
    folder.mkdir(parents=True)
    if part == "text_encoder":
        network.config.save_pretrained(folder)
    else:
        network.save_config(folder)
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / _FILES.get(part, _FILE), metadata={"format": "pt"})


def _finish(
    draft: Path,
    out: Path,
    tensors: Mapping[str, Tensor],
    parts: Mapping[str, Mapping[str, Tensor]],
    checkpoint: Path,
    base: str | Path | None,
) -> dict[str, Any]:
    """Scheduler, tokenizer, index and a note on where all of it came from."""
    words = parts["text_encoder"]["text_model.embeddings.token_embedding.weight"].shape[0]
    absent = write_scheduler(draft, tensors.get("betas"))
    absent = copy_base(draft, None if base is None else Path(base), words, absent)
    if not (draft / "cnc" / "image_encoder").is_dir():
        absent["image_encoder"] = "a checkpoint has no picture encoder and none was given"
    write_index(draft)
    ignored = {name: keys.BUFFERS[name] for name in tensors if name in keys.BUFFERS}
    parameters = {part: sum(t.numel() for t in found.values()) for part, found in parts.items()}
    facts = {
        "format": "compose-cnc conversion 1",
        "checkpoint": {"name": checkpoint.name, "sha256": digest(checkpoint)},
        "tensors": {part: len(found) for part, found in parts.items()},
        "parameters": parameters,
        "ignored": ignored,
        "absent": absent,
    }
    text = json.dumps(facts, indent=2, sort_keys=True) + os.linesep
    (draft / "cnc" / "conversion.json").write_text(text, "utf-8")
    return {"folder": out, "parameters": parameters, "ignored": ignored, "absent": absent}


def verify(tensors: Mapping[str, Tensor], folder: str | Path) -> int:
    """Compare a converted folder with the checkpoint, through the inverse of the naming.

    Args:
        tensors: Of `read_checkpoint`.
        folder: What `convert` wrote.

    Returns:
        How many tensors were compared, which is all of them.

    Raises:
        WeightsError: Tensors that differ, are missing or were added; the message names them.
    """
    depth = networks.depth_of(list(tensors))
    left = {name for name in tensors if name not in keys.BUFFERS}
    wrong: list[str] = []
    count = len(left)
    for part, place in _FOLDERS.items():
        written = load_file(Path(folder) / place / _FILES.get(part, _FILE))
        back, unknown = keys.to_official({part: written}, depth)
        wrong += unknown
        for name, tensor in back.items():
            same = name in left and tensor.dtype == tensors[name].dtype
            if not (same and torch.equal(tensor, tensors[name])):
                wrong.append(name)
            left.discard(name)
    if wrong or left:
        raise WeightsError(
            "the converted model differs from the checkpoint",
            got=f"{len(wrong)} tensors differ: {_some(wrong)}; {len(left)} are missing: "
            f"{_some(sorted(left))}",
            expected="every tensor equal",
            remedy="convert again; if it repeats, this is a fault of the program",
        )
    return count
