"""The shape of the repository: who imports whom, how big things are, what never appears."""

import ast
import importlib
import math
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOMES = [
    *sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml")),
    ROOT / "zoo",
    ROOT / "benchmarks",
]
SOURCES = sorted(path for home in HOMES for path in home.glob("src/**/*.py"))
MODULE_LINES = 400
FUNCTION_LINES_P90 = 35
# Loaders that run what they read. Checkpoints are safetensors, everything else is text; published
# ones that are converted are opened without running anything that they name.
CONVERTERS = "**/zoo/foreign.py"
UNSAFE = {
    ("pickle", "load"),
    ("pickle", "loads"),
    ("marshal", "loads"),
    ("yaml", "load"),
    ("torch", "load"),
    ("tarfile", "open"),
}


def relative(path):
    return path.relative_to(ROOT).as_posix()


def parsed(path):
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def calls(tree):
    """Every call of a dotted name ``a.b(...)`` or a plain name ``b(...)``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            target = node.func
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                yield target.value.id, target.attr, node
            elif isinstance(target, ast.Name):
                yield "", target.id, node


def inert(path, name, call):
    """Whether this is `torch.load(..., weights_only=True)` in a converter."""
    words = {word.arg: ast.unparse(word.value) for word in call.keywords}
    only = words.get("weights_only") == "True" and "pickle_module" not in words
    return path.match(CONVERTERS) and name == ("torch", "load") and only


def test_import_contracts_hold():
    pytest.importorskip("importlinter")
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as run; run()",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_module_is_too_long(path):
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= MODULE_LINES, f"{relative(path)} has {lines} lines: split it by subject"


@pytest.mark.parametrize("home", HOMES, ids=lambda home: home.name)
def test_nine_in_ten_functions_are_short(home):
    lengths = sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in home.glob("src/**/*.py")
        for node in functions(parsed(path))
    )
    if lengths:
        p90 = lengths[math.ceil(0.9 * len(lengths)) - 1]
        assert p90 <= FUNCTION_LINES_P90


@pytest.mark.parametrize("home", HOMES, ids=lambda home: home.name)
def test_a_package_is_complete(home):
    (module,) = (home / "src").iterdir()
    for needed in ("pyproject.toml", "README.md", "tests"):
        assert (home / needed).exists(), f"{relative(home)} has no {needed}"
    for needed in ("__init__.py", "_version.py", "py.typed"):
        assert (module / needed).exists(), f"{relative(module)} has no {needed}"


def test_no_module_has_a_name_without_a_subject():
    nameless = {"utils.py", "common.py", "base.py", "helpers.py", "misc.py"}
    assert [relative(path) for path in SOURCES if path.name in nameless] == []


def test_test_folders_are_not_packages():
    # With --import-mode=importlib, an __init__.py would make same-named test files collide.
    folders = [ROOT / "tests", *(home / "tests" for home in HOMES)]
    assert [path for folder in folders for path in folder.glob("**/__init__.py")] == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_unsafe_or_hidden_is_called(path):
    for owner, name, call in calls(parsed(path)):
        where = f"{relative(path)}:{call.lineno}"
        safe = (owner, name) not in UNSAFE or inert(path, (owner, name), call)
        assert safe, f"{where} opens what may run code"
        assert (owner, name) not in {("", "eval"), ("", "exec")}, f"{where} runs a string"
        assert (owner, name) != ("torch", "manual_seed"), f"{where} seeds the global generator"


def imported(module):
    """The top-level modules that are loaded after ``import module`` in a fresh interpreter."""
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


@pytest.mark.parametrize("module", ["compose_core", "compose_core.cli", "compose_core.errors"])
def test_importing_core_stays_light(module):
    heavy = {"torch", "numpy", "diffusers", "transformers", "accelerate", "PIL"}
    assert imported(module) & heavy == set()


def type_checking_imports(tree):
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom) and statement.module is not None
                module = statement.module.partition(".")[2]
                yield module, tuple(alias.name for alias in statement.names)


def test_the_lazy_table_of_core_is_what_type_checkers_see():
    core = importlib.import_module("compose_core")
    assert dict(type_checking_imports(parsed(Path(core.__file__)))) == core._HOME
    assert set(core.__all__) == {*chain(*core._HOME.values()), "__version__"}
    assert all(a < b for a, b in pairwise(core._HOME))


def test_every_public_name_of_core_exists():
    core = importlib.import_module("compose_core")
    for name in core.__all__:
        assert getattr(core, name) is not None
    with pytest.raises(AttributeError):
        _ = core.nothing_of_this_name
