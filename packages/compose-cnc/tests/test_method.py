"""What becomes of a scene: streams, tokens, regions, prompts; and what is refused or remarked."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from compose_cnc.exemplars import as_picture
from compose_cnc.folder import Adapter
from compose_cnc.guidance import Separate
from compose_cnc.method import CnCMethod
from compose_cnc.model import GlobalFuser
from compose_cnc.planner import network_for
from compose_cnc.testing import tiny_encoder
from compose_core.backbones import load_model
from compose_core.compose import Regional
from compose_core.denoiser import Bound, Guided, Step, Switched
from compose_core.encoded import Encoded
from compose_core.errors import SceneError, UsageError, WeightsError
from compose_core.evaluate import Local, leaves
from compose_core.method import plan_prompts
from compose_core.sampler import DDIM
from compose_core.scene import Assets, check
from compose_core.testing import laws
from compose_core.testing.folders import tiny_stable_diffusion

BALL = {"name": "ball", "depth": "disc", "mask": "mask", "z": 1.0}
WALL = {"name": "wall", "depth": "ground"}
LAVA = {**BALL, "exemplar": "lava"}
SNOW = {**WALL, "exemplar": "snow"}


@pytest.fixture
def plan(base, adapter):
    def make(scene, guidance=3.0, steps=4, model=base, **options):
        method = CnCMethod(options.pop("adapter", adapter), **options)
        generator = torch.Generator().manual_seed(0)
        return method.plan(
            scene, model, device="cpu", generator=generator, guidance=guidance, steps=steps
        )

    return make


@pytest.fixture
def walk(base):
    @torch.no_grad()
    def make(plan, steps=4, evaluator=None, batch=1):
        walked = DDIM(base.schedule.levels(steps))
        seeds = [torch.Generator().manual_seed(i) for i in range(batch)]
        x_t = walked.initial((batch, *plan.shape), seeds)
        answer = Local() if evaluator is None else evaluator
        for moment in walked.steps(plan.denoiser, x_t, generator=seeds, evaluator=answer):
            x_t = moment.x_t
        return x_t

    return make


@pytest.fixture
def ask(base):
    """One answer in the middle of the schedule."""

    @torch.no_grad()
    def make(plan, seed=0):
        x_t = torch.randn(1, *plan.shape, generator=torch.Generator().manual_seed(seed))
        return plan.denoiser(x_t, base.schedule.level(500.0)).x0

    return make


def encoded_of(plan):
    questions = plan.denoiser.queries(
        x := torch.zeros(1, *plan.shape), None, plan.denoiser.init(x)
    )
    return [query.encoded for query in leaves(questions)]


def test_two_layers_are_the_papers_path_bit_for_bit(base, adapter, scene, plan, ask):
    found = ask(plan(scene(LAVA, SNOW), guidance=1.0))
    network = network_for(base, adapter, "mask", "official")
    seen = scene(LAVA, SNOW).conditions()
    values = {type(c).__name__: c.values for c in seen["ball"] if hasattr(c, "values")}
    mask, front = (torch.tensor(np.array(values[k])) for k in ("Mask", "Depth"))
    depth = front * mask
    (back,) = (c.values for c in seen["wall"] if type(c).__name__ == "Depth")
    encoder = adapter.exemplars
    looks = {
        name: next(c.values for c in seen[name] if type(c).__name__ == "Exemplar") for name in seen
    }
    with torch.no_grad():
        tokens = [
            network.tokens(encoder.encode(as_picture(looks[name])), stream)
            for name, stream in (("ball", "fg"), ("wall", "bg"))
        ]
        by_hand = Encoded(
            text=base.text.encode("toys")["text"],
            depth_fg=(depth / depth.max()).expand(1, 3, 64, 64).contiguous(),
            depth_bg=torch.tensor(np.array(back)).expand(1, 3, 64, 64).contiguous(),
            tokens=torch.cat(tokens, 1),
            region=torch.stack([mask, torch.ones_like(mask)])[None],
        )
        x_t = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
        ready = network.prepare(by_hand, (16, 16))
        want = network(x_t, base.schedule.level(500.0), ready).x0
    assert torch.equal(found, want)


@pytest.mark.parametrize("change", [{"depth": "ground"}, {"exemplar": "moss"}, {"mask": "left"}])
def test_everything_is_heard(scene, plan, ask, change):
    before, after = (ask(plan(scene(x, SNOW))) for x in (LAVA, {**LAVA, **change}))
    assert (before - after).abs().max() > 1e-5


@pytest.mark.parametrize("extra", [LAVA, {**BALL, "prompt": "a sphere"}, {**LAVA, "z": -1.0}])
def test_a_layer_of_weight_0_is_as_if_it_were_not_there(scene, plan, walk, extra):
    other = {"name": "other", "box": [0.0, 0.0, 0.5, 1.0], "exemplar": "moss", "z": 0.5}
    rest = [{**SNOW, "z": -2.0}, other]
    off = plan(scene({**extra, "weight": 0.0}, *rest))
    without = plan(scene(*rest))
    assert torch.equal(walk(off), walk(without))


def test_with_every_layer_at_0_the_unet_answers_alone(base, scene, plan, ask, monkeypatch):
    off = [{**layer, "weight": 0.0} for layer in (LAVA, SNOW)]
    found = plan(scene(*off))
    monkeypatch.setattr("compose_cnc.model.LocalFuser.forward", None)
    plain = plan_prompts(base, [("toys", "")], found.shape, 3.0, "cpu")
    assert torch.equal(ask(found), ask(plain))


def test_a_weight_is_felt_and_the_stronger_the_more(scene, plan, ask):
    at = {w: ask(plan(scene({**BALL, "weight": w}, WALL))) for w in (0.01, 0.5, 1.0)}
    weak, half = ((at[w] - at[1.0]).abs().mean() for w in (0.01, 0.5))
    assert weak > half > 1e-6


def test_intervals_take_a_layer_in_and_out(scene, plan, walk):
    whole, without = plan(scene(LAVA, SNOW)), plan(scene(SNOW))
    assert torch.equal(walk(plan(scene(LAVA, SNOW), intervals={"ball": (0.0, 1.0)})), walk(whole))
    early = plan(scene(LAVA, SNOW), intervals={"ball": (0.0, 0.5)})
    assert isinstance(early.denoiser, Switched)
    late = plan(scene(LAVA, SNOW), intervals={"ball": (0.5, 1.0)})
    found = [walk(x) for x in (early, late, whole, without)]
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            assert (a - b).abs().max() > 1e-6


def test_outside_its_interval_a_layer_is_not_there(base, scene, plan):
    early = plan(scene(LAVA, SNOW), intervals={"ball": (0.0, 0.5)}).denoiser
    levels = base.schedule.levels(4)
    x_t = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    for index, other in ((1, scene(LAVA, SNOW)), (2, scene(SNOW))):
        step = Step(levels[index], levels[index + 1], index, 4)
        state = early.adapt(early.init(x_t), x_t, step)
        want = plan(other).denoiser(x_t, levels[index]).x0
        assert torch.equal(early(x_t, levels[index], state).x0, want)


def test_an_exemplar_is_scaled_by_lambda(scene, plan, ask):
    at = [ask(plan(scene(LAVA, SNOW), lambdas={"ball": x})) for x in (1.0, 0.0)]
    assert (at[0] - at[1]).abs().max() > 1e-5
    assert torch.equal(at[0], ask(plan(scene(LAVA, SNOW))))


def test_a_scene_of_any_proportions(base, scene, plan, ask):
    wide = {"mask": np.eye(48, 80), "ground": np.linspace(0, 1, 80)[None].repeat(48, 0)}
    wide["disc"] = wide["ground"]
    found = plan(scene(LAVA, SNOW, files=wide, canvas=(80, 48)))
    assert ask(found).shape == (1, 4, 12, 20)


def test_many_layers_with_soft_masks(scene, plan, ask):
    soft = np.clip(1 - np.abs(np.arange(64) - 40) / 20, 0, 1)[None].repeat(64, 0)
    layers = [
        LAVA,
        {"name": "soft", "mask": "soft", "exemplar": "moss", "z": 0.5},
        {"name": "boxed", "box": [0.1, 0.5, 0.9, 1.0], "exemplar": "lava", "z": 0.7},
        SNOW,
    ]
    found = ask(plan(scene(*layers, files={"soft": soft}), resize="area"))
    assert found.isfinite().all()


def test_layers_with_prompts_are_heard_in_their_regions(scene, plan, ask):
    said = {**BALL, "prompt": "a red sphere"}
    found = plan(scene(said, WALL))
    assert isinstance(found.denoiser, Regional)
    assert isinstance(plan(scene(BALL, WALL)).denoiser, Guided)
    apart = (ask(found) - ask(plan(scene(BALL, WALL)))).abs()
    assert apart[..., 6:10, 6:10].mean() > 10 * apart[..., :2, :2].mean()
    negative = ask(plan(scene({**BALL, "negative": "blue"}, WALL)))
    assert (negative - ask(plan(scene(BALL, WALL)))).abs().max() > 1e-5


def test_layers_share_questions(scene, plan):
    said = [{**LAVA, "prompt": "a red sphere"}, {**SNOW, "prompt": "a field"}]
    asked = encoded_of(plan(scene(*said), apart=False))
    assert len(asked) == 4 and len(set(map(id, asked))) == 3


@pytest.mark.parametrize("cfg", ["drop_exemplar", "separate"])
def test_modes_of_guidance_differ_only_with_exemplars(scene, plan, ask, cfg):
    looks = [ask(plan(scene(LAVA, SNOW), cfg=x)) for x in ("official", cfg)]
    assert (looks[0] - looks[1]).abs().max() > 1e-5
    depth = [ask(plan(scene(BALL, WALL), cfg=x)) for x in ("official", cfg)]
    assert torch.equal(*depth)


@pytest.mark.parametrize(("scale", "like"), [(1.0, "official"), (3.0, "drop_exemplar")])
def test_separate_scales_contain_both_other_modes(scene, plan, ask, scale, like):
    separate = plan(scene(LAVA, SNOW), cfg="separate", exemplar_guidance=scale)
    assert isinstance(separate.denoiser, Separate)
    want = ask(plan(scene(LAVA, SNOW), cfg=like))
    # Three predictions of size 8 are added in another order; the modes differ by 0.06.
    torch.testing.assert_close(ask(separate), want, atol=1e-4, rtol=1e-5)


def test_without_guidance_there_is_one_question(scene, plan):
    for cfg in ("official", "drop_exemplar", "separate"):
        assert len(encoded_of(plan(scene(LAVA, SNOW), guidance=1.0, cfg=cfg))) == 1


def test_it_obeys_the_laws_of_denoisers(base, scene, plan):
    said = [{**LAVA, "prompt": "a red sphere"}, SNOW]
    x_t = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    denoiser = plan(scene(*said), cfg="separate").denoiser
    with torch.no_grad():
        laws.check_denoiser(denoiser, x_t, base.schedule.level(500.0))


def test_missing_parts_are_said(scene, plan):
    assert plan(scene(LAVA, SNOW)).warnings == ()
    assert any("what lies behind" in x for x in plan(scene(BALL)).warnings)
    assert any("the foreground" in x for x in plan(scene(WALL)).warnings)
    three = {"name": "mid", "depth": "ground", "mask": "left", "z": 0.5}
    (line,) = plan(scene(BALL, three, WALL)).warnings
    assert "experimental" in line and "'wall', 'mid'" in line


def test_inverted_depth_is_remarked(scene, plan):
    disc = np.hypot(*(np.indices((64, 64)) - 32)) > 14
    files = {
        "disc": disc.astype(np.float32),
        "ground": np.linspace(1, 0, 64)[:, None].repeat(64, 1),
    }
    lines = plan(scene(BALL, WALL, files=files)).warnings
    assert sum("inverted" in line for line in lines) == 2


def test_an_exemplar_without_region_is_refused(scene, plan):
    with pytest.raises(SceneError, match="'all' has no region"):
        plan(scene(SNOW, {"name": "all", "exemplar": "lava", "z": 1.0}))
    plan(scene({"name": "all", "exemplar": "lava"}))


def test_masks_of_zeros_and_ones(scene, plan, ask):
    ones, zeros = np.ones((64, 64)), np.zeros((64, 64))
    found = plan(scene(LAVA, SNOW, files={"mask": ones}))
    assert any("'wall' is nowhere visible" in x and "unheard" in x for x in found.warnings)
    assert ask(found).isfinite().all()
    with pytest.raises(SceneError, match="is empty"):
        scene(LAVA, SNOW, files={"mask": zeros})


@pytest.mark.parametrize("key", ["mask", "disc"])
def test_files_of_another_size_are_refused(scene, key):
    with pytest.raises(SceneError, match="wrong size"):
        scene(LAVA, SNOW, files={key: np.eye(32)})


def test_depth_that_is_no_number_is_refused(scene):
    made = scene(BALL, WALL)
    stream = io.BytesIO()
    holes = np.full((64, 64), np.nan, np.float32)
    Image.fromarray(holes).save(stream, "TIFF")
    with pytest.raises(SceneError, match="not numbers"):
        made.with_assets(Assets({**made.assets, "disc": stream.getvalue()}))


def test_an_exemplar_without_colour_is_taken(scene, plan, ask):
    assert ask(plan(scene(LAVA, SNOW, files={"lava": np.eye(20)}))).isfinite().all()


def test_an_encoder_of_the_wrong_width_is_refused(adapter):
    with pytest.raises(WeightsError, match="picture encoder"):
        Adapter(global_fuser=GlobalFuser.fresh(20, 32, 2), exemplars=tiny_encoder())


def test_an_adapter_of_another_base_is_refused(scene, plan, adapter, tmp_path):
    other = Adapter(
        global_fuser=GlobalFuser.fresh(12, 64, 2), exemplars=adapter.exemplars, base="sd-other"
    )
    with pytest.raises(WeightsError, match="another base model"):
        plan(scene(LAVA, SNOW), adapter=other)


def test_what_an_adapter_cannot_see_is_said(scene, plan, adapter):
    blind = Adapter(local_fuser=adapter.local_fuser)
    assert any("exemplars are not used" in x for x in plan(scene(LAVA), adapter=blind).warnings)
    deaf = Adapter(global_fuser=adapter.global_fuser, exemplars=adapter.exemplars)
    assert any("depth is not used" in x for x in plan(scene(LAVA), adapter=deaf).warnings)


def test_it_names_its_adapter_for_the_record(adapter, adapter_folder):
    assert CnCMethod().adapters == ("cnc-tiny",)
    assert CnCMethod(adapter_folder).adapters == (adapter_folder,)
    assert CnCMethod(adapter).adapters == (), "what was handed over has no name"


def test_an_adapter_is_loaded_from_its_folder(scene, plan, ask, adapter_folder):
    want = ask(plan(scene(LAVA, SNOW)))
    assert torch.equal(ask(plan(scene(LAVA, SNOW), adapter=adapter_folder)), want)
    with pytest.raises((UsageError, WeightsError)):
        plan(scene(LAVA, SNOW), adapter="no-such-adapter")


@pytest.mark.parametrize(
    "options",
    [
        {"cfg": "both"},
        {"soft_guidance": "hard"},
        {"resize": "cubic"},
        {"intervals": {"ball": (0.5, 0.5)}},
        {"intervals": {"bal": (0.0, 0.5)}},
        {"lambdas": {"ball": float("nan")}},
        {"lambdas": {"bal": 1.0}},
        {"base_share": 1.5},
    ],
)
def test_options_that_make_no_sense_are_refused(scene, plan, options):
    with pytest.raises(UsageError):
        plan(scene(LAVA, SNOW), **options)


def test_what_it_needs_and_uses(scene):
    with pytest.raises(SceneError, match=r"depth.*or.*exemplar"):
        check(scene({"prompt": "a ball"}), CnCMethod.accepts, CnCMethod.needs, "cnc")
    assert check(scene(LAVA, SNOW), CnCMethod.accepts, CnCMethod.needs, "cnc") == []


def test_always_tokens_hears_missing_exemplars(scene, plan, ask):
    silent, heard = (ask(plan(scene(BALL, WALL), always_tokens=x)) for x in (False, True))
    assert (silent - heard).abs().max() > 1e-5


def test_an_offloaded_unet_gives_the_same(scene, adapter, plan, ask, tmp_path):
    want = ask(plan(scene(LAVA, SNOW)))
    other = load_model(tiny_stable_diffusion(tmp_path / "sd", seed=0))
    other.components["unet"]._hf_hook = object()
    found = plan(scene(LAVA, SNOW), model=other)
    assert not any(name.startswith("cnc.") for x in encoded_of(found) for name in x)
    torch.testing.assert_close(ask(found), want, atol=1e-5, rtol=1e-5)


def test_a_bound_question_is_prepared(scene, plan):
    found = plan(scene(LAVA, SNOW), guidance=1.0)
    assert isinstance(found.denoiser, Bound)
    assert all("depth_fg" not in x and "tokens" not in x for x in encoded_of(found))
