"""Reference statistics: what a network sees in a data set, kept in a file.

A file is named by the hash of its header, and the header holds everything that matters: the bytes
of the network, what was done to the pictures, how many there were, which data set. So a file that
does not fit cannot be found by accident, and what was asked for and what is there are compared
word by word.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from string import hexdigits
from typing import TYPE_CHECKING, final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from compose_core.errors import ComposeError, UsageError
from compose_metrics.frechet import Moments

if TYPE_CHECKING:
    from compose_metrics.extractor import Extractor

FORMAT = "compose-statistics-1"
_DAMAGED = (SafetensorError, OSError, ValueError, KeyError, TypeError, UsageError)


@final
@dataclass(frozen=True, kw_only=True)
class Header:
    """Everything that decides what the numbers are.

    Attributes:
        extractor: Id of the network.
        sha256: Of its weights.
        transform: What was done to the pictures, in words.
        n: How many there were.
        dataset: sha256 of the manifest of the data set; see `manifest`.
        dtype: Of the features, before they were summed in float64.
        rows: Whether the features themselves are kept, as KID and precision need.

    The last bits of features also depend on the device, the size of a batch and TF32; they are no
    part of the identity.

    Raises:
        UsageError: A hash is not a sha256, so that different networks or sets could look alike.
    """

    extractor: str
    sha256: str
    transform: str
    n: int
    dataset: str
    dtype: str = "float32"
    rows: bool = True

    def __post_init__(self) -> None:
        """Refuse hashes that are none."""
        _sha256(self.sha256, "the network", "give its source the sha256 of its weights")
        _sha256(self.dataset, "the data set", "use manifest(...)")

    @property
    def address(self) -> str:
        """sha256 of the header, lower-case hex; the name of the file."""
        return sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        """The header as canonical JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    def differences(self, other: Header) -> dict[str, tuple[object, object]]:
        """The fields that differ, each with the value of both."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def check(self, extractor: Extractor) -> None:
        """Check that these are statistics of ``extractor``.

        Raises:
            UsageError: Another network, other weights or another transform; names what differs.
        """
        source = extractor.source
        pairs = {
            "extractor": (self.extractor, source.id),
            "sha256": (self.sha256, source.sha256),
            "transform": (self.transform, extractor.transform),
        }
        if different := {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}:
            raise _mismatch("the reference statistics are of another network", different)


@final
@dataclass(frozen=True, eq=False)
class Statistics:
    """Features of a reference set, summed up.

    Attributes:
        header: What they are of.
        moments: Mean and scatter of the features.
        rows: The features (n, D), where they were kept.
    """

    header: Header
    moments: Moments
    rows: Tensor | None = None

    @staticmethod
    def of(
        extractor: Extractor, batches: Iterable[Tensor], dataset: str, *, rows: bool = True
    ) -> Statistics:
        """Look at a data set.

        Args:
            extractor: The network.
            batches: Pictures (B, 3, H, W), in the order of the manifest.
            dataset: sha256 of the manifest of the data set.
            rows: Keep the features. Without, only their moments stay in memory, and KID and
                precision cannot be computed.

        Raises:
            UsageError: The network or the data set has no sha256.
            ComposeError: No picture.
        """
        source = extractor.source
        _sha256(source.sha256, source.id, "give its source the sha256 of its weights")
        _sha256(dataset, "the data set", "use manifest(...)")
        kept: list[Tensor] = []
        moments: Moments | None = None
        dtype = torch.float32
        for batch in batches:
            seen = extractor.extract(batch).features.cpu()
            dtype = seen.dtype
            if rows:
                kept.append(seen)
                continue
            added = Moments.of(seen)
            moments = moments.merged(added) if moments else added
        if kept:
            moments = Moments.of(torch.cat(kept))
        if moments is None:
            raise ComposeError("a data set without pictures has no statistics", got="no batch")
        header = Header(
            extractor=source.id,
            sha256=source.sha256,
            transform=extractor.transform,
            n=moments.n,
            dataset=dataset,
            dtype=str(dtype).removeprefix("torch."),
            rows=rows,
        )
        return Statistics(header, moments, torch.cat(kept) if rows else None)

    def save(self, folder: Path) -> Path:
        """Write ``<folder>/<address>.safetensors``, whole or not at all.

        Returns:
            The path.
        """
        tensors = {"mean": self.moments.mean, "scatter": self.moments.scatter}
        if self.rows is not None:
            tensors["rows"] = self.rows
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        about = {"header": self.header.text(), "data": _data_digest(tensors)}
        path = folder / f"{self.header.address}.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            part.write_bytes(save(tensors, about))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    @staticmethod
    def read(path: Path, expected: Header | None = None) -> Statistics:
        """Read a file, checking everything that it says about itself.

        Args:
            path: A file that `save` wrote.
            expected: What it must be of.

        Raises:
            ComposeError: Missing, damaged, renamed, or numbers that its header does not fit.
            UsageError: It is of something else than expected; names what differs.
        """
        header, digest, tensors = _opened(path)
        if expected is not None and (different := header.differences(expected)):
            raise _mismatch(f"{path.name} holds other reference statistics", different)
        if path.stem != header.address or digest != _data_digest(tensors):
            raise ComposeError(
                "reference statistics were changed after they were written",
                got=path,
                expected=f"{header.address}.safetensors with the bytes that were written",
                remedy="make them again",
            )
        moments = Moments(header.n, tensors["mean"], tensors["scatter"])
        return Statistics(header, moments, tensors.get("rows"))

    @staticmethod
    def find(folder: Path, expected: Header) -> Statistics:
        """Read the statistics that ``expected`` describes.

        Raises:
            UsageError: They are not in the folder; names how the nearest that is there differs.
        """
        path = folder / f"{expected.address}.safetensors"
        if path.exists():
            return Statistics.read(path, expected)
        paths = sorted(folder.glob("*.safetensors"))
        others = [header for header in map(_header, paths) if header is not None]
        if not others:
            raise UsageError(
                "there are no reference statistics",
                got=f"none in {folder}",
                expected=path.name,
                remedy="make them with Statistics.of(...).save(folder)",
            )
        nearest = min((other.differences(expected) for other in others), key=len)
        raise _mismatch(f"no reference statistics in {folder} fit", nearest)


def manifest(files: Mapping[str, str] | Iterable[str]) -> str:
    """sha256 of the manifest of a data set.

    Args:
        files: Name and sha256 of each picture; or lines that say how each was made, such as
            scene numbers of a procedural world.
    """
    if isinstance(files, Mapping):
        lines = [f"{digest}  {name}" for name, digest in sorted(files.items())]
    else:
        lines = list(files)
    return sha256("\n".join(lines).encode()).hexdigest()


def _opened(path: Path) -> tuple[Header, str, dict[str, Tensor]]:
    """Header, digest of the data and tensors, whose shapes fit the header."""
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = _told(about)
        _check_shapes(header, tensors)
        return header, about["data"], tensors
    except _DAMAGED as error:
        raise ComposeError(
            "reference statistics cannot be read",
            got=f"{path}: {error}",
            expected=f"a file in the format {FORMAT}",
            remedy="make them again",
        ) from error


def _header(path: Path) -> Header | None:
    """The header of a file, without its numbers; None where it holds no statistics."""
    try:
        with safe_open(path, framework="pt") as file:
            return _told(file.metadata() or {})
    except _DAMAGED:
        return None


def _told(about: Mapping[str, str]) -> Header:
    known = json.loads(about["header"])
    if known.pop("format") != FORMAT:
        raise ValueError("another format")
    return Header(**known)


def _sha256(text: str, what: str, remedy: str) -> None:
    if len(text) != 64 or set(text) - set(hexdigits.lower()):
        raise UsageError(
            f"statistics need the sha256 of {what}",
            got=repr(text),
            expected="64 lower-case hexadecimal digits",
            remedy=remedy,
        )


def _check_shapes(header: Header, tensors: Mapping[str, Tensor]) -> None:
    (dim,) = tensors["mean"].shape
    shapes: dict[str, tuple[int, ...]] = {"mean": (dim,), "scatter": (dim, dim)}
    if header.rows:
        shapes["rows"] = (header.n, dim)
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes:
        raise ValueError("shapes that do not fit the header")


def _data_digest(tensors: Mapping[str, Tensor]) -> str:
    return sha256(save({name: tensors[name] for name in sorted(tensors)})).hexdigest()


def _mismatch(what: str, different: Mapping[str, tuple[object, object]]) -> UsageError:
    return UsageError(
        what,
        got="; ".join(f"{name} {there}" for name, (there, _) in different.items()),
        expected="; ".join(f"{name} {wanted}" for name, (_, wanted) in different.items()),
        remedy="make the statistics again for this network and data set",
    )
