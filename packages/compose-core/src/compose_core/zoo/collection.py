"""Installed collections of checkpoints, found through the entry point group ``compose.zoo``.

An entry point names a package that has ``manifests/<id>.toml`` and may have ``weights/<id>/`` and
``recipes/<id>.py`` (with underscores for hyphens). What the recipes need is the extra ``train`` of
its distribution. The package is data: it is found without being imported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from compose_core.errors import ComposeError, UsageError
from compose_core.zoo.manifest import Manifest, load

GROUP = "compose.zoo"


@dataclass(frozen=True)
class Collection:
    """One data package.

    Attributes:
        package: its import name.
        folder: where its files are.
    """

    package: str
    folder: Path

    @property
    def ids(self) -> list[str]:
        """The checkpoints that it has manifests of."""
        return sorted(path.stem for path in (self.folder / "manifests").glob("*.toml"))

    def manifest(self, model_id: str) -> Manifest:
        """The manifest of one of `ids`."""
        return load(self.folder / "manifests" / f"{model_id}.toml")

    def weights(self, model_id: str) -> Path:
        """Where the files lie, if they are packaged."""
        return self.folder / "weights" / model_id

    def recipe(self, model_id: str) -> Path:
        """The module that trains it, if there is one."""
        return self.folder / "recipes" / f"{model_id.replace('-', '_')}.py"


def collections() -> Iterator[Collection]:
    """The installed collections, in the order of their names.

    Raises:
        ComposeError: a package that was announced is not there.
    """
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        yield Collection(package=entry.value, folder=_folder(entry))


def find_collection(model_id: str) -> Collection:
    """The collection that has a manifest of ``model_id``.

    Raises:
        UsageError: there is none.
    """
    known: list[str] = []
    for collection in collections():
        if model_id in collection.ids:
            return collection
        known += collection.ids
    raise _unknown("model", model_id, known)


def find_recipe(model_id: str) -> ModuleType:
    """The module that trains ``model_id``; it may exist before the manifest does.

    Raises:
        UsageError: there is none.
        ComposeError: it cannot be imported; packages that it needs may be missing.
    """
    name = model_id.replace("-", "_")
    found = list(collections())
    for collection in found:
        if name.isidentifier() and collection.recipe(model_id).is_file():
            return _import_recipe(collection.package, name)
    known = [m for c in found for m in c.ids if c.recipe(m).is_file()]
    raise _unknown("recipe", model_id, known)


def _import_recipe(package: str, name: str) -> ModuleType:
    module = f"{package}.recipes.{name}"
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        distribution = package.replace("_", "-")
        raise ComposeError(
            f"The recipe {module} needs a package that is not installed.",
            got=f"no module {error.name}",
            remedy=f'pip install "{distribution}[train]"',
        ) from error
    except Exception as error:  # whatever another package does while it is imported
        fault = f"{type(error).__name__}: {error}"
        raise ComposeError(f"The recipe {module} cannot be imported.", got=fault) from error


def _folder(entry: EntryPoint) -> Path:
    try:
        spec = find_spec(entry.value)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        owner = entry.dist.name if entry.dist is not None else entry.name
        raise ComposeError(
            f"The checkpoints of {owner} cannot be found.",
            got=f"no package {entry.value}",
            remedy=f"install {owner} again, or uninstall it",
        )
    return Path(spec.submodule_search_locations[0])


def _unknown(kind: str, name: str, known: list[str]) -> UsageError:
    near = get_close_matches(name, known, 1)
    install = "install compose-zoo, or give the folder of a model"
    return UsageError(
        f"There is no {kind} {name!r}.",
        expected=f"one of {', '.join(sorted(known))}" if known else None,
        remedy=f"did you mean {near[0]}?" if near else "compose zoo list" if known else install,
    )
