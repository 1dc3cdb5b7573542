"""The facade: conditions in any form, one for all or one for each, batched as if alone."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from compose_cnc.folder import Adapter
from compose_cnc.model import GlobalFuser, LocalFuser
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


@pytest.mark.parametrize("rule", ["paper", "off"])
def test_a_picture_without_exemplars_hears_none_whatever_its_batch_does(run, rule):
    looks = {"exemplar_bg": [SNOW, None], **DEPTH, "mask": DISC, "soft_guidance": rule}
    found, _ = run(["a ball", "a cube"], seeds=[0, 1], **looks)
    alone, _ = run("a cube", seeds=[1], **{**looks, "exemplar_bg": None})
    torch.testing.assert_close(found[1:], alone, atol=1e-4, rtol=1e-4)


def test_the_clone_runs_only_for_pictures_with_depth(run, monkeypatch):
    rows = []
    kept = LocalFuser.forward

    def counted(self, x, *given):
        rows.append(len(x))
        return kept(self, x, *given)

    monkeypatch.setattr(LocalFuser, "forward", counted)
    some = [GROUND, None, GROUND, GROUND]
    run(["a ball"] * 4, seeds=range(4), depth_bg=some, strength=[1.0, 1.0, 0.0, 0.5])
    assert rows == [4, 4]  # two steps; both sides of guidance for two pictures


def test_a_strength_of_0_is_the_base_model_bit_for_bit(run):
    want, _ = run()
    assert torch.equal(run(**DEPTH, strength=0.0)[0], want)
    looks = {"exemplar_bg": SNOW}
    assert torch.equal(run(**DEPTH, **looks, strength=0)[0], run(**looks)[0])


def test_depth_is_heard_in_its_interval(run):
    whole, none = run(**ALL)[0], run(**ALL, strength=0.0)[0]
    assert torch.equal(run(**ALL, interval=[0, 1])[0], whole)
    early, late = (run(**ALL, interval=x)[0] for x in ((0.0, 0.5), (0.5, 1.0)))
    for a, b in ((early, late), (early, whole), (late, whole), (early, none), (late, none)):
        assert (a - b).abs().max() > 1e-6
    with pytest.raises(UsageError, match="interval"):
        run(**ALL, interval=(0.5, 0.5))


def test_several_pictures_of_prompts_of_several_kinds(run):
    some = {"depth_bg": [GROUND, None, GROUND], "exemplar_bg": [SNOW, None, None]}
    seeds, prompts = range(6), ["a ball", "a cube", "a cone"]
    found, _ = run(prompts, seeds=seeds, num_images_per_prompt=2, **some)
    for i, seed in enumerate(seeds):
        own = {name: values[i // 2] for name, values in some.items()}
        alone, _ = run(prompts[i // 2], seeds=[seed], **own)
        torch.testing.assert_close(found[i : i + 1], alone, atol=1e-4, rtol=1e-4)


def test_one_generator_draws_for_the_whole_batch(pipe):
    def make(prompt):
        dice = torch.Generator().manual_seed(0)
        return pipe(
            prompt,
            generator=dice,
            num_inference_steps=2,
            output_type="latent",
            depth_bg=[GROUND, None][: len(prompt)],
            warn=print,
        ).images

    assert torch.equal(make(["a ball", "a cube"]), make(["a ball", "a cube"]))
    with pytest.raises(ShapeError, match="one generator per"):
        pipe(["a ball"] * 2, generator=[torch.Generator()], num_inference_steps=1, warn=print)


def test_negatives_are_one_for_all_or_one_for_each(run):
    some = {"exemplar_bg": [SNOW, None]}
    found, _ = run(["a ball", "a ball"], seeds=[0, 0], negative_prompt=["fog", "rain"], **some)
    alone, _ = run("a ball", negative_prompt="rain")
    torch.testing.assert_close(found[1:], alone, atol=1e-4, rtol=1e-4)
    plain, _ = run("a ball", exemplar_bg=SNOW)
    assert (found[:1] - plain).abs().max() > 1e-6


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


def test_exemplars_of_any_mode_become_colour(run):
    eight = Image.fromarray(np.round(LAVA * 255).astype(np.uint8))
    want = run(**{**ALL, "exemplar_fg": eight})[0]
    assert torch.equal(run(**{**ALL, "exemplar_fg": eight.convert("RGBA")})[0], want)
    for mode in ("1", "L", "LA", "P", "CMYK", "HSV", "F"):
        given = eight.convert("L").point(lambda x: x / 255, "F") if mode == "F" else eight
        given = given if mode == "F" else given.convert(mode)
        assert run(**{**ALL, "exemplar_fg": given})[0].isfinite().all(), mode
    grey = np.round(LAVA[..., 0] * 65535).astype(np.uint16)
    deep, exact = Image.fromarray(grey), np.repeat(grey[..., None], 3, 2)
    assert torch.equal(
        run(**{**ALL, "exemplar_fg": deep})[0], run(**{**ALL, "exemplar_fg": exact})[0]
    )
    clear = np.concatenate([LAVA, np.zeros_like(LAVA[..., :1])], 2)
    assert torch.equal(
        run(**{**ALL, "exemplar_fg": clear})[0],
        run(**{**ALL, "exemplar_fg": np.ones_like(LAVA)})[0],
    )


def test_depth_and_masks_of_any_mode(run):
    want = run(**ALL)[0]
    sixteen = {k: np.round(ALL[k] * 65535).astype(np.uint16) for k in ("depth_bg", "mask")}
    assert (run(**{**ALL, **sixteen})[0] - want).abs().max() < 1e-3
    pictures = {k: Image.fromarray(v) for k, v in sixteen.items()}
    assert torch.equal(run(**{**ALL, **pictures})[0], run(**{**ALL, **sixteen})[0])
    mask = Image.fromarray((DISC * 255).astype(np.uint8))
    forms = [mask.convert(x) for x in ("P", "RGBA", "LA", "1")]
    forms += [DISC > 0.5, torch.tensor(DISC, dtype=torch.bfloat16), DISC.astype(">u2") * 65535]
    for given in forms:
        assert torch.equal(run(**{**ALL, "mask": given})[0], want)
    cut_out = mask.convert("RGBA")
    cut_out.putalpha(mask)
    with pytest.raises(ShapeError, match="not grey"):
        run(**{**ALL, "mask": cut_out})


def test_a_photo_is_turned_upright(run):
    eight = Image.fromarray(np.round(LAVA * 255).astype(np.uint8))
    turned = eight.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # to be turned by 90 degrees clockwise
    stream = io.BytesIO()
    turned.save(stream, "PNG", exif=turned.getexif())
    found = run(**{**ALL, "exemplar_fg": Image.open(stream)})[0]
    assert torch.equal(found, run(**{**ALL, "exemplar_fg": eight})[0])


def test_an_embedding_stands_for_an_exemplar(run, pipe):
    encoder = pipe.adapter.exemplars
    made = encoder.encode([torch.tensor(LAVA).movedim(-1, 0) * 2 - 1])[0]
    assert torch.equal(run(**{**ALL, "exemplar_fg": made})[0], run(**ALL)[0])
    assert torch.equal(run(**{**ALL, "exemplar_fg": made.numpy()})[0], run(**ALL)[0])
    with pytest.raises(ShapeError, match="another encoder"):
        run(**{**ALL, "exemplar_fg": torch.zeros(7)})


@pytest.mark.parametrize("cfg", ["drop_exemplar", "separate"])
def test_modes_of_guidance(run, cfg):
    assert (run(**ALL, cfg=cfg)[0] - run(**ALL, cfg="official")[0]).abs().max() > 1e-5
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
    assert any("inverted" in x for x in run(**{**ALL, "depth_fg": 1 - DISC})[1])
    assert any("no mask" in x for x in run(**DEPTH)[1])
    assert any("no exemplar_bg" in x for x in run(**{**ALL, "exemplar_bg": None})[1])
    assert any("no exemplar_fg" in x for x in run(**{**ALL, "exemplar_fg": None})[1])
    assert run(exemplar_bg=SNOW)[1] == []
    black = (DISC > 0.5).astype(np.uint8)  # zeros and ones, where white is 255
    assert any("nearly black" in x for x in run(**{**ALL, "mask": black})[1])
    assert run(depth_bg=GROUND, interval=(0.9, 0.95))[1][:1] == [
        "no step falls into the interval of depth: it is heard in none of 2"
    ]


def test_of_depth_that_is_off_nothing_is_said(run):
    assert run(depth_bg=1 - GROUND, strength=0.0, interval=(0.9, 0.95))[1] == []


@pytest.mark.parametrize("name", ["exemplar_bg", "depth_bg", "mask"])
def test_a_picture_that_cannot_be_read_is_named(run, name):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    cut = Image.open(io.BytesIO(stream.getvalue()[:2000]))
    with pytest.raises(ShapeError, match=f"{name} cannot be read"):
        run(**{**ALL, name: cut})
    odd = Image.fromarray(noise).convert("LA").convert("La")
    with pytest.raises(ShapeError, match=f"{name} is of a kind"):
        run(**{**ALL, name: odd})


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
        ({"depth_bg": np.zeros((64, 64))}, "constant"),
        ({"depth_bg": GROUND + 1j}, "no picture"),
        ({"mask": DISC * np.nan}, "not numbers"),
        ({"exemplar_bg": LAVA * np.nan}, "no picture in colour"),
        ({"exemplar_bg": LAVA[..., :2]}, "no picture in colour"),
        ({"exemplar_bg": np.zeros((0, 4, 3))}, "no picture in colour"),
        ({"exemplar_bg": torch.full((12,), torch.nan)}, "no embedding"),
        ({"exemplar_bg": torch.ones(12, dtype=torch.long)}, "no embedding"),
        ({"lambda_fg": -1.0}, "lambda_fg"),
        ({"lambda_bg": "strong"}, "lambda_bg"),
        ({"strength": float("inf")}, "strength"),
        ({"strength": [1.0, 1.0]}, "do not match"),
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
    with pytest.raises(UsageError, match="intervals of their own"):
        run(scene({"depth": "ground"}), interval=(0.0, 0.5))
    run(scene({"depth": "ground"}), lambda_fg=1, strength=1)


def test_saved_and_loaded_it_makes_the_same(run, pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    again = CnCPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert again.adapter.exemplars.preprocess == pipe.adapter.exemplars.preprocess
    assert torch.equal(run(**ALL, pipe=again)[0], run(**ALL)[0])


def test_a_base_without_adapter_is_refused(base_folder):
    with pytest.raises(WeightsError):
        CnCPipeline.from_pretrained(base_folder)


def test_an_adapter_of_another_base_is_refused(base_folder, adapter):
    other = Adapter(global_fuser=GlobalFuser.fresh(12, 64, 2), exemplars=adapter.exemplars)
    with pytest.raises(WeightsError, match="another base model"):
        CnCPipeline.from_pretrained(base_folder, adapter=other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(run, base_folder, adapter_folder, dtype):
    half = CnCPipeline.from_pretrained(base_folder, adapter=adapter_folder, dtype=dtype)
    half.set_progress_bar_config(disable=True)
    want = run(**ALL)[0]
    found = run(**ALL, pipe=half)[0].float()
    assert found.isfinite().all() and (found - want).abs().mean() < 0.1 * want.abs().mean()


def test_without_a_global_fuser_exemplars_are_refused(run, base_folder, adapter):
    deaf = CnCPipeline.from_pretrained(
        base_folder, adapter=Adapter(local_fuser=adapter.local_fuser)
    )
    deaf.set_progress_bar_config(disable=True)
    assert run(**DEPTH, pipe=deaf)[0].isfinite().all()
    with pytest.raises(UsageError, match="cannot hear exemplars"):
        run(**ALL, pipe=deaf)
