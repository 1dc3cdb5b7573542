"""Every task of the repository, each in an environment of its own.

``nox`` alone runs the checks that a change must pass. A package is whatever has a
``pyproject.toml`` under ``packages/``, ``zoo/`` and ``benchmarks/``: adding one is no edit here.
"""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import nox
from nox.virtualenv import PassthroughEnv

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
WORKERS = str(min(8, os.cpu_count() or 2))
# A worker per core; more threads than that only make them wait for one another.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "0"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

TESTERS = ["hypothesis", "pytest", "pytest-timeout", "pytest-xdist"]
# MkDocs 2 drops plugins and themes.
SITE_TOOLS = ["mkdocs>=1.6,<2", "mkdocs-material>=9.7,<10", "mkdocstrings[python]>=1.0"]
# What an installed distribution offers: its module, and whatever its entry points name.
LOAD_EVERYTHING = """
import importlib, sys
from importlib.metadata import distribution
importlib.import_module(sys.argv[1].replace("-", "_"))
for point in distribution(sys.argv[1]).entry_points:
    print(point.group, point.name, point.load())
"""

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "imports", "types", "tests"]


class Package:
    """One distribution of the workspace, read from its ``pyproject.toml``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        self.name: str = self.project["name"]

    def family(self, *extras: str) -> list[Package]:
        """This package and the workspace packages that it declares, directly or not."""
        found = {self.name: self}
        lines = [*self.project.get("dependencies", [])]
        for extra in extras:
            lines += self.extras.get(extra, [])
        for name in map(_name, lines):
            if name in PACKAGES:
                found |= {package.name: package for package in PACKAGES[name].family()}
        return list(found.values())

    @property
    def module(self) -> str:
        """The name that Python imports."""
        return self.name.replace("-", "_")

    @property
    def wheel(self) -> Path:
        """Where `build` leaves this package."""
        return DIST / f"{self.module}-{self.project['version']}-py3-none-any.whl"

    def editable(self, *extras: str) -> list[str]:
        """What an installer needs to hear; only extras that the package declares are asked for."""
        known = [extra for extra in extras if extra in self.extras]
        return ["-e", f"{self.folder}[{','.join(known)}]" if known else str(self.folder)]

    @property
    def extras(self) -> dict[str, list[str]]:
        """The optional dependencies."""
        return self.project.get("optional-dependencies", {})


def _name(requirement: str) -> str:
    """The distribution in a requirement such as ``torch>=2.6``."""
    stop = next((i for i, c in enumerate(requirement) if c in "<>=!~[; "), len(requirement))
    return requirement[:stop]


HOMES = [*sorted(ROOT.glob("packages/*")), ROOT / "zoo", ROOT / "benchmarks"]
PACKAGES = {
    package.name: package
    for package in (Package(home) for home in HOMES if (home / "pyproject.toml").is_file())
}
EACH = [nox.param(name, id=name) for name in PACKAGES]


def _install(session: nox.Session, *arguments: str) -> None:
    """Install under the tested versions, except where nothing may be installed (--no-venv)."""
    if not _bare(session):
        session.install("-c", str(ROOT / "constraints.txt"), *arguments)


def _editable(packages: list[Package], *extras: str) -> list[str]:
    return [part for package in packages for part in package.editable(*extras)]


def _everything() -> list[str]:
    """Every package with every extra that it declares."""
    return [part for package in PACKAGES.values() for part in package.editable(*package.extras)]


def _pytest(session: nox.Session, *arguments: str, **env: str) -> None:
    """Run pytest; to select nothing (exit code 5) is success only for one package on a CPU."""
    codes = [0, 5] if "-m" in arguments and "cuda" not in arguments else [0]
    command = [_python(session), "-m", "pytest", *arguments, *session.posargs]
    session.run(*command, env={**OFFLINE, **env}, success_codes=codes, external=_bare(session))


def _bare(session: nox.Session) -> bool:
    """Whether this session runs in the caller's own environment, where nothing is installed."""
    return isinstance(session.virtualenv, PassthroughEnv)


def _python(session: nox.Session) -> str:
    return sys.executable if _bare(session) else "python"


@nox.session
def demo(session: nox.Session) -> None:
    """Compose the example scenes and lay them out on one sheet: demo/contact-sheet.png."""
    _install(session, *_editable(list(PACKAGES.values())))
    folder = ROOT / "demo"
    # The others say at their head which method they are for; the sheet is of the usual one.
    examples = [p for p in sorted(ROOT.glob("examples/*.toml")) if "--method" not in p.read_text()]
    scenes = [str(path.relative_to(ROOT)) for path in examples]
    for scene in scenes:
        session.run("compose", "run", scene, "--out", str(folder), *session.posargs, env=OFFLINE)
    session.run("python", "scripts/contact_sheet.py", str(folder), *scenes)


