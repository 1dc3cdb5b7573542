"""Scenes that are unusual, and what is bad in them: composed, or refused with a reason."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from compose_cnc.folder import Adapter, load_adapter
from compose_cnc.method import CnCMethod
from compose_cnc.model import GlobalFuser, LocalFuser
from compose_core.backbones import load_model
from compose_core.compose import Regional
from compose_core.conditions import Depth
from compose_core.denoiser import Switched
from compose_core.errors import SceneError, UsageError, WeightsError
from compose_core.evaluate import Local, leaves
from compose_core.method import plan_prompts
from compose_core.sampler import DDIM
from compose_core.scene import Assets

BALL = {"name": "ball", "depth": "disc", "mask": "mask", "z": 1.0}
WALL = {"name": "wall", "depth": "ground"}
LAVA = {**BALL, "exemplar": "lava"}
SNOW = {**WALL, "exemplar": "snow"}


@pytest.fixture
def plan(base, adapter):
    def make(scene, guidance=3.0, steps=4, model=base, method=None, **options):
        method = method or CnCMethod(options.pop("adapter", adapter), **options)
        return method.plan(
            scene,
            model,
            device="cpu",
            generator=torch.Generator().manual_seed(0),
            guidance=guidance,
            steps=steps,
        )

    return make


@pytest.fixture
def ask(base):
    @torch.no_grad()
    def make(plan, seed=0, model=base, evaluator=None):
        x_t = torch.randn(1, *plan.shape, generator=torch.Generator().manual_seed(seed))
        return plan.denoiser(x_t, model.schedule.level(500.0), evaluator=evaluator).x0

    return make


@pytest.fixture
def walk(base):
    @torch.no_grad()
    def make(plan, steps=4):
        walked = DDIM(base.schedule.levels(steps))
        seeds = [torch.Generator().manual_seed(0)]
        x_t = walked.initial((1, *plan.shape), seeds)
        return walked.sample(plan.denoiser, x_t, generator=seeds)

    return make


def asked(plan):
    x = torch.zeros(1, *plan.shape)
    return list(leaves(plan.denoiser.queries(x, None, plan.denoiser.init(x))))


def of_size(width, height):
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None].repeat(width, 1)
    mask = np.zeros((height, width), np.float32)
    mask[height // 4 : -(height // 4) or None, : max(width // 2, 1)] = 1
    return {"disc": ramp, "ground": ramp, "mask": mask}


@pytest.mark.parametrize("canvas", [(36, 28), (4, 4), (4, 8), (100, 20), (12, 68)])
def test_odd_sizes(scene, plan, ask, canvas):
    files = of_size(*canvas)
    if canvas == (4, 4):
        files["mask"] = np.eye(4)
    layers = ({**LAVA, "prompt": "a red ball"}, SNOW)
    for resize in ("official", "area", "nearest"):
        found = plan(scene(*layers, files=files, canvas=canvas), resize=resize)
        assert ask(found).shape == (1, 4, canvas[1] // 4, canvas[0] // 4)
        assert ask(found).isfinite().all()


def test_a_canvas_that_the_model_cannot_make_is_refused(scene, plan):
    with pytest.raises(SceneError, match="does not fit the model"):
        plan(scene(LAVA, SNOW, files=of_size(30, 30), canvas=(30, 30)))


@pytest.mark.parametrize(
    "layers",
    [
        [BALL],
        [LAVA],
        [WALL],
        [SNOW],
        [{"name": "only", "exemplar": "snow"}],
        [{"name": "boxed", "exemplar": "snow", "box": [0.1, 0.1, 0.5, 0.5]}],
        [WALL, {**WALL, "name": "glass", "z": 1.0}],
        [SNOW, {**WALL, "name": "glass", "z": 1.0}],
        [SNOW, {**LAVA, "z": 0.0}, {**LAVA, "name": "twin", "z": 0.0}],
        [{"name": f"n{i}", "exemplar": "moss", "box": [0, 0, 1, (i + 1) / 12]} for i in range(12)],
    ],
)
def test_any_layers_make_a_picture(scene, plan, ask, layers):
    for options in ({}, {"soft_guidance": "paper"}, {"soft_guidance": "off"}, {"cut": False}):
        assert ask(plan(scene(*layers), **options)).isfinite().all()


def test_two_full_layers_hide_the_farther_one_and_its_exemplar(scene, plan):
    lines = plan(scene(SNOW, {**WALL, "name": "glass", "z": 1.0})).warnings
    assert any("'wall' is nowhere visible" in x and "exemplar goes unheard" in x for x in lines)


def test_what_a_layer_of_weight_0_asks_for_is_not_looked_at(scene, plan, walk):
    everywhere = {"name": "all", "exemplar": "lava", "z": 5.0, "weight": 0.0, "prompt": "a cat"}
    want = walk(plan(scene(LAVA, SNOW)))
    assert torch.equal(walk(plan(scene(LAVA, SNOW, everywhere))), want)
    twin = {**everywhere, "weight": 1.0}
    with pytest.raises(SceneError, match="'all' has no region"):
        plan(scene(LAVA, SNOW, twin))
    alone = plan(scene({**SNOW, "weight": 0.0}, twin))  # now it is the farthest
    assert torch.equal(walk(alone), walk(plan(scene(twin))))


def test_at_weight_0_not_even_its_prompt_is_heard(base, scene, plan, walk):
    said = {"prompt": "a red ball", "negative": "blue", "weight": 0.0}
    found = walk(plan(scene({**LAVA, **said}, {**SNOW, **said})))
    assert torch.equal(found, walk(plan_prompts(base, [("toys", "")], (4, 16, 16), 3.0, "cpu")))


def test_intervals_that_cover_everything_or_nothing(scene, plan, walk):
    whole = walk(plan(scene(LAVA, SNOW)))
    assert torch.equal(walk(plan(scene(LAVA, SNOW), intervals={"ball": [0, 1]})), whole)
    never = plan(scene(LAVA, SNOW), intervals={"ball": (0.3, 0.4)})  # between steps 1 and 2 of 4
    assert any("takes part in none of 4" in x for x in never.warnings)
    assert torch.equal(walk(never), walk(plan(scene(SNOW))))
    first = plan(scene(LAVA, SNOW), intervals={"ball": (0.0, 0.01)})
    assert not any("takes part in none" in x for x in first.warnings)
    assert (walk(first) - walk(never)).abs().max() > 1e-6


def test_the_clone_rests_outside_the_interval(scene, plan, walk, monkeypatch):
    calls = []
    kept = LocalFuser.forward
    monkeypatch.setattr(LocalFuser, "forward", lambda *a: calls.append(1) or kept(*a))
    walk(plan(scene(BALL, WALL), intervals={"ball": (0, 0.5), "wall": (0, 0.5)}))
    assert len(calls) == 2


def test_layers_are_kept_apart_at_first_only(scene, plan):
    boxes = ([0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0])
    layers = [
        {"prompt": text, "box": box, "exemplar": "moss"}
        for text, box in zip(("a cat", "a dog"), boxes, strict=True)
    ]
    parts = plan(scene(*layers), apart=0.3).denoiser.parts
    assert [x.starts for x in parts if isinstance(x, Switched)] == [(0.0, 0.3)] * 2
    for share in (0, 1, False, True):
        parts = plan(scene(*layers), apart=share).denoiser.parts
        assert not any(isinstance(x, Switched) for x in parts)
    assert not isinstance(plan(scene(*layers), guidance=1.0).denoiser.parts[0], Switched)


def test_scenes_of_one_method_share_calls(scene, plan, adapter_folder, base_folder):
    method = CnCMethod(adapter_folder)
    plans = [plan(scene(LAVA, {**SNOW, "exemplar": x}), method=method) for x in ("snow", "moss")]
    networks = {id(query.network) for x in plans for query in asked(x)}
    assert len(networks) == 1
    signatures = {query.encoded.signature() for x in plans for query in asked(x)}
    assert len(signatures) == 1
    other = plan(scene(LAVA, SNOW), method=method, model=load_model(base_folder))
    assert not networks & {id(query.network) for query in asked(other)}


def test_the_answers_do_not_depend_on_how_calls_are_split(scene, plan, ask):
    found = plan(scene({**LAVA, "prompt": "a red ball"}, SNOW), cfg="separate")
    one, many = (ask(found, evaluator=Local(n)) for n in (1, None))
    torch.testing.assert_close(one, many, atol=1e-5, rtol=1e-5)


def test_soft_masks_of_three_exemplars_share_cells(scene, plan):
    left, right = (np.clip(np.linspace(a, 1 - a, 64), 0, 1)[None].repeat(64, 0) for a in (1, 0))
    files = {"left": left, "right": right}
    layers = [
        SNOW,
        {"name": "a", "mask": "left", "exemplar": "lava", "z": 1.0},
        {"name": "b", "mask": "right", "exemplar": "moss", "z": 2.0},
    ]
    found = plan(scene(*layers, files=files), resize="area", guidance=1.0)
    (query,) = asked(found)
    seen = query.encoded["cnc.region.0"][0]
    areas = scene(*layers, files=files).regions(64, 64)
    b, a = (torch.tensor(np.array(areas[x])) for x in "ba")
    want = torch.stack([b, a * (1 - b), (1 - a) * (1 - b)])
    cells = want.reshape(3, 16, 4, 16, 4).mean((2, 4))
    torch.testing.assert_close(seen, cells, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(seen.sum(0), torch.ones(16, 16))


def test_lambda_0_is_not_off_and_weight_0_is(scene, plan, ask):
    silent, deaf, whole = (
        ask(plan(scene(x, WALL), lambdas={"ball": factor}))
        for x, factor in ((LAVA, 0.0), (BALL, 1.0), (LAVA, 1.0))
    )
    for a, b in ((silent, deaf), (silent, whole), (deaf, whole)):
        assert (a - b).abs().max() > 1e-6


def test_regions_that_are_smaller_than_a_cell_are_named(scene, plan, ask):
    dot = np.zeros((64, 64))
    dot[0, 0] = 1
    small = {**LAVA, "mask": "dot", "prompt": "a red ball"}
    found = plan(scene(small, SNOW, files={"dot": dot * 0.005}), resize="nearest")
    lines = [x for x in found.warnings if "smaller than a cell" in x]
    assert len(lines) == 2 and all("'ball'" in x for x in lines)
    assert ask(found).isfinite().all()


def test_an_exemplar_without_region_is_heard_where_guidance_is_off(scene, plan):
    layers = (SNOW, {"name": "all", "exemplar": "lava", "z": 1.0})
    plan(scene(*layers), soft_guidance="off")
    with pytest.raises(SceneError, match="has no region"):
        plan(scene(*layers), soft_guidance="paper")


def test_missing_exemplars_alone_are_one_question(scene, plan):
    for cfg in ("official", "drop_exemplar", "separate"):
        found = plan(scene(BALL, WALL), always_tokens=True, cfg=cfg)
        assert len(asked(found)) == 2


def test_negatives_are_heard(scene, plan, ask):
    plain = ask(plan(scene(LAVA, SNOW)))
    everywhere = ask(plan(scene(LAVA, SNOW, negative="fog")))
    inherited = plan(scene({**LAVA, "negative": "fog"}, {**SNOW, "negative": "fog"}))
    assert (plain - everywhere).abs().max() > 1e-5
    torch.testing.assert_close(ask(inherited), everywhere, atol=1e-4, rtol=1e-4)
    off = plan(scene({**LAVA, "negative": ""}, SNOW, negative="fog"))
    assert isinstance(off.denoiser, Regional)
    apart = (ask(off) - everywhere).abs()
    assert apart[..., 6:10, 6:10].mean() > 10 * apart[..., :2, :2].mean()


@pytest.mark.parametrize(
    "mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK", "1", "I;16"], ids=lambda x: x.replace(";", "")
)
def test_exemplars_of_any_mode(scene, plan, ask, mode):
    pixels = (np.random.default_rng(0).random((20, 30, 3)) * 255).astype(np.uint8)
    picture = Image.fromarray(pixels)
    if mode == "I;16":
        picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    stream = io.BytesIO()
    kind = "TIFF" if mode == "CMYK" else "PNG"
    (picture if mode == "I;16" else picture.convert(mode)).save(stream, kind)
    made = scene(LAVA, SNOW)
    assets = Assets({**made.assets, "lava": stream.getvalue()})
    if mode in ("1", "I;16"):
        with pytest.raises(SceneError, match="wrong mode"):
            made.with_assets(assets)
        return
    assert ask(plan(made.with_assets(assets))).isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (100, 2)])
def test_exemplars_of_any_size(scene, plan, ask, size):
    tiny = np.random.default_rng(0).random((*size, 3))
    assert ask(plan(scene(LAVA, SNOW, files={"lava": tiny}))).isfinite().all()


def test_inverted_depth_is_remarked_in_front_and_behind(scene, plan):
    front = next(x.values for x in scene(BALL).conditions()["ball"] if isinstance(x, Depth))
    files = {"disc": 1 - front, "ground": np.linspace(1, 0, 64)[:, None].repeat(64, 1)}
    lines = plan(scene(BALL, WALL, files=files)).warnings
    assert sum("inverted" in x for x in lines) == 2
    full = {"mask": np.ones((64, 64)), **files, "disc": files["ground"]}
    assert sum("inverted" in x for x in plan(scene(BALL, WALL, files=full)).warnings) == 2
    assert not any("inverted" in x for x in plan(scene(BALL, WALL)).warnings)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(scene, base_folder, adapter_folder, plan, ask, dtype):
    half = load_model(base_folder, dtype)
    layers = ({**LAVA, "prompt": "a red ball", "weight": 0.5}, SNOW)
    want = ask(plan(scene(*layers)))
    found = ask(plan(scene(*layers), model=half, adapter=adapter_folder), model=half)
    assert found.dtype == want.dtype and found.isfinite().all()
    assert (found - want).abs().mean() < 0.1 * want.abs().mean()


def test_an_adapter_in_another_dtype_is_refused(scene, base_folder, adapter_folder, plan):
    loaded = load_adapter(adapter_folder, torch.bfloat16)
    with pytest.raises(UsageError, match="not where the model is") as error:
        plan(scene(LAVA, SNOW), adapter=loaded)
    assert "bfloat16" in str(error.value)


def test_adapters_of_other_bases_are_refused(scene, plan, adapter, base):
    wide = Adapter(global_fuser=GlobalFuser.fresh(12, 64, 2), exemplars=adapter.exemplars)
    with pytest.raises(WeightsError, match="cross_attention_dim"):
        plan(scene(LAVA, SNOW), adapter=wide)
    with pytest.raises(WeightsError, match="factor of the codec"):
        adapter.check_base(base.components["unet"], 16)
