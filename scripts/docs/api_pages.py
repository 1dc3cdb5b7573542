"""One page per public module of each package, for mkdocstrings to fill."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workspace import NOTE, packages


@dataclass(frozen=True)
class Module:
    """A module as it is found on disk; nothing is imported."""

    name: str
    path: Path

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        text = ast.get_docstring(ast.parse(self.path.read_text("utf-8"))) or ""
        return text.partition("\n\n")[0].replace("\n", " ").replace("``", "`")

    @property
    def children(self) -> Iterator[Module]:
        """The public modules inside it, at any depth."""
        if self.path.name == "__init__.py":
            for child in _public(self.path.parent, self.name):
                yield child
                yield from child.children


def _public(folder: Path, package: str) -> Iterator[Module]:
    for path in sorted(folder.iterdir()):
        name = path.stem
        if name.startswith("_"):
            continue
        if path.suffix == ".py":
            yield Module(f"{package}.{name}", path)
        elif (path / "__init__.py").is_file():
            yield Module(f"{package}.{path.name}", path / "__init__.py")


def pages() -> dict[str, str]:
    """Every API page, by its path below `docs/`."""
    found: dict[str, str] = {}
    tables: list[str] = []
    for package in packages():
        root = Module(package.module, package.source / package.module / "__init__.py")
        rows: list[str] = []
        for module in _public(root.path.parent, root.name):
            where = f"{package.module}/{module.name.split('.')[-1]}.md"
            found[f"api/{where}"] = NOTE + _page(module)
            rows.append(f"| [`{module.name}`]({where}) | {module.summary} |")
        heading = f"## {package.name}\n\n{package.description}.\n\n"
        tables.append(heading + "| module | holds |\n|---|---|\n" + "\n".join(rows) + "\n")
    intro = (
        "# API\n\nWhat each module's `__all__` names (or, where it has none, what has no leading "
        "underscore) is public; the rest may change without notice.\n\n"
    )
    return {"api/index.md": NOTE + intro + "\n".join(tables), **found}


def _page(module: Module) -> str:
    children = list(module.children)
    text = f"# `{module.name}`\n\n::: {module.name}\n    options:\n"
    text += "      show_root_heading: false\n      show_root_toc_entry: false\n"
    if children:  # a package says what it is about; its modules say the rest
        text += "      members: false\n"
    for child in children:
        text += f"\n::: {child.name}\n"
    return text


def nav() -> list[object]:
    """The API part of the navigation."""
    entries: list[object] = ["api/index.md"]
    for package in packages():
        folder = package.source / package.module
        each: list[object] = [
            {module.name.split(".")[-1]: f"api/{package.module}/{module.name.split('.')[-1]}.md"}
            for module in _public(folder, package.module)
        ]
        entries.append({package.name: each})
    return entries
