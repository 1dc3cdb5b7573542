"""Print a PYTHONPATH under which the sources behave like installed packages.

Usage: ``python scripts/source_path.py FOLDER``

Where nothing can be installed, a source folder on the path is enough to import a package but not
to find its entry points: those live in the metadata of an installation. This writes that metadata
(``*.dist-info``) into FOLDER and prints FOLDER together with every package's source folder.
"""

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main(folder: Path) -> None:
    """Write the metadata of every package and print the path."""
    sources: list[Path] = []
    for home in [*sorted(ROOT.glob("packages/*")), ROOT / "zoo", ROOT / "benchmarks"]:
        if (home / "pyproject.toml").is_file():
            project = tomllib.loads((home / "pyproject.toml").read_text("utf-8"))["project"]
            write_metadata(project, folder)
            sources.append(home / "src")
    print(os.pathsep.join(map(str, [folder.resolve(), *sources])))


def write_metadata(project: dict[str, Any], folder: Path) -> None:
    """Write what ``importlib.metadata`` reads: name, version and entry points."""
    name, version = project["name"], project["version"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata, "utf-8")
    groups = {"console_scripts": project.get("scripts", {}), **project.get("entry-points", {})}
    lines: list[str] = []
    for group, points in groups.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
