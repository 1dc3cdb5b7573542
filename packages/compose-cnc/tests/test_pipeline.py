"""The facade: conditions in any form, one for all or one for each, batched as if alone."""

import numpy as np
import pytest
import torch
from PIL import Image

from compose_cnc.folder import Adapter
from compose_cnc.pipeline import CnCPipeline
from compose_core.errors import ShapeError, UsageError, WeightsError
from compose_core.pipeline import ComposePipeline

DISC = (np.hypot(*(np.indices((64, 64)) - 32)) < 15).astype(np.float32)
GROUND = np.linspace(0, 1, 64, dtype=np.float32)[:, None].repeat(64, 1)
LAVA, SNOW = (np.random.default_rng(i).random((20, 24, 3)).astype(np.float32) for i in (0, 1))
DEPTH = {"depth_fg": DISC, "depth_bg": GROUND}
ALL = {**DEPTH, "mask": DISC, "exemplar_fg": LAVA, "exemplar_bg": SNOW}


@pytest.fixture(scope="module")
def pipe(base_folder, adapter_folder):
    made = CnCPipeline.from_pretrained(base_folder, adapter=adapter_folder)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def run(pipe):
    def make(prompt="a ball", seeds=(0,), pipe=pipe, **options):
        generator = [torch.Generator().manual_seed(seed) for seed in seeds]
        lines = []
        found = pipe(
            prompt,
            generator=generator,
            num_inference_steps=2,
            output_type="latent",
            warn=lines.append,
            **options,
        )
        return found.images, lines

    return make


def test_every_condition_is_heard(run):
    whole, lines = run(**ALL)
    assert lines == []
    for name, value in ALL.items():
        changed = {**ALL, name: np.ascontiguousarray(np.flipud(value) ** 2)[:, ::-1]}
        if name == "mask":
            changed["mask"] = DISC * GROUND
        assert (run(**changed)[0] - whole).abs().max() > 1e-6, name
    for name, value in {"lambda_fg": 0.5, "lambda_bg": 0.5, "strength": 0.5}.items():
        assert (run(**ALL, **{name: value})[0] - whole).abs().max() > 1e-6, name


def test_without_conditions_it_is_the_base_model(run, base_folder):
    plain = ComposePipeline.from_pretrained(base_folder)
    plain.set_progress_bar_config(disable=True)
    want, _ = run(pipe=plain)
    assert torch.equal(run()[0], want)


def test_a_scene_and_its_conditions_are_the_same_picture(run, scene):
    layers = [
        {"name": "ball", "depth": "d", "mask": "m", "exemplar": "lava", "z": 1.0},
        {"name": "wall", "depth": "ground", "exemplar": "snow"},
    ]
    files = {"d": DISC, "m": DISC, "ground": GROUND, "lava": LAVA, "snow": SNOW}
    found, _ = run(scene(*layers, files=files, prompt="a ball"))
    grey = np.round(GROUND * 255).astype(np.uint8)
    looks = {
        name: Image.fromarray(np.round(x * 255).astype(np.uint8))
        for name, x in {"exemplar_fg": LAVA, "exemplar_bg": SNOW}.items()
    }
    want, _ = run(depth_fg=DISC, depth_bg=Image.fromarray(grey), mask=DISC, **looks)
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-5)


def test_each_prompt_has_conditions_of_its_own(run):
    some = [
        ALL,
        {**DEPTH, "mask": DISC},
        {"exemplar_bg": SNOW},
        {"depth_bg": GROUND, "mask": DISC, "exemplar_fg": LAVA, "strength": 0.5, "lambda_fg": 2.0},
        {},
    ]
    default = {"strength": 1.0, "lambda_fg": 1.0}
    together = {name: [x.get(name, default.get(name)) for x in some] for name in [*ALL, *default]}
    prompts = [f"a ball {i}" for i in range(len(some))]
    found, lines = run(prompts, seeds=range(len(some)), **together)
    assert [x for x in lines if "depth_fg of picture 4" in x]
    for i, own in enumerate(some):
        alone, _ = run(prompts[i], seeds=[i], **own)
        torch.testing.assert_close(found[i : i + 1], alone, atol=1e-4, rtol=1e-4)


def test_several_pictures_of_each_prompt(run):
    found, _ = run(["a ball", "a cube"], seeds=[0, 1, 2, 3], num_images_per_prompt=2, **ALL)
    alone, _ = run("a cube", seeds=[2], **ALL)
    torch.testing.assert_close(found[2:3], alone, atol=1e-4, rtol=1e-4)


