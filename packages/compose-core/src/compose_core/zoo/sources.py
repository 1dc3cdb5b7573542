"""Where a checkpoint can be: environment, the user's folder, a package, the Hub's cache.

The first place that exists is taken and checked; a place with a wrong byte is refused, not passed
over. Nothing here uses the network but `pull`.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compose_core.errors import ComposeError, UsageError, WeightsError
from compose_core.zoo.collection import Collection
from compose_core.zoo.home import home
from compose_core.zoo.manifest import Manifest, Source
from compose_core.zoo.verify import record, slot, verify


@dataclass(frozen=True)
class Place:
    """A folder that claims to hold a checkpoint."""

    kind: Literal["environment", "local", "packaged", "hub"]
    folder: Path


def variable(model_id: str) -> str:
    """The environment variable that overrides where ``model_id`` is."""
    return f"COMPOSE_ZOO_{model_id.replace('-', '_').upper()}"


def places(manifest: Manifest, collection: Collection) -> Iterator[Place]:
    """The folders that exist, in the order in which they are tried.

    Raises:
        WeightsError: the environment names a folder that does not exist.
    """
    override = os.environ.get(variable(manifest.id))
    if override:
        folder = Path(override).expanduser()
        if not folder.is_dir():
            raise WeightsError(
                f"{variable(manifest.id)} does not name a folder.",
                got=override,
                expected=f"a folder with the files of {manifest.id}",
                remedy="correct or unset the variable",
            )
        yield Place("environment", folder)
    candidates = (
        Place("local", home() / "zoo" / slot(manifest)),
        Place("packaged", collection.weights(manifest.id)),
    )
    yield from (place for place in candidates if place.folder.is_dir())
    cached = _in_hub_cache(manifest) if manifest.source else None
    if cached is not None:
        yield Place("hub", cached)


def locate(manifest: Manifest, collection: Collection) -> Place | None:
    """The first place, or ``None`` when the checkpoint is not on this machine."""
    return next(places(manifest, collection), None)


def pull(manifest: Manifest, collection: Collection) -> Path:
    """Make sure that the checkpoint is here and whole, and record the hashes of unpinned files.

    Files are fetched into a draft folder, checked, and appear at their place all at once. An
    interrupted fetch continues where it stopped.

    Raises:
        UsageError: it is not here, and no source is known.
        WeightsError: a file differs from its pin, or from what was recorded before.
        ComposeError: the Hub cannot be reached or has no such file.
    """
    place = locate(manifest, collection)
    if place is not None:
        try:
            record(manifest, place.folder)
            return place.folder
        except WeightsError:
            if place.kind not in ("local", "hub") or manifest.source is None:
                raise
    if manifest.source is None:
        raise UsageError(
            f"{manifest.id} is not on this machine, and no source of it is known.",
            remedy=f"install compose-zoo, or train it: `compose zoo train {manifest.id}`",
        )
    return _fetch(manifest, manifest.source)


def _fetch(manifest: Manifest, source: Source) -> Path:
    final = home() / "zoo" / slot(manifest)
    draft = final.with_name(f".draft-{final.name}")
    try:
        draft.mkdir(parents=True, exist_ok=True)
        for file in manifest.files:
            _download(source, file.name, draft)
        shutil.rmtree(draft / ".cache", ignore_errors=True)  # the downloader's own notes
        try:
            verify(manifest, draft, fresh=True)
        except WeightsError:
            shutil.rmtree(draft)  # or the next attempt would find the same bytes
            raise
        _place(draft, final)
    except OSError as error:
        raise ComposeError(f"{manifest.id} cannot be stored.", got=error) from error
    record(manifest, final)
    return final


def _download(source: Source, name: str, folder: Path) -> None:
    from huggingface_hub import hf_hub_download  # pyright: ignore[reportUnknownVariableType]

    try:
        hf_hub_download(source.repo, name, revision=source.revision, local_dir=folder)
    except Exception as error:  # any of the many ways in which a network fails
        raise ComposeError(
            f"{name} of {source.repo} could not be fetched.",
            got=f"{type(error).__name__}: {error}".splitlines()[0],
            remedy="check the connection and access to the repository, then pull again; or copy "
            "the files into a folder and name it in the environment (see `compose zoo show`)",
        ) from error


def _place(draft: Path, final: Path) -> None:
    """Rename a whole draft to its place, over a damaged one if need be."""
    for path in [*draft.rglob("*"), draft]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    old = final.with_name(f".draft-old-{final.name}")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    draft.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def _in_hub_cache(manifest: Manifest) -> Path | None:
    """The snapshot of this revision in the Hub's own cache, if it holds every file."""
    source = manifest.source
    if source is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    folder: Path | None = None
    for file in manifest.files:
        found = try_to_load_from_cache(source.repo, file.name, revision=source.revision)
        if not isinstance(found, str):
            return None
        folder = Path(found).parents[file.name.count("/")]
    return folder
