"""Reading weights that others published: found, checked, and never unpickled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from compose_core.errors import UsageError, WeightsError
from compose_core.zoo.digest import remembered_digest

_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_CONVERT = (
    "convert it once, in a place where you trust the file: torch.load(old, weights_only=True), "
    "then safetensors.torch.save_file(tensors, new)"
)


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """One file of a Hub repository at one commit.

    Attributes:
        repo: As in ``owner/name``.
        revision: The full commit hash, 40 lower-case hex digits; a branch moves, a commit stays.
        name: The file inside the repository, a safetensors file.
        sha256: What its bytes must hash to; empty when nobody has pinned it yet.
    """

    repo: str
    revision: str
    name: str
    sha256: str = ""

    def __post_init__(self) -> None:
        """Refuse a revision that can move and a hash that is none."""
        if not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise UsageError(
                f"{self.repo} is not pinned",
                got=self.revision,
                expected="a full commit hash: 40 lower-case hex digits",
                remedy="take it from the repository's history",
            )
        if self.sha256 and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise UsageError("not a sha256", got=self.sha256, expected="64 lower-case hex digits")


Weights = str | Path | HubFile
"""A local file, or a file of the Hub at a pinned revision."""


@dataclass(frozen=True)
class Tensors:
    """What a weights file held.

    Attributes:
        tensors: By their names in the file, on the CPU.
        sha256: Of the file's bytes.
        path: Where it was read.
    """

    tensors: Mapping[str, Tensor]
    sha256: str
    path: Path


def locate(weights: Weights) -> Path:
    """The file on this machine; a pinned Hub file is fetched when the cache does not hold it.

    Raises:
        WeightsError: It does not exist, cannot be fetched, or has other bytes than were pinned.
    """
    if not isinstance(weights, HubFile):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise WeightsError(
                "the weights do not exist",
                got=path,
                expected="a safetensors file",
                remedy="give a local path, or a HubFile with its full commit hash",
            )
        return path
    path = _fetch(weights)
    if weights.sha256 and (found := remembered_digest(path)) != weights.sha256:
        raise WeightsError(
            f"{weights.repo}/{weights.name} has the wrong bytes",
            got=f"sha256 {found}",
            expected=f"sha256 {weights.sha256}",
            remedy=f"remove {path} and fetch it again",
        )
    return path


def _fetch(file: HubFile) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(file.repo, file.name, revision=file.revision)
    if isinstance(cached, str):
        return Path(cached)
    try:
        return Path(hf_hub_download(file.repo, file.name, revision=file.revision))
    except Exception as error:  # the library below raises nearly anything without a network
        raise WeightsError(
            f"{file.repo}/{file.name} could not be fetched",
            got=f"{type(error).__name__}: {error}".splitlines()[0],
            remedy="check the connection, or copy the file here and give its path",
        ) from error


def read(weights: Weights) -> Tensors:
    """Read a safetensors file.

    Raises:
        WeightsError: As `locate`, or the file is a pickle, or it is damaged.
    """
    path = locate(weights)
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(_PICKLES) or path.suffix in (".pt", ".pth", ".pkl", ".ckpt"):
        raise WeightsError(
            "pickled weights are not opened: they can run code",
            got=path,
            expected="a safetensors file",
            remedy=_CONVERT,
        )
    try:
        return Tensors(load_file(path), remembered_digest(path), path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            "the weights cannot be read",
            got=f"{path}: {error}",
            expected="a whole safetensors file",
        ) from error


def fill(
    network: nn.Module, found: Tensors, what: str, keep: Callable[[str], bool] = lambda _: True
) -> None:
    """Put tensors into a network, all of them and nothing else, and freeze it for evaluation.

    Args:
        network: Takes the tensors, cast to its own dtype.
        found: What was read.
        what: The network's name in messages.
        keep: Which names of the file belong to it; the others (a classifier) are left out.

    Raises:
        WeightsError: A tensor is missing, left over or of another shape.
    """
    wanted = network.state_dict()
    given = {name: tensor for name, tensor in found.tensors.items() if keep(name)}
    missing, spare = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    odd = [n for n in sorted(wanted.keys() & given) if wanted[n].shape != given[n].shape]
    if missing or spare or odd:
        parts = (("missing", missing), ("left over", spare), ("of another shape", odd))
        raise WeightsError(
            f"these are not the weights of {what}",
            got=", ".join(f"{len(names)} {how}: {names[:3]}" for how, names in parts if names),
            expected=f"{len(wanted)} tensors with the names and shapes of {what}",
            remedy=f"check {found.path}",
        )
    # Assigned, not copied, so that a network made without storage (device "meta") can be filled.
    cast = {name: tensor.to(wanted[name].dtype) for name, tensor in given.items()}
    network.load_state_dict(cast, strict=True, assign=True)
    network.requires_grad_(False).eval()


def finite(tensors: Mapping[str, Tensor], what: str) -> None:
    """Refuse weights that hold NaN or infinity.

    Raises:
        WeightsError: Naming the first such tensor.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{what} is damaged", got=f"NaN or infinity in {name}")
