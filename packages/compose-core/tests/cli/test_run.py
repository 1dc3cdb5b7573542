"""`compose run` from the outside: what is written, what is said, what is left behind."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from compose_core.cli import main
from compose_core.testing.folders import tiny_stable_diffusion

EXAMPLES = Path(__file__).parents[4] / "examples"

SCENE = {
    "version": 1,
    "canvas": [64, 64],
    "prompt": "toys",
    "layers": [{"name": "ball", "prompt": "a red sphere", "box": [0.1, 0.1, 0.6, 0.9]}],
}


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return str(tiny_stable_diffusion(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(**changes):
    with open("toys.json", "w") as file:
        json.dump({**SCENE, **changes}, file)


def layer(**changes):
    return {"layers": [{**SCENE["layers"][0], **changes}]}


def run(*arguments):
    return main(["run", *arguments, "--steps", "1", "--device", "cpu", "--quiet"])


def test_a_scene_becomes_a_picture_that_makes_itself_again(folder, model, capsys):
    write()
    assert run("toys.json", "--model", model) == 0
    assert capsys.readouterr().out == "toys.png\n"
    with Image.open("toys.png") as picture:
        assert picture.size == (64, 64)
    assert main(["run", "toys.png", "--quiet", "--out", "again"]) == 0
    assert "again/toys.png is identical to toys.png" in capsys.readouterr().err
    with open("toys.png", "rb") as one, open("again/toys.png", "rb") as other:
        assert one.read() == other.read()


def test_several_pictures(folder, model):
    write(seed=3)
    assert run("toys.json", "--model", model, "--num", "2", "--out", "out") == 0
    assert sorted(os.listdir("out")) == ["toys-3.png", "toys-4.png"]


def test_what_is_not_used_is_said(folder, model, capsys):
    write(camera={"fov": 40.0}, **layer(keypoints="pose.json"))
    with open("pose.json", "w") as file:
        file.write('{"head": [0.5, 0.5]}')
    assert run("toys.json", "--model", model) == 0
    assert "does not use `keypoints` of layer 'ball'" in capsys.readouterr().err
    assert run("toys.json", "--model", model, "--strict", "--out", "strict") == 1
    assert not os.path.exists("strict")


def test_a_prompt_that_is_cut_is_said(folder, model, capsys):
    write(prompt="toys " * 400)
    assert run("toys.json", "--model", model) == 0
    assert "too long" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "arguments", "code", "message"),
    [
        ({"layers": []}, [], 1, "no layers"),
        ({"layerz": 1}, [], 1, "unknown key"),
        (layer(box=[0, 0, 64, 64]), [], 1, "leaves the canvas"),
        (layer(mask="lost.png"), [], 1, "does not exist"),
        (layer(mask="../lost.png"), [], 1, "leaves the folder"),
        (layer(mask="toys.json"), [], 1, "not an image"),
        ({"canvas": [62, 64]}, [], 1, "canvas = [64, 64]"),
        ({"canvas": [90000, 90000]}, [], 1, "GiB"),
        ({"prompt": ""}, [], 1, "empty"),
        ({}, ["--method", "nothing"], 2, "no method"),
        ({}, ["--model", "./nothing"], 1, "no such model"),
        ({}, ["--steps", "0"], 2, "steps"),
        ({}, ["--seed", "-1"], 2, "seed"),
        ({}, ["--max-batch", "0"], 2, "batch"),
        ({}, ["--device", "warp"], 1, "no such device"),
        ({}, ["--out", "toys.json/sub"], 1, "cannot be written"),
    ],
)
def test_bad_input_ends_in_one_message_and_nothing_else(
    folder, model, capsys, changes, arguments, code, message
):
    write(**changes)
    given = ["toys.json", "--model", model, "--quiet", "--device", "cpu", "--steps", "1"]
    assert main(["run", *given, *arguments]) == code
    text = capsys.readouterr().err
    assert message.lower() in text.lower()
    assert "Traceback" not in text and "a fault of the program" not in text
    assert os.listdir(".") == ["toys.json"]


def test_damaged_weights_are_refused(folder, capsys):
    broken = tiny_stable_diffusion(folder / "broken")
    weights = next((broken / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    write()
    assert run("toys.json", "--model", str(broken), "--out", "out") == 1
    assert "unet cannot be loaded" in capsys.readouterr().err
    assert not os.path.exists("out")


@pytest.mark.parametrize("arguments", [["--sed", "1"], ["a.toml", "b.toml"], [], ["--num", "x"]])
def test_wrong_usage_exits_with_two(folder, arguments):
    with pytest.raises(SystemExit) as caught:
        main(["run", *arguments])
    assert caught.value.code == 2


def test_a_missing_scene_and_a_foreign_picture(folder, capsys):
    assert run("nothing.toml") == 1
    Image.new("RGB", (8, 8)).save("foreign.png")
    assert run("foreign.png") == 1
    assert "carries no scene" in capsys.readouterr().err


def test_an_example_can_be_run_twice_in_its_own_folder(folder, model):
    """Its picture would once have taken the place of its mask, and the second run have failed."""
    if not EXAMPLES.is_dir():
        pytest.skip("the examples belong to the repository")
    for path in EXAMPLES.iterdir():
        shutil.copy(path, folder)
    before = (folder / "tree.png").read_bytes()
    for _ in range(2):
        assert run("mask.toml", "--model", model, "--max-batch", "2") == 0
    assert (folder / "tree.png").read_bytes() == before
    os.rename("mask.toml", "tree.toml")
    assert run("tree.toml", "--model", model) == 2
    assert (folder / "tree.png").read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files by the shell")
@pytest.mark.parametrize("extra", [[], ["--trace"]])
def test_a_disk_that_fills_up_leaves_nothing(folder, model, extra):
    """The limit on file size makes the system refuse the write as a full disk would."""
    write()
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from compose_core.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = ["run", "toys.json", "--model", model, "--steps", "1", "--out", "out", "--quiet"]
    command = [sys.executable, "-c", code, *arguments, *extra]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr and "Traceback" not in done.stderr
    assert os.listdir("out") == []
