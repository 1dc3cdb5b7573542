import json

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from compose_core.errors import ComposeError, SceneError, UsageError
from compose_core.run import load_record, remake, run_scene
from compose_core.scene import build, load_scene

MUSIC = """
version = 1
prompt = "a band"
duration = 5.0
seed = 3
"""


def scene_of(tmp_path, text, name="scene.toml"):
    path = tmp_path / name
    path.write_text(text)
    return load_scene(path)


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def made(scene, folder, out, **options):
    given = {"method": "dde", "model": str(folder), "out": out, "device": "cpu", **options}
    return list(run_scene(scene, **given))


def test_a_duration_becomes_a_mix_and_its_stems(folders, tmp_path):
    scene = scene_of(tmp_path, MUSIC)
    told = []
    (path,) = made(scene, folders["music"], tmp_path, trace=True, warn=told.append)
    assert told[0] == "the method 'dde' writes no trace of this scene"
    assert path.name == "picture.flac"
    mix, rate = soundfile.read(path)
    assert rate == 16 and mix.shape == (80,)
    stems = [soundfile.read(tmp_path / f"picture.{n}.flac")[0] for n in ("bass", "drums")]
    np.testing.assert_allclose(np.clip(sum(stems), -1, 1), mix, atol=1e-5)
    with soundfile.SoundFile(path) as file:
        assert file.title == "a band"


def test_the_file_says_how_to_make_it_again(folders, tmp_path):
    scene = scene_of(tmp_path, MUSIC)
    (path,) = made(scene, folders["music"], tmp_path)
    record = load_record(path)
    assert record.scene == scene and record.settings.seed == 3
    assert record.settings.steps == 3 and record.settings.guidance == 1.0
    again = list(remake(record, path, out=tmp_path / "other"))
    assert [same for _, same in again] == [True]
    other = list(remake(record, path, out=tmp_path / "third", seed=4))
    assert [same for _, same in other] == [None]
    assert other[0][0].read_bytes() != path.read_bytes()


def test_layers_named_like_stems_set_their_loudness(folders, tmp_path):
    quiet = MUSIC + '[[layers]]\nname = "drums"\nprompt = "drums"\nweight = 0.0\n'
    (path,) = made(scene_of(tmp_path, quiet), folders["music"], tmp_path)
    assert not soundfile.read(path.with_suffix(".drums.flac"))[0].any()
    mix, bass = soundfile.read(path)[0], soundfile.read(path.with_suffix(".bass.flac"))[0]
    np.testing.assert_allclose(mix, bass, atol=1e-6)


def test_a_sound_is_continued(folders, tmp_path):
    before = 0.1 * np.random.default_rng(0).standard_normal((40, 2))
    soundfile.write(tmp_path / "before.wav", before, 16, "FLOAT")
    text = MUSIC + '[[layers]]\nname = "beginning"\nsound = "before.wav"\n'
    (path,) = made(scene_of(tmp_path, text), folders["music"], tmp_path)
    mix = soundfile.read(path)[0]
    # The whole may have been turned down; the beginning is still that of the file.
    assert np.corrcoef(mix[:30], before.sum(1)[:30])[0, 1] > 0.999
    soundfile.write(tmp_path / "before.wav", before, 22_050, "FLOAT")
    told = []
    made(scene_of(tmp_path, text), folders["music"], tmp_path, warn=told.append)
    assert any("resampled from 22050 to 16 Hz" in line for line in told)
    soundfile.write(tmp_path / "before.wav", before[:, :1], 16, "FLOAT")
    with pytest.raises(SceneError, match="has not the stems"):
        made(scene_of(tmp_path, text), folders["music"], tmp_path)
    (tmp_path / "before.wav").write_bytes(b"no sound")
    with pytest.raises(SceneError, match="is no sound"):
        made(scene_of(tmp_path, text), folders["music"], tmp_path)