def test_the_forms_of_pictures_are_one(run):
    want, _ = run(**ALL)
    eight = {k: np.round(v * 255).astype(np.uint8) for k, v in ALL.items()}
    assert (run(**eight)[0] - want).abs().max() < 0.2
    tensors = {k: torch.tensor(v) for k, v in ALL.items() if v.ndim == 2}
    tensors |= {k: torch.tensor(v).movedim(-1, 0) for k, v in ALL.items() if v.ndim == 3}
    assert torch.equal(run(**tensors)[0], want)
    colour = {k: np.repeat(v[..., None], 3, 2) for k, v in ALL.items() if v.ndim == 2}
    assert torch.equal(run(**{**ALL, **colour})[0], want)
    pictures = {k: Image.fromarray(v) for k, v in eight.items()}
    assert torch.equal(run(**pictures)[0], run(**eight)[0])


def test_an_embedding_stands_for_an_exemplar(run, pipe):
    encoder = pipe.adapter.exemplars
    made = encoder.encode([torch.tensor(LAVA).movedim(-1, 0) * 2 - 1])[0]
    assert torch.equal(run(**{**ALL, "exemplar_fg": made})[0], run(**ALL)[0])
    with pytest.raises(ShapeError, match="another encoder"):
        run(**{**ALL, "exemplar_fg": torch.zeros(7)})


@pytest.mark.parametrize("cfg", ["drop_exemplar", "separate"])
def test_modes_of_guidance(run, cfg):
    assert (run(**ALL, cfg=cfg)[0] - run(**ALL)[0]).abs().max() > 1e-5
    assert torch.equal(run(**DEPTH, cfg=cfg)[0], run(**DEPTH)[0])
    assert torch.equal(run(**ALL, cfg=cfg, guidance_scale=1)[0], run(**ALL, guidance_scale=1)[0])


def test_the_size_is_that_of_the_depth(run):
    wide = np.linspace(0, 1, 96, dtype=np.float32)[None].repeat(32, 0)
    assert run(depth_bg=wide)[0].shape == (1, 4, 8, 24)
    with pytest.raises(ShapeError, match="not the size of the picture"):
        run(depth_bg=wide, height=64, width=64)
    with pytest.raises(ShapeError, match="different sizes"):
        run(depth_bg=wide, mask=DISC)


def test_what_is_missing_is_said(run):
    assert any("no depth_bg" in x for x in run(depth_fg=DISC)[1])
    assert any("no depth_fg" in x for x in run(depth_bg=GROUND)[1])
    assert any("white everywhere" in x for x in run(**{**ALL, "mask": np.ones((64, 64))})[1])
    assert any("inverted" in x for x in run(depth_bg=1 - GROUND)[1])


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"exemplar_fg": LAVA}, "no region"),
        ({"mask": np.zeros((64, 64))}, "is empty"),
        ({"mask": DISC * 3}, "leaves its range"),
        ({"depth_fg": DISC * np.nan}, "not numbers"),
        ({"depth_fg": np.ones((64, 64))}, "constant"),
        ({"depth_fg": LAVA}, "not grey"),
        ({"depth_fg": "disc.png"}, "no picture"),
        ({"depth_fg": [DISC, DISC]}, "do not match"),
        ({"exemplar_bg": LAVA * 2}, "no picture in colour"),
        ({"lambda_fg": -1.0}, "lambda_fg"),
        ({"cfg": "none"}, "mode of guidance"),
        ({"soft_guidance": "none", "depth_bg": GROUND}, "soft guidance"),
    ],
)
def test_bad_input_is_refused(run, given, error):
    with pytest.raises((ShapeError, UsageError), match=error):
        run(**given)


def test_a_scene_has_its_own_conditions(run, scene):
    with pytest.raises(UsageError, match="of its own"):
        run(scene({"depth": "ground"}), depth_bg=GROUND)


def test_saved_and_loaded_it_makes_the_same(run, pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    again = CnCPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert again.adapter.exemplars.preprocess == pipe.adapter.exemplars.preprocess
    assert torch.equal(run(**ALL, pipe=again)[0], run(**ALL)[0])


def test_a_base_without_adapter_is_refused(base_folder):
    with pytest.raises(WeightsError):
        CnCPipeline.from_pretrained(base_folder)


def test_without_a_global_fuser_exemplars_are_refused(run, base_folder, adapter):
    deaf = CnCPipeline.from_pretrained(
        base_folder, adapter=Adapter(local_fuser=adapter.local_fuser)
    )
    deaf.set_progress_bar_config(disable=True)
    assert run(**DEPTH, pipe=deaf)[0].isfinite().all()
    with pytest.raises(UsageError, match="cannot hear exemplars"):
        run(**ALL, pipe=deaf)