@nox.session
def tests(session: nox.Session) -> None:
    """Run everything that a CPU can test: every package's tests and those across packages."""
    _install(session, *_everything(), *TESTERS, *SITE_TOOLS, "import-linter")
    # Everything is installed: a library to compare with that does not import is a failure.
    env = {**ONE_THREAD, "COMPOSE_REQUIRE_ORACLES": "1"}
    _pytest(session, "-n", WORKERS, "--timeout", "600", **env)


@nox.session(name="tests-cpu", default=False)
@nox.parametrize("package", EACH)
def tests_cpu(session: nox.Session, package: str) -> None:
    """Test one package with nothing installed but what it declares."""
    this = PACKAGES[package]
    _install(session, *_editable(this.family("test")[1:]), *this.editable("test"), *TESTERS)
    _pytest(session, *_own_tests(session, this), "-m", _selection(this), **ONE_THREAD)


@nox.session(name="tests-cuda", default=False)
@nox.parametrize("package", EACH)
def tests_cuda(session: nox.Session, package: str) -> None:
    """Test one package on a GPU; no GPU, or no test for it, is a failure. Works with --no-venv."""
    this = PACKAGES[package]
    if not _has_gpu_tests(this):
        session.skip(f"{package} has no tests for a GPU")
    _install(session, *_everything(), *TESTERS)
    env = {"COMPOSE_REQUIRE_CUDA": "1"}
    if _bare(session):
        env["PYTHONPATH"] = _source_path(session)
    _pytest(session, *_own_tests(session, this), "-m", "cuda", **env)


def _own_tests(session: nox.Session, package: Package) -> list[str]:
    folder = package.folder / "tests"
    if not folder.is_dir():
        session.skip(f"{package.name} has no tests")
    return [str(folder)]


def _has_gpu_tests(package: Package) -> bool:
    """Whether its tests name the marker, or the module that brings it (`device`)."""
    texts = (path.read_text("utf-8") for path in package.folder.glob("tests/**/*.py"))
    return any("mark.cuda" in text or "testing.devices" in text for text in texts)


def _selection(package: Package) -> str:
    """A test that needs a checkpoint runs where the package brings the zoo along."""
    has_zoo = any(member.name == "compose-zoo" for member in package.family("test"))
    return "not cuda" if has_zoo else "not cuda and not weights"


def _source_path(session: nox.Session) -> str:
    """Folders that stand in for installed packages, entry points included."""
    command = [_python(session), "scripts/source_path.py", str(session.create_tmp())]
    return str(session.run(*command, silent=True, external=True)).strip()


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    _install(session, "ruff")
    session.run("ruff", "check", *(session.posargs or ["."]))
    session.run("ruff", "format", "--check", *(session.posargs or ["."]))


@nox.session
def types(session: nox.Session) -> None:
    """Check types; compose-core strictly."""
    _install(
        session, *_everything(), *TESTERS, *SITE_TOOLS, "nox", "playwright", "pyright[nodejs]"
    )
    session.run("pyright", *session.posargs)


@nox.session
def imports(session: nox.Session) -> None:
    """Check who may import whom."""
    _install(session, "--no-deps", *_editable(list(PACKAGES.values())))
    _install(session, "import-linter")
    session.run("lint-imports", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation into site/; its generated pages must be what the records give."""
    _install(session, *_editable(list(PACKAGES.values())), *SITE_TOOLS)
    session.run("python", "scripts/docs/generate.py", "--check")
    session.run("mkdocs", "build", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(name="docs-test", default=False, requires=["docs"])
def docs_test(session: nox.Session) -> None:
    """Use the built site in a browser without a window; screenshots go to runs/site/."""
    _install(session, "playwright")
    session.run("python", "scripts/docs/browse.py", "site", "runs/site", *session.posargs)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build a wheel of every package into dist/."""
    _install(session, "build", "hatchling")
    for stale in DIST.glob("*.whl"):
        stale.unlink()
    for package in PACKAGES.values():
        session.run(
            *("python", "-m", "build", "--wheel", "--no-isolation"),
            *("--outdir", str(DIST), str(package.folder)),
            silent=True,
        )


@nox.session(name="install-check", default=False, reuse_venv=False, requires=["build"])
@nox.parametrize("package", EACH)
def install_check(session: nox.Session, package: str) -> None:
    """Install one package's wheels alone, import it and start each of its console commands."""
    this = PACKAGES[package]
    _install(session, *(str(member.wheel) for member in this.family()))
    session.chdir(session.create_tmp())  # away from the sources
    session.run("python", "-c", LOAD_EVERYTHING, this.name, silent=True)
    for command in this.project.get("scripts", {}):
        session.run(command, "--help", silent=True)
        session.run(command, "--version")


@nox.session(default=False, venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """Run the fast tests with the lowest versions that the packages declare.

    Needs uv, unlike all others: pip cannot be asked for the lowest versions.
    """
    everything = _editable(list(PACKAGES.values()), "test")
    session.install("--resolution", "lowest-direct", *everything)
    folders = [str(package.folder) for package in PACKAGES.values()]
    _pytest(session, "-n", WORKERS, "-m", "not slow", *folders, **ONE_THREAD)