def test_points_become_a_picture(folders, tmp_path):
    layers = [{"name": f"p{i}", "point": [0.2 + 0.5 * i, 0.5]} for i in range(2)]
    scene = build({"version": 1, "canvas": [8, 8], "prompt": "toys", "layers": layers})
    one, two = made(scene, folders["positions"], tmp_path, num=2)
    assert size_of(one) == (8, 8) and one.read_bytes() != two.read_bytes()
    assert load_record(one).settings.guidance == 3.0
    assert [same for _, same in remake(load_record(two), two, out=tmp_path / "x")] == [True]
    wide = build({"version": 1, "canvas": [16, 8], "prompt": "toys", "layers": layers})
    with pytest.raises(SceneError, match=r"write canvas = \[8, 8\]"):
        made(wide, folders["positions"], tmp_path)
    close = [{"name": f"p{i}", "point": [0.5 + i / 100, 0.5]} for i in range(2)]
    with pytest.raises(UsageError, match="too close"):
        made(
            build({"version": 1, "canvas": [8, 8], "prompt": "toys", "layers": close}),
            folders["positions"],
            tmp_path,
        )


def test_a_map_becomes_a_picture(folders, tmp_path):
    chart = np.random.default_rng(0).integers(0, 255, (12, 20, 3), dtype=np.uint8)
    Image.fromarray(chart).save(tmp_path / "chart.png")
    text = """
version = 1
canvas = [20, 12]
prompt = "a town"
[[layers]]
name = "streets"
map = "chart.png"
"""
    (path,) = made(scene_of(tmp_path, text), folders["maps"], tmp_path)
    assert size_of(path) == (20, 12)
    odd = text.replace("[20, 12]", "[19, 12]")
    with pytest.raises(SceneError, match="size of the canvas"):
        scene_of(tmp_path, odd)
    Image.fromarray(chart[:, :19]).save(tmp_path / "chart.png")
    with pytest.raises(SceneError, match=r"write canvas = \[20, 12\]"):
        made(scene_of(tmp_path, odd), folders["maps"], tmp_path)


def test_a_sound_is_not_asked_of_methods_that_draw(tmp_path):
    scene = scene_of(tmp_path, MUSIC)
    with pytest.raises(SceneError, match="the scene is a sound"):
        list(run_scene(scene, method="regional", out=tmp_path))


def test_a_scene_is_either_a_picture_or_a_sound():
    with pytest.raises(SceneError, match="either a picture or a sound"):
        build({"version": 1, "canvas": [8, 8], "duration": 3.0, "prompt": "a"})
    for bad in (0, -1.0, 1e9, "long"):
        with pytest.raises(SceneError):
            build({"version": 1, "duration": bad, "prompt": "a"})


def test_a_model_of_something_else_is_refused(folders, tmp_path):
    with pytest.raises(UsageError, match="not for music"):
        made(scene_of(tmp_path, MUSIC), folders["maps"], tmp_path)


