"""What the pages say is true: links lead somewhere, commands exist, examples load and run."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = ("packages", "zoo", "docs", "benchmarks", "examples", "tests")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(p for name in WRITTEN for p in ROOT.glob(f"{name}/**/*.md"))]
)
SCENES = sorted((ROOT / "examples").glob("*.toml"))
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def relative(path):
    return path.relative_to(ROOT).as_posix()


def fences(path, *languages):
    found = FENCE.findall(path.read_text("utf-8"))
    return [code for language, code in found if language in languages]


def commands(path):
    """The commands in a page's shell blocks, one list of words each; ``&&`` separates them."""
    for block in fences(path, "bash", "sh", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            for command in line.removeprefix("$ ").split("&&"):
                words = shlex.split(command, comments=True)
                if words:
                    yield words


def pages_with(program):
    found = [(page, words) for page in PAGES for words in commands(page) if words[0] == program]
    return [pytest.param(*pair, id=f"{relative(pair[0])}:{' '.join(pair[1])}") for pair in found]


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page):
    for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if not re.match(r"[a-z]+:|#", target):
            path = page.parent / target.partition("#")[0]
            assert path.exists(), f"{relative(page)} links to {target}"


def sessions():
    """The names that ``nox -s`` knows, read off the noxfile's decorators."""
    for node in ast.parse((ROOT / "noxfile.py").read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                if ast.unparse(decorator).startswith("nox.session"):
                    named = re.search(r"name='([^']+)'", ast.unparse(decorator))
                    yield named[1] if named else node.name


@pytest.mark.parametrize(("page", "words"), pages_with("nox"))
def test_the_nox_sessions_of_a_page_exist(page, words):
    asked = words[words.index("-s") + 1].partition("(")[0]
    assert asked in set(sessions())


def parser_accepts(words):
    """Ask for help instead of doing it: the command's name and options are still checked."""
    known = [word for word in words[1:] if not word.startswith("-")][:1]
    code = "import sys; from compose_core.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *known, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("page", "words"), pages_with("compose"))
def test_the_compose_commands_of_a_page_exist(page, words):
    result = parser_accepts(words)
    assert result.returncode == 0, result.stderr
    for word in words:
        if word.startswith("--") and word not in {"--help", "--version", "--debug"}:
            assert word.partition("=")[0] in result.stdout, f"{word} is not an option"
        if word.startswith("examples/"):
            assert (ROOT / word).exists()


@pytest.mark.parametrize("page", [page for page in PAGES if fences(page, "python")], ids=relative)
@pytest.mark.weights
def test_the_python_of_a_page_runs(page, tmp_path):
    for code in fences(page, "python"):
        environment = {**os.environ, "PYTHONWARNINGS": "default"}
        command = [sys.executable, "-c", code]
        result = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{relative(page)}:\n{code}\n{result.stderr}"


def test_there_are_examples():
    assert SCENES


@pytest.mark.parametrize("path", SCENES, ids=relative)
def test_every_example_scene_loads(path):
    from compose_core.scene import load_scene

    scene = load_scene(path)
    assert scene.layers and scene.prompt


def test_the_scene_of_the_readme_is_the_first_example():
    (written,) = fences(ROOT / "README.md", "toml")
    example = (ROOT / "examples" / "toys.toml").read_text("utf-8")
    assert tomllib.loads(written) == tomllib.loads(example)


def test_the_picture_of_the_readme_is_there():
    first_screen = "\n".join((ROOT / "README.md").read_text("utf-8").splitlines()[:40])
    picture = re.search(r"!\[[^\]]*\]\(([^)]+)\)", first_screen)
    assert picture and (ROOT / picture[1]).stat().st_size < 2_000_000
