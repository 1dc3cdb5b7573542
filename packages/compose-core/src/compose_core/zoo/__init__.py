"""Checkpoints by name: pinned, verified, offline first.

`resolve` turns the name of a model into a folder whose every file has been checked. It never uses
the network; `pull` does.
"""

import os
from pathlib import Path

from compose_core.errors import ComposeError, WeightsError
from compose_core.zoo.beside import INDEX, is_beside, read_index
from compose_core.zoo.collection import Collection, collections, find_collection, find_recipe
from compose_core.zoo.digest import hash_folder
from compose_core.zoo.manifest import File, Manifest, describe
from compose_core.zoo.sources import Place, locate, variable
from compose_core.zoo.sources import pull as _pull
from compose_core.zoo.verify import Finding, inspect
from compose_core.zoo.verify import verify as _verify

__all__ = [
    "Collection",
    "File",
    "Finding",
    "Manifest",
    "Place",
    "base_folder",
    "collections",
    "describe",
    "find",
    "find_recipe",
    "known",
    "place",
    "pull",
    "resolve",
    "variable",
    "verify",
]


def known() -> tuple[str, ...]:
    """The ids of all checkpoints that installed collections have manifests of."""
    return tuple(sorted({name for collection in collections() for name in collection.ids}))


def find(model_id: str) -> Manifest:
    """The manifest of a checkpoint.

    Raises:
        UsageError: no installed collection knows it.
        WeightsError: the manifest is malformed.
    """
    return find_collection(model_id).manifest(model_id)


def place(model_id: str) -> Place | None:
    """Where the checkpoint is on this machine (unchecked), or ``None``.

    Raises:
        UsageError: no installed collection knows it.
        WeightsError: the environment names a folder that does not exist.
    """
    collection = find_collection(model_id)
    return locate(collection.manifest(model_id), collection)


def resolve(model: str | os.PathLike[str], file: str | None = None) -> Path:
    """The folder of a checkpoint, or one file of it, with every byte checked.

    Hashes are computed once and remembered until the file changes. A path is taken as it is: it
    has no manifest to be checked against.

    Args:
        model: an id of `known`, or a folder: a path object, text with a slash in it, or the name
            of a folder here that is no id.
        file: relative name of one file; only this one is checked then.

    Raises:
        UsageError: there is no such id.
        WeightsError: the checkpoint is not on this machine, or a file is missing or differs.
    """
    name = os.fspath(model)
    if not isinstance(model, str) or _is_path(name):
        return _taken_as_is(Path(name), file)
    manifest = find(name)
    where = place(name)
    if where is None:
        raise WeightsError(
            f"{name} is not on this machine.",
            remedy=f"`compose zoo pull {name}` fetches it"
            if manifest.source
            else f"install compose-zoo, or train it: `compose zoo train {name}`",
        )
    _verify(manifest, where.folder, only=file)
    return where.folder if file is None else where.folder / file


def base_folder(folder: Path) -> Path:
    """Where the base model of a folder is: itself, or what its `lora.json` names, checked.

    The base is an id of `known`, or a folder: absolute, or seen from the one that names it.

    Raises:
        WeightsError: the base is not on this machine, is damaged, is another than it should be, or
            is itself no whole model.
    """
    if not is_beside(folder):
        return folder
    index = read_index(folder)
    try:
        base = resolve(index.base if index.base in known() else folder / index.base)
    except ComposeError as error:
        raise WeightsError(
            f"The base that {folder / INDEX} names cannot be used.",
            got=f"{index.base}: {error.what}",
            expected="an id from `compose zoo list`, or a folder",
            remedy=error.remedy,
        ) from error
    if is_beside(base):
        raise WeightsError(
            f"The base of {folder} has a base of its own.",
            got=index.base,
            expected="a whole model",
            remedy="name the model that all of it was trained on",
        )
    if index.base_sha256 and (found := hash_folder(base)) != index.base_sha256:
        raise WeightsError(
            f"{folder} was made for another model than {index.base} is here.",
            got=f"sha256 {found}",
            expected=index.base_sha256,
            remedy="put that model there, train again on this one, or leave out base_sha256",
        )
    return base


def verify(model_id: str) -> list[Finding]:
    """Read every byte of a checkpoint again and say what became of each file.

    Raises:
        UsageError: there is no such id.
        WeightsError: it is not on this machine.
    """
    where = place(model_id)
    if where is None:
        raise WeightsError(f"{model_id} is not on this machine.")
    return list(inspect(find(model_id), where.folder, fresh=True))


def pull(model_id: str) -> Path:
    """Fetch a checkpoint if it is not here, check it, and record hashes of unpinned files.

    Raises:
        UsageError: there is no such id, or it is not here and no source is known.
        ComposeError: it cannot be fetched or stored, or differs from what was pinned.
    """
    collection = find_collection(model_id)
    return _pull(collection.manifest(model_id), collection)


def _is_path(name: str) -> bool:
    if "/" in name or os.sep in name or name in (".", ".."):
        return True
    return Path(name).is_dir() and name not in known()


def _taken_as_is(folder: Path, file: str | None) -> Path:
    path = folder if file is None else folder / file
    if not folder.is_dir() or not path.exists():
        raise WeightsError(
            "There is no such model folder." if file is None else "The model lacks a file.",
            got=path,
            expected="a folder with a model, or an id from `compose zoo list`",
        )
    return path
