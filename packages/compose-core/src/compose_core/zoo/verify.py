"""Is this folder the one that was published? Size and sha256 of every file decide."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from compose_core.errors import WeightsError
from compose_core.zoo.digest import digest, remembered_digest
from compose_core.zoo.home import home, place_text
from compose_core.zoo.manifest import File, Manifest

Status = Literal["ok", "recorded", "unpinned", "missing", "wrong"]

_NOTHING = "no such file: the manifest does not list it"
_LICENCES = frozenset({"LICENSE", "LICENSE.txt", "NOTICE", "NOTICE.txt"})


@dataclass(frozen=True)
class Finding:
    """What became of one file.

    Attributes:
        name: of the file.
        status: ``ok`` (as pinned), ``recorded`` (unpinned, and as it was when it was pulled),
            ``unpinned`` (nothing to compare with), ``missing`` or ``wrong`` (other bytes, or a
            file that the manifest does not list: loaders prefer some files to others).
        got: what was found, size or hash.
        expected: what should have been there.
    """

    name: str
    status: Status
    got: str
    expected: str


def inspect(manifest: Manifest, folder: Path, *, fresh: bool = False) -> Iterator[Finding]:
    """Compare each file of ``folder`` with the manifest; ``fresh`` reads all bytes again.

    Files that nobody loads may lie beside the listed ones: hidden ones, notes (``.md``), licences.
    """
    yield from _listed(manifest, folder, fresh=fresh)
    yield from _unlisted(manifest, folder)


def verify(
    manifest: Manifest, folder: Path, *, only: str | None = None, fresh: bool = False
) -> None:
    """Refuse a folder, or one file of it, that differs from the manifest.

    Raises:
        WeightsError: naming the file, what was expected and what was found.
    """
    if only is None:
        findings = inspect(manifest, folder, fresh=fresh)
    else:
        part = manifest.model_copy(update={"files": (_entry(manifest, only),)})
        findings = _listed(part, folder, fresh=fresh)
    for finding in findings:
        if finding.status in ("missing", "wrong"):
            raise WeightsError(
                f"{manifest.id}: {folder / finding.name} is {finding.status}.",
                got=finding.got,
                expected=finding.expected,
                remedy="remove it" if finding.expected == _NOTHING else _remedy(manifest),
            )


def record(manifest: Manifest, folder: Path) -> dict[str, File]:
    """Note the hashes of the unpinned files in the user's folder; pinned ones need none.

    What was recorded before is not changed: a file that differs from it has to be explained first.

    Raises:
        WeightsError: a file is missing, or differs from its pin or its record.
    """
    verify(manifest, folder, fresh=True)
    notes = recorded(manifest)
    for file in manifest.files:
        if not file.pinned and file.name not in notes:
            path = folder / file.name
            notes[file.name] = File(name=file.name, size=path.stat().st_size, sha256=digest(path))
    if notes:
        rows = {name: file.model_dump() for name, file in sorted(notes.items())}
        place_text(_record_path(manifest), json.dumps(rows, indent=1))
    return notes


def recorded(manifest: Manifest) -> dict[str, File]:
    """The hashes that `record` noted for the unpinned files of this revision.

    Raises:
        WeightsError: the record is damaged.
    """
    path = _record_path(manifest)
    if not path.exists():
        return {}
    try:
        rows: dict[str, Any] = json.loads(path.read_text("utf-8"))
        files = {name: File.model_validate(row) for name, row in rows.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"The recorded hashes of {manifest.id} cannot be read.",
            got=error,
            remedy=f"remove {path} and run `compose zoo pull {manifest.id}`",
        ) from None
    unpinned = {file.name for file in manifest.files if not file.pinned}
    return {name: file for name, file in files.items() if name in unpinned}


def slot(manifest: Manifest) -> str:
    """The name of this checkpoint in the user's folder: one for each revision."""
    return f"{manifest.id}@{manifest.source.revision}" if manifest.source else manifest.id


def _listed(manifest: Manifest, folder: Path, *, fresh: bool) -> Iterator[Finding]:
    known = recorded(manifest)
    for file in manifest.files:
        pin = file if file.pinned else known.get(file.name, file)
        yield _inspect_file(folder / file.name, pin, was_pinned=file.pinned, fresh=fresh)


def _unlisted(manifest: Manifest, folder: Path) -> Iterator[Finding]:
    """Whatever else lies in the manifest's own folders, other folders and links included."""
    names = {file.name for file in manifest.files}
    folders = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    for inner in sorted(folders):
        for path in sorted((folder / inner).glob("*")):
            name = path.relative_to(folder).as_posix()
            if name not in names | folders and not _harmless(path):
                kind = "a folder" if path.is_dir() else "a file"
                yield Finding(name, "wrong", kind, _NOTHING)


def _harmless(path: Path) -> bool:
    """Whether no loader looks at it."""
    return path.name.startswith(".") or path.suffix == ".md" or path.name in _LICENCES


def _inspect_file(path: Path, pin: File, *, was_pinned: bool, fresh: bool) -> Finding:
    if not path.is_file():
        return Finding(pin.name, "missing", "no such file", _pin_text(pin))
    size = path.stat().st_size
    if pin.size is not None and size != pin.size:
        return Finding(pin.name, "wrong", f"{size} bytes", f"{pin.size} bytes")
    if not pin.pinned:
        return Finding(pin.name, "unpinned", f"{size} bytes", "no known hash")
    found = digest(path) if fresh else remembered_digest(path)
    status: Status = "wrong" if found != pin.sha256 else "ok" if was_pinned else "recorded"
    return Finding(pin.name, status, f"sha256 {found}", f"sha256 {pin.sha256}")


def _pin_text(pin: File) -> str:
    return f"sha256 {pin.sha256}" if pin.pinned else "a file"


def _entry(manifest: Manifest, name: str) -> File:
    for file in manifest.files:
        if file.name == name:
            return file
    raise WeightsError(
        f"{manifest.id} has no file {name!r}.",
        expected=f"one of {', '.join(file.name for file in manifest.files)}",
    )


def _record_path(manifest: Manifest) -> Path:
    return home() / "recorded" / f"{slot(manifest)}.json"


def _remedy(manifest: Manifest) -> str:
    if manifest.source:
        return f"`compose zoo pull {manifest.id}` fetches it again"
    return "install compose-zoo again, or train it: `compose zoo train " + manifest.id + "`"
