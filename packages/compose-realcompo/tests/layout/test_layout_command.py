"""`compose realcompo layout`, as one types it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from compose_core.errors import UsageError
from compose_core.scene import load_scene, parse_scene
from compose_realcompo import cli

PROMPT = "a red ball to the left of a blue cube"


def call(*words: object) -> int:
    parser = argparse.ArgumentParser(prog="compose realcompo")
    cli.configure(parser)
    return cli.run(parser.parse_args(["layout", *map(str, words)]))


def test_it_needs_no_torch():
    code = (
        "import argparse, sys; from compose_realcompo import cli; p = argparse.ArgumentParser();"
        f"cli.configure(p); cli.run(p.parse_args(['layout', {PROMPT!r}]));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_it_prints_a_scene(capsys: pytest.CaptureFixture[str]):
    assert call(PROMPT, "--canvas", 64, 32, "--seed", 9) == 0
    printed = capsys.readouterr()
    scene = parse_scene(printed.out, "toml", ".")
    assert (scene.canvas, scene.seed, scene.prompt) == ((64, 32), 9, PROMPT)
    assert [layer.name for layer in scene.layers] == ["red ball", "blue cube"]
    assert printed.err == ""


def test_it_writes_a_scene_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "scene.toml"
    assert call(PROMPT, "--out", out) == 0
    assert capsys.readouterr().out.strip() == str(out)
    first = load_scene(out)
    with pytest.raises(UsageError, match="there already"):
        call(PROMPT, "--out", out, "--seed", 1)
    assert load_scene(out) == first
    call(PROMPT, "--out", out, "--seed", 1, "--force")
    assert load_scene(out).seed == 1


@pytest.mark.parametrize(
    "words",
    [["on grass"], [PROMPT, "--canvas", 0, 64], [PROMPT, "--seed", -1], ["31 balls"],
     [PROMPT, "--out", "scene.png"]],
)  # fmt: skip
def test_wrong_use(words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        call(*words)
    assert list(tmp_path.iterdir()) == []


def test_a_model_must_be_named(monkeypatch: pytest.MonkeyPatch):
    for name in ("COMPOSE_LLM_BASE_URL", "COMPOSE_LLM_MODEL", "COMPOSE_LLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="no language model") as caught:
        call(PROMPT, "--planner", "llm")
    assert "COMPOSE_LLM_BASE_URL" in str(caught.value)


def test_no_key_on_the_command_line():
    with pytest.raises(SystemExit):
        call(PROMPT, "--api-key", "x")