def test_words_alone_are_drawn_in_windows(tmp_path):
    """A model of text in windows that are averaged: MultiDiffusion, to the bit."""
    from compose_core.backbones import load_model
    from compose_core.compose import Consensus
    from compose_core.denoiser import Bound, Guided
    from compose_core.testing.folders import tiny_stable_diffusion
    from compose_core.views import cover
    from compose_dde import DDEMethod

    model = load_model(tiny_stable_diffusion(tmp_path / "base"))
    factor, (height, width) = model.codec.factor, model.sample_size
    canvas = [2 * width * factor, height * factor]
    layers = [{"name": "a", "prompt": "sand"}]
    scene = build({"version": 1, "canvas": canvas, "prompt": "sand", "layers": layers})
    generator = torch.Generator().manual_seed(0)
    plan = DDEMethod().plan(scene, model, device="cpu", generator=generator, guidance=3.0, steps=4)
    x_t = torch.randn((1, *plan.shape), generator=generator)
    level = model.schedule.level(torch.tensor(500.0))
    part = Guided(
        Bound(model.network, model.text.encode(["sand"])),
        Bound(model.network, model.text.encode([""])),
        3.0,
    )
    size = (height, width)
    views = cover((height, 2 * width), size, tuple(s // 2 for s in size))
    with torch.no_grad():
        expected = Consensus(part, views)(x_t, level).x0
        assert torch.equal(plan.denoiser(x_t, level).x0, expected)


def test_stems_carry_the_record_and_make_the_whole_again(folders, tmp_path):
    (path,) = made(scene_of(tmp_path, MUSIC), folders["music"], tmp_path)
    bass = path.with_suffix(".bass.flac")
    record = load_record(bass)
    assert record == load_record(path)
    ((again, same),) = remake(record, bass, out=tmp_path / "again")
    assert same is None and again.read_bytes() == path.read_bytes()
    soundfile.write(tmp_path / "plain.flac", np.zeros(8), 16)
    with pytest.raises(SceneError, match="carries no scene"):
        load_record(tmp_path / "plain.flac")


def test_stems_never_take_the_place_of_what_the_scene_hears(folders, tmp_path):
    heard = tmp_path / "song.bass.flac"
    soundfile.write(heard, 0.1 * np.random.default_rng(0).standard_normal(40), 16)
    before = heard.read_bytes()
    text = MUSIC + '[[layers]]\nname = "bass"\nsound = "song.bass.flac"\n'
    with pytest.raises(UsageError, match=r"song\.bass\.flac"):
        made(scene_of(tmp_path, text), folders["music"], tmp_path, name="song")
    assert heard.read_bytes() == before
    assert [path.name for path in tmp_path.glob("song.*")] == ["song.bass.flac"]


WORDS = {
    "music": (
        {"duration": 5.0, "negative": "n"},
        {"name": "bass", "prompt": "x", "weight": 0.5},
        {"negative"},
    ),
    "positions": (
        {"canvas": [8, 8], "wrap": True},
        {"name": "a", "point": [0.5, 0.5], "prompt": "x", "weight": 0.0},
        {"wrap", "prompt", "weight"},
    ),
    "words": (
        {"canvas": [8, 8], "wrap": True, "negative": "n"},
        {"name": "a", "prompt": "x", "weight": 0.5},
        {"prompt", "weight"},
    ),
}


@pytest.mark.parametrize("kind", WORDS)
def test_what_a_kind_of_scene_does_not_use_is_said(kind):
    from compose_core.run.execute import check_method

    scene, layer, unused = WORDS[kind]
    asked = build({"version": 1, "prompt": "a", **scene, "layers": [layer]})
    said = check_method(asked, "dde")
    assert {line.split("`")[1] for line in said} == unused
    with pytest.raises(SceneError, match="does not use all"):
        check_method(asked, "dde", strict=True)


def test_layers_that_are_no_stem_and_guidance_of_music_are_named(folders, tmp_path):
    text = MUSIC + '[[layers]]\nname = "drmus"\nprompt = "drums"\n'
    told = []
    made(scene_of(tmp_path, text), folders["music"], tmp_path, warn=told.append, guidance=3.0)
    assert any("'drmus' changes nothing" in line and "bass, drums" in line for line in told)
    assert any("guidance changes nothing" in line for line in told)
    with pytest.raises(SceneError, match="drmus"):
        made(scene_of(tmp_path, text), folders["music"], tmp_path, strict=True)


@pytest.mark.filterwarnings("error")
def test_what_is_odd_about_a_given_sound_is_reported_with_its_file(folders, tmp_path):
    soundfile.write(tmp_path / "before.wav", np.zeros((40, 2)), 16, "FLOAT")
    text = MUSIC + '[[layers]]\nname = "beginning"\nsound = "before.wav"\n'
    told = []
    made(scene_of(tmp_path, text), folders["music"], tmp_path, warn=told.append)
    assert any("'before.wav' of layer 'beginning' is silent" in line for line in told)
    with pytest.raises(SceneError, match="silent"):
        made(scene_of(tmp_path, text), folders["music"], tmp_path, strict=True)
    soundfile.write(tmp_path / "before.wav", np.full((40, 2), np.nan), 16, "FLOAT")
    with pytest.raises(ComposeError, match=r"before\.wav.*no numbers"):
        made(scene_of(tmp_path, text), folders["music"], tmp_path)


def test_a_stream_needs_no_options_and_says_what_made_it(folders, tmp_path, monkeypatch):
    from compose_core.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["dde", "stream", "6", "--model", str(folders["music"])]) == 0
    with soundfile.SoundFile(tmp_path / "stream.flac") as file:
        about = json.loads(file.comment)
        assert file.frames == 6 * 16
    assert about["seed"] == 0 and about["steps"] == 3 and about["coordinator"] == "local"
    assert len(about["weights"]) == 64


@pytest.mark.parametrize(
    "wrong",
    [
        ["nan"],
        ["-5"],
        ["5", "--steps", "0"],
        ["5", "--seed", "99999999999999999999"],
        ["5", "--device", "nowhere"],
        ["5", "--coordinator", "nobody"],
    ],
)
def test_bad_input_leaves_what_is_there(wrong, folders, tmp_path, capsys):
    from compose_core.cli import main

    out = tmp_path / "kept.flac"
    out.write_bytes(b"mine")
    command = ["dde", "stream", *wrong, "--model", str(folders["music"]), "--out", str(out)]
    assert main(command) != 0
    assert "fault of the program" not in capsys.readouterr().err
    assert out.read_bytes() == b"mine"


def test_an_interrupt_in_the_first_block_leaves_nothing(folders, tmp_path, monkeypatch):
    from compose_core.cli import main
    from compose_dde import MusicPipeline

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(MusicPipeline, "run", stopped)
    out = tmp_path / "x.flac"
    assert main(["dde", "stream", "5", "--model", str(folders["music"]), "--out", str(out)]) != 0
    assert not out.exists()


def test_the_command_writes_as_it_goes(folders, tmp_path, capsys):
    from compose_core.cli import main

    out = tmp_path / "long.flac"
    command = ["dde", "stream", "12", "--model", str(folders["music"]), "--out", str(out)]
    assert main([*command, "--steps", "2"]) == 0
    assert soundfile.info(out).frames == 12 * 16
    assert main([*command[:-1], str(tmp_path / "x.mp3")]) != 0
    assert main(["dde", "show", str(folders["music"])]) == 0
    shown = capsys.readouterr().out
    assert "coordinator   local: Transformer" in shown and "rnn: Recurrent" in shown


@pytest.mark.parametrize("kind", [".flac", ".wav"])
def test_an_interrupted_stream_leaves_a_whole_file(kind, folders, tmp_path):
    from compose_dde import MusicPipeline
    from compose_dde.audio import Recorder

    pipe = MusicPipeline.from_pretrained(folders["music"])
    path, written = tmp_path / f"x{kind}", 0
    with pytest.raises(KeyboardInterrupt), Recorder(path, 16, 2) as file:
        for number, piece in enumerate(
            pipe.stream(60, generator=torch.Generator().manual_seed(0))
        ):
            if number == 3:
                raise KeyboardInterrupt
            file.write(piece)
            written += piece.shape[1]
    values, rate = soundfile.read(path)
    assert values.shape == (written, 2) and rate == 16


def test_the_record_is_plain_json_in_a_comment(folders, tmp_path):
    from compose_core.run.flac import read_comment

    (path,) = made(scene_of(tmp_path, MUSIC), folders["music"], tmp_path)
    text = read_comment(path.read_bytes(), "compose")
    assert json.loads(text)["method"] == "dde"
    damaged = tmp_path / "damaged.flac"
    damaged.write_bytes(path.read_bytes()[:60])
    with pytest.raises(SceneError, match="damaged"):
        load_record(damaged)
