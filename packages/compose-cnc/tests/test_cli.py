"""`compose cnc`, as one types it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from compose_cnc import cli
from compose_core.errors import ComposeError, UsageError, WeightsError


def call(*words: object) -> int:
    parser = argparse.ArgumentParser(prog="compose cnc")
    cli.configure(parser)
    return cli.run(parser.parse_args([str(word) for word in words]))


def test_help_needs_no_torch():
    code = (
        "import argparse, sys; from compose_cnc import cli; p = argparse.ArgumentParser();"
        "cli.configure(p); p.format_help(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("words", [[], ["convert"], ["triplets", "a", "b"], ["sing"]])
def test_wrong_words(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        call(*words)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_convert_of_another_file(tmp_path: Path):
    (tmp_path / "x.ckpt").write_bytes(b"something")
    with pytest.raises(WeightsError, match="not a checkpoint"):
        call("convert", tmp_path / "x.ckpt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_convert_says_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from compose_cnc import convert as package

    seen: dict[str, Any] = {}

    def fake(checkpoint: Path, out: Path, **options: Any) -> package.Conversion:
        seen.update(options, checkpoint=checkpoint)
        return package.Conversion(
            folder=out,
            parameters={"unet": 859_520_964},
            ignored={"betas": "noise schedule"},
            absent={"tokenizer": "no base"},
            compared=7,
        )

    monkeypatch.setattr(package, "convert", fake)
    assert call("convert", "x.ckpt", tmp_path / "o", "--verify", "--base", "b") == 0
    assert seen == {
        "checkpoint": Path("x.ckpt"),
        "base": Path("b"),
        "exemplars": None,
        "check": True,
    }
    said = capsys.readouterr()
    assert "859.5M" in said.out and "7 tensors" in said.out
    assert "no tokenizer: no base" in said.err and "betas" in said.err


def test_triplets_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    import numpy as np
    from PIL import Image

    from compose_cnc.data import Tools, TripletDataset

    source = tmp_path / "source"
    source.mkdir()
    for name in ("one", "two", "bad"):
        values = np.random.default_rng(len(name)).integers(0, 256, (40, 30, 3), np.uint8)
        Image.fromarray(values).save(source / f"{name}.png")
    (source / "bad.png").write_bytes(b"no")
    (source / "captions.txt").write_text("one.png: it: has a colon\ntwo.png: nobody here\n")
    (tmp_path / "words.txt").write_text("nobody\n")

    def fake(args: argparse.Namespace) -> Tools:
        return Tools(
            inpaint=lambda pictures, masks, generators: 1 - pictures,
            depth=lambda pictures: pictures.mean(1),
            encode=lambda pictures: pictures.mean((2, 3)),
            salient=lambda pictures: (torch.arange(16) < 8).float().expand(len(pictures), 16, 16),
        )

    monkeypatch.setattr(cli, "_tools", fake)
    models = ["--inpainting", "i", "--depth", "d", "--image-encoder", "e", "--size", 16]
    with pytest.raises(UsageError, match="among their own sources"):
        call("triplets", source, source / "out", *models)
    words = ["triplets", source, tmp_path / "out", *models]
    words += ["--without-words", tmp_path / "words.txt"]
    with pytest.raises(ComposeError, match="bad"):
        call(*words)
    assert call(*words, "--skip-unreadable") == 0
    said = capsys.readouterr()
    assert "1 made, 0 kept, 1 left out, 1 unreadable" in said.out
    assert "unreadable: bad" in said.err
    data = TripletDataset(tmp_path / "out")
    assert [item["caption"] for item in data] == ["it: has a colon"]


def test_numbers_that_make_no_sense(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.png").write_bytes(b"")
    models = ["--inpainting", "i", "--depth", "d", "--image-encoder", "e"]
    for option in (["--steps", 0], ["--strength", 2], ["--batch", 0], ["--shard", "2/1"]):
        with pytest.raises(UsageError):
            call("triplets", tmp_path / "in", tmp_path / "out", *models, *option)
