"""Hashes of code: of what makes pictures, and of what scores them.

They are taken over files as they are, so that numbers of an older code are never taken for those
of a newer one.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from compose_benchmarks.suite import Suite
from compose_core.errors import UsageError
from compose_core.method import Method

__all__ = ["making", "scoring", "study", "trial"]

_HERE = Path(__file__).parent
_OWN = __name__.partition(".")[0]
_MAKING = (
    "lockstep.py",
    "plain.py",
    "runner/generate.py",
    "runner/files.py",
    "runner/share.py",
)
"""Modules of this package that decide pictures; the others only look at them."""

_BASELINES = "baselines"
"""Folder of the methods of this package, besides `plain`."""

_STUDIED = ("items.py", "studies/pairs.py", "studies/study.py", "studies/walk.py")
"""Modules of this package that decide the pictures of studies."""

_SCORING = (
    "edits.py",
    "fidelity.py",
    "gallery.py",
    "items.py",
    "judges.py",
    "looking.py",
    "promises.py",
    "scorers.py",
    "suite.py",
)
"""Modules of this package that decide scores, besides the suites."""


@cache
def making(method: type[Method]) -> str:
    """sha256 over the code that decides the pictures of a method.

    That is all of `compose_core`, the package (or the single module) that the method comes from,
    the packages `compose_*` that this one imports, and the few modules here that walk and write.
    Of the baselines here, each counts with the modules beside it that it imports.
    It is read once: what changes on the disk later is not what runs.

    Raises:
        UsageError: The method has no source, as one that was typed in.
    """
    tops = {"compose_core", method.__module__.partition(".")[0]}
    beside = _beside(method.__module__)
    for name in beside:
        tops |= {top for top in _imported(_HERE / name) if top != _OWN}
    return _digest(_own((*_MAKING, *beside)) | _followed(tops))


@cache
def scoring(suite: Suite) -> str:
    """sha256 over the code that decides the scores of a suite.

    That is all of `compose_metrics` and of `compose_worlds` (which renders reference sets and
    labels), the scorers and suites here, and the packages that scorers of others come from. The
    suites in a folder of their own count for themselves alone.
    """
    functions = (suite.choose, suite.write, *suite.scorers)
    functions += () if suite.invent is None else (suite.invent,)
    homes = {str(one.__module__) for one in functions}
    tops = {"compose_metrics", "compose_worlds"}
    tops |= {home.partition(".")[0] for home in homes}
    apart = {home.split(".")[2] for home in homes if home.startswith(f"{_OWN}.suites.")}
    folders = [
        "suites",
        *(f"suites/{name}" for name in apart if (_HERE / "suites" / name).is_dir()),
    ]
    suites = [
        path.relative_to(_HERE).as_posix()
        for folder in sorted(folders)
        for path in _HERE.glob(f"{folder}/*.py")
    ]
    return _digest(_own((*_SCORING, *suites)) | _followed(tops - {"compose_core"}))


@cache
def study(method: type[Method], *, pictures: bool) -> str:
    """sha256 over the code that decides the pictures of studies of a method, or their numbers.

    For pictures that is all of `compose_core` and `compose_worlds`, the package of the method with
    what it imports, and the modules here that choose pairs and walk; for numbers all of
    `compose_metrics` and `compose_worlds`, the judges and the studies.
    """
    if pictures:
        tops = {"compose_core", "compose_worlds", method.__module__.partition(".")[0]}
        return _digest(_own(_STUDIED) | _followed(tops))
    own = [path.relative_to(_HERE).as_posix() for path in _HERE.glob("studies/*.py")]
    return _digest(_own(("judges.py", *own)) | _followed({"compose_metrics", "compose_worlds"}))


@cache
def trial(home: str) -> str:
    """sha256 over the code that decides the samples of a trial and their numbers.

    Args:
        home: The module that makes and measures them: it counts with all that is imported there.
    """
    own = Path(str(sys.modules[home].__file__))
    tops = {top for top in _imported(own) if top != _OWN} | {"compose_core"}
    return _digest(_own((own.relative_to(_HERE).as_posix(),)) | _followed(tops))


def _digest(files: dict[str, Path]) -> str:
    total = hashlib.sha256()
    for name, path in sorted(files.items()):
        total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _own(names: tuple[str, ...]) -> dict[str, Path]:
    return {f"{_OWN}/{name}": _HERE / name for name in names}


def _followed(tops: set[str]) -> dict[str, Path]:
    """The files of packages, and of the packages `compose_*` that they import."""
    files: dict[str, Path] = {}
    seen, open_ = {_OWN}, set(tops) - {_OWN}
    while open_:
        name = open_.pop()
        seen.add(name)
        found = _files(name)
        if not found and name in tops:
            raise UsageError(
                "the source of a method or a suite cannot be found",
                got=name,
                remedy="put it into a module, so that results can say which code made them",
            )
        files |= found
        if name not in {"compose_core", "compose_metrics", "compose_worlds"}:  # import no others
            open_ |= {top for path in found.values() for top in _imported(path)} - seen
    return files


def _beside(module: str) -> tuple[str, ...]:
    """The module of a baseline, and those of its folder that it imports, from here."""
    prefix = f"{_OWN}.{_BASELINES}."
    seen: set[str] = set()
    open_ = {module} if module.startswith(prefix) else set()
    while open_:
        name = open_.pop()
        seen.add(name)
        path = _HERE / _BASELINES / f"{name.removeprefix(prefix)}.py"
        open_ |= {one for one in _modules(path) if one.startswith(prefix)} - seen
    return tuple(f"{_BASELINES}/{name.removeprefix(prefix)}.py" for name in sorted(seen))


def _files(top: str) -> dict[str, Path]:
    """The modules of a package, or the one file that a module is."""
    try:
        spec = find_spec(top)
    except ValueError:  # a module that was not imported by name, such as a script
        spec = None
    if spec is not None and spec.submodule_search_locations is not None:
        roots = [Path(root) for root in spec.submodule_search_locations]
        return {
            f"{top}/{path.relative_to(root).as_posix()}": path
            for root in roots
            for path in sorted(root.rglob("*.py"))
        }
    origin = spec.origin if spec is not None else getattr(sys.modules.get(top), "__file__", None)
    path = Path(origin or "")
    return {f"{top}.py": path} if path.is_file() else {}


def _imported(path: Path) -> set[str]:
    """Top-level packages `compose_*` that a file imports, wherever in it."""
    tops = {name.partition(".")[0] for name in _modules(path)}
    return {top for top in tops if top.startswith("compose_")}


def _modules(path: Path) -> list[str]:
    """Modules that a file imports, or takes names from."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # a template, say: it imports nothing
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.append(node.module)
    return names
