"""What the pages say is true: links lead somewhere, commands exist, examples load and run.

A block in a language that is named here is checked; ```` ```py ```` is for code that is not whole.
"""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = ("packages", "zoo", "docs", "benchmarks", "examples", "tests")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(p for name in WRITTEN for p in ROOT.glob(f"{name}/**/*.md"))]
)
SCENES = sorted((ROOT / "examples").glob("*.toml"))
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"bash", "sh", "py", "python", "toml", "json", "text"}
"""All that may stand behind a fence; what is in another one would never be checked."""
INLINE = re.compile(r"(?<!`)`(nox [^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def relative(path):
    return path.relative_to(ROOT).as_posix()


def fences(path, *languages):
    found = FENCE.findall(path.read_text("utf-8"))
    return [code for language, code in found if language in languages]


def commands(path):
    """The commands in a page's shell blocks, one list of words each; ``&&`` separates them.

    Commands of nox count wherever they are written: they fill a table.
    """
    inline = INLINE.findall(path.read_text("utf-8"))
    for block in [*fences(path, "bash", "sh", "console"), *inline]:
        for line in block.replace("\\\n", " ").splitlines():
            for command in line.removeprefix("$ ").split("&&"):
                words = shlex.split(command, comments=True)
                if words:
                    yield words


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_block_is_in_a_language_that_is_checked(page):
    text = page.read_text("utf-8")
    opened = re.findall(r"^ *```+ *([^\s`]*)", text, re.MULTILINE)[::2]
    assert set(opened) <= LANGUAGES
    outside = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
    loose = re.findall(r"^ {4,}(?:\$ )?((?:compose|nox|accelerate) .*)$", outside, re.MULTILINE)
    assert not loose, "commands that are only indented are not checked"


def test_commands_of_the_benchmarks_are_found():
    found = [" ".join(words) for page in PAGES for words in commands(page)]
    for start in ("compose bench run", "compose bench table", "accelerate launch"):
        assert any(command.startswith(start) for command in found), start


def pages_with(program):
    found = [(page, words) for page in PAGES for words in commands(page) if words[0] == program]
    return [pytest.param(*pair, id=f"{relative(pair[0])}:{' '.join(pair[1])}") for pair in found]


# A fragment becomes part of a page elsewhere, and its links are those of that page.
@pytest.mark.parametrize("page", [p for p in PAGES if "fragments" not in p.parts], ids=relative)
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
    own = list(takewhile(lambda word: word != "--", words))
    asked = own[own.index("-s") + 1 :] if "-s" in own else []
    assert {word.partition("(")[0] for word in asked} <= set(sessions())


@pytest.mark.parametrize(("page", "words"), pages_with("python"))
def test_the_scripts_of_a_page_exist(page, words):
    assert words[1] == "-m" or (ROOT / words[1]).is_file()


def parser_accepts(words):
    """Ask for help instead of doing it: the command's name and options are still checked."""
    known = list(takewhile(lambda word: not (word.startswith("-") or word.isupper()), words[1:]))
    code = "import sys; from compose_core.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *known, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def launched():
    """What a launcher starts: the command behind its own options."""
    for param in pages_with("accelerate"):
        page, words = param.values
        if "compose" in words:
            yield pytest.param(page, words[words.index("compose") :], id=param.id)


@pytest.mark.parametrize(("page", "words"), [*pages_with("compose"), *launched()])
def test_the_compose_commands_of_a_page_exist(page, words):
    if words[1] == "bench":
        pytest.importorskip("compose_benchmarks")
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


def test_a_command_that_does_not_exist_is_noticed():
    for words in ("compose frobnicate", "compose zoo frobnicate ID", "compose zoo verify --force"):
        result = parser_accepts(words.split())
        assert result.returncode != 0 or "--force" not in result.stdout


@pytest.mark.parametrize("page", [page for page in PAGES if fences(page, "json")], ids=relative)
def test_the_json_of_a_page_is_json(page):
    for text in fences(page, "json"):
        assert json.loads(text)


def test_the_index_of_a_lora_on_the_page_is_read(tmp_path):
    from compose_core.zoo.beside import INDEX, read_index

    (written,) = fences(ROOT / "docs" / "how-to" / "own-weights.md", "json")
    (tmp_path / INDEX).write_text(written)
    assert read_index(tmp_path).base == "sd-tiny"


@pytest.mark.parametrize("page", [page for page in PAGES if fences(page, "toml")], ids=relative)
def test_the_toml_of_a_page_is_toml(page):
    for text in fences(page, "toml"):
        if "--8<--" not in text:  # a snippet: its file is checked where it lies
            assert tomllib.loads(text)


def test_the_manifest_of_the_readme_is_one():
    from compose_core.zoo.manifest import parse

    (written,) = fences(ROOT / "zoo" / "README.md", "toml")
    assert parse(written).id == "sd-tiny"


def test_the_idea_of_the_architecture_runs():
    import torch

    from compose_core import Local
    from compose_core.testing.models import stable_diffusion_schedule, tiny_parts

    (code,) = fences(ROOT / "ARCHITECTURE.md", "py")
    (denoiser,), level = tiny_parts(1), stable_diffusion_schedule().levels(4)[1]
    x_t = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    state, evaluator = denoiser.init(x_t), Local()
    names = {"denoiser": denoiser, "evaluator": evaluator, "x_t": x_t, "level": level}
    names |= {"state": state}
    exec(code, names)
    assert torch.equal(names["prediction"].x0, denoiser(x_t, level, state).x0)


def test_there_are_examples():
    assert SCENES


@pytest.mark.parametrize("path", SCENES, ids=relative)
def test_every_example_scene_loads(path):
    from compose_core.scene import load_scene

    scene = load_scene(path)
    assert scene.prompt and (scene.layers or scene.duration)


def test_the_scene_of_the_readme_is_the_first_example():
    (written,) = fences(ROOT / "README.md", "toml")
    example = (ROOT / "examples" / "toys.toml").read_text("utf-8")
    assert tomllib.loads(written) == tomllib.loads(example)


def test_the_picture_of_the_readme_is_there():
    first_screen = "\n".join((ROOT / "README.md").read_text("utf-8").splitlines()[:40])
    picture = re.search(r"!\[[^\]]*\]\(([^)]+)\)", first_screen)
    assert picture and (ROOT / picture[1]).stat().st_size < 2_000_000
