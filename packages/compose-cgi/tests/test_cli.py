"""`compose cgi`, as one types it."""

import argparse
import subprocess
import sys

import pytest
from PIL import Image

from compose_cgi import cli
from compose_core.errors import UsageError
from compose_core.run import load_record


def call(*words):
    parser = argparse.ArgumentParser(prog="compose cgi")
    cli.configure(parser)
    return cli.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def panorama(folders, tmp_path, capsys):
    """Draws one; gives the paths that were printed."""
    model = ["--model", folders["base"], "--device", "cpu", "--steps", 2, "--quiet"]

    def make(*words):
        assert call("panorama", *words, *model, "--out", tmp_path) == 0
        return capsys.readouterr().out.split()

    return make


def test_help_needs_no_torch():
    code = (
        "import argparse, sys; from compose_cgi import cli; p = argparse.ArgumentParser();"
        "cli.configure(p); p.format_help(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("words", [[], ["panorama"], ["panorama", "sand"], ["sing"]])
def test_wrong_words(words, capsys):
    with pytest.raises(SystemExit) as caught:
        call(*words)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_parts_lie_side_by_side(panorama):
    (path,) = panorama("sand", "--also", "a red sphere on sand", "--width", 128)
    with Image.open(path) as picture:
        assert picture.size == (128, 64)
    scene = load_record(path).scene
    assert [layer.prompt for layer in scene.layers] == ["sand", "a red sphere on sand"]
    assert [tuple(layer.box) for layer in scene.layers] == [(0, 0, 0.5, 1), (0.5, 0, 1, 1)]


def test_parts_of_an_upright_picture_lie_one_below_the_other(panorama):
    (path,) = panorama("sky", "--also", "grass", "--width", 64, "--height", 128)
    with Image.open(path) as picture:
        assert picture.size == (64, 128)
    assert [tuple(x.box) for x in load_record(path).scene.layers] == [
        (0, 0, 1, 0.5),
        (0, 0.5, 1, 1),
    ]


def test_what_one_view_shows_has_no_parts(panorama, tmp_path):
    """It would be a scene of two objects, with pictures beside it that nobody asked for."""
    with pytest.raises(UsageError, match="(?s)no parts.*larger --width"):
        panorama("sand", "--also", "grass", "--width", 64)
    assert not list(tmp_path.iterdir())
    (closed,) = panorama("sand", "--also", "grass", "--width", 64, "--wrap")
    assert load_record(closed).scene.wrap


@pytest.mark.parametrize("size", [["--width", 0], ["--width", 64, "--height", -1]])
def test_sizes_are_positive(panorama, size):
    with pytest.raises(UsageError, match="a size is positive"):
        panorama("sand", *size)
