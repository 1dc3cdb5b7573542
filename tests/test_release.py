"""All packages leave together: one version, matching pins, bounds that were tested."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
HOMES = [
    *sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml")),
    ROOT / "zoo",
    ROOT / "benchmarks",
]
PROJECTS = {
    project["name"]: project
    for home in HOMES
    for project in [tomllib.loads((home / "pyproject.toml").read_text("utf-8"))["project"]]
}
VERSION = PROJECTS["compose-core"]["version"]


def requirements(project):
    groups = [project.get("dependencies", []), *project.get("optional-dependencies", {}).values()]
    return [Requirement(line) for group in groups for line in group]


def constraints():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pinned}


@pytest.mark.parametrize("name", PROJECTS)
def test_one_version_everywhere(name):
    module = importlib.import_module(f"{name.replace('-', '_')}._version")
    assert PROJECTS[name]["version"] == VERSION == module.__version__


def test_the_citation_and_the_changelog_name_this_version():
    assert f"version: {VERSION}" in (ROOT / "CITATION.cff").read_text("utf-8")
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert VERSION in headings


@pytest.mark.parametrize("name", PROJECTS)
def test_siblings_are_pinned_exactly(name):
    for requirement in requirements(PROJECTS[name]):
        if requirement.name in PROJECTS:
            assert str(requirement.specifier) == f"=={VERSION}", f"{name} needs {requirement}"


@pytest.mark.parametrize("name", PROJECTS)
def test_others_have_a_floor_no_cap_and_a_tested_version(name):
    tested = constraints()
    for requirement in requirements(PROJECTS[name]):
        if requirement.name in PROJECTS:
            continue
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators == {">="}, f"{name} needs {requirement}"
        pin = tested[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(Version(pin)), f"{requirement} was tested as {pin}"


def test_packages_agree_on_their_floors():
    floors = {}
    for name, project in PROJECTS.items():
        for requirement in requirements(project):
            floor = str(requirement.specifier)
            known = floors.setdefault(canonicalize_name(requirement.name), floor)
            assert known == floor, f"{name} needs {requirement}, another package {known}"


@pytest.mark.parametrize("name", PROJECTS)
def test_packages_agree_on_python_and_licence(name):
    project = PROJECTS[name]
    assert (project["requires-python"], project["license"]) == (">=3.11", "Apache-2.0")
    assert project["readme"] == "README.md" and project["description"]


def test_every_entry_point_can_be_loaded():
    for project in PROJECTS.values():
        targets = [*project.get("scripts", {}).values()]
        for points in project.get("entry-points", {}).values():
            targets += points.values()
        for target in targets:
            module, _, attribute = target.partition(":")
            found = importlib.import_module(module)
            assert not attribute or getattr(found, attribute) is not None, target
