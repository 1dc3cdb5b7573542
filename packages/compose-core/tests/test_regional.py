"""The regional baseline: masks, bootstrapping, windows."""

import numpy as np
import pytest
import torch

from compose_core.backbones import load_model
from compose_core.compose import Consensus, Regional
from compose_core.denoiser import Bound, Gaussian, Step
from compose_core.encoded import Encoded
from compose_core.errors import UsageError
from compose_core.evaluate import Local, leaves
from compose_core.regional import Bootstrapped, RegionalMethod, palette, soften
from compose_core.sampler import DDIM
from compose_core.scene import build
from compose_core.scene.remarks import contradicted, doubled
from compose_core.testing import laws
from compose_core.testing.folders import tiny_stable_diffusion
from compose_core.trace import collect


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_stable_diffusion(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder)


def scene(*layers, canvas=(64, 64), **more):
    given = [{"name": str(i), **layer} for i, layer in enumerate(layers)]
    return build({"version": 1, "canvas": canvas, "prompt": "toys", "layers": given, **more})


LEFT = {"prompt": "a red sphere", "box": [0.0, 0.0, 0.5, 1.0]}
RIGHT = {"prompt": "a blue cube", "box": [0.5, 0.0, 1.0, 1.0]}
MIDDLE = {"prompt": "a cone", "box": [0.25, 0.25, 0.75, 0.75]}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def plan(model, scene, guidance=5.0, **options):
    return RegionalMethod(**options).plan(
        scene, model, device="cpu", generator=generator(), guidance=guidance, steps=4
    )


def step(model, index, total=10, seed=0, count=None):
    levels = model.schedule.levels(total)
    g = generator(seed) if count is None else [generator(seed + i) for i in range(count)]
    return Step(levels[index], levels[index + 1], index, total, g)


def test_shares_sum_to_one_and_nearer_layers_cover_farther_ones():
    method = RegionalMethod(soften=0.0)
    near = {**MIDDLE, "z": 1.0}
    amodal, shares = method._masks(scene(near, LEFT), (16, 16), (False, False))
    torch.testing.assert_close(shares.sum(0), torch.ones(16, 16))
    base, left, middle = shares
    assert middle[8, 8] > 0.99 and left[8, 6] < 0.01 and left[8, 1] > 0.99 and base[1, 14] > 0.99
    assert amodal[0][8, 6] == 1, "the farther layer keeps its hidden part for bootstrapping"


def test_weights_shift_the_balance_and_zero_gives_the_region_to_the_base():
    method = RegionalMethod(soften=0.0, base_share=0.5)
    shares = [
        method._masks(scene({**LEFT, "weight": w}), (8, 8), (False, False))[1][1, 4, 1]
        for w in (0.0, 1.0, 3.0)
    ]
    assert shares[0] == 0
    assert [round(float(s), 3) for s in shares[1:]] == [0.5, 0.75]


@torch.no_grad()
def test_one_layer_over_all_of_the_canvas_is_that_prompt_alone(model):
    x, level = noise(1, 4, 16, 16), model.schedule.level(500.0)
    full = {"prompt": "a red sphere", "box": [0.0, 0.0, 1.0, 1.0]}
    got = plan(model, scene(full), guidance=1.0, bootstrap=0.0).denoiser(x, level).x0
    want = Bound(model.network, model.text.encode("a red sphere"))(x, level).x0
    torch.testing.assert_close(got, want, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_far_from_a_hard_edge_each_side_is_its_own_prompt(model):
    x, level = noise(1, 4, 16, 16), model.schedule.level(500.0)
    got = plan(model, scene(LEFT, RIGHT), guidance=1.0, bootstrap=0.0).denoiser(x, level).x0
    for prompt, columns in (("a red sphere", slice(0, 5)), ("a blue cube", slice(11, 16))):
        want = Bound(model.network, model.text.encode(prompt))(x, level).x0
        torch.testing.assert_close(got[..., columns], want[..., columns], atol=1e-3, rtol=1e-3)


def asked(denoiser, x, level, state=None):
    state = denoiser.init(x) if state is None else state
    return list(leaves(denoiser.queries(x, level, state)))


def distinct(questions):
    return {tuple(map(id, q)) for q in questions}


def test_the_shared_negative_is_asked_once(model):
    x, level = noise(1, 4, 16, 16), model.schedule.level(500.0)
    questions = asked(plan(model, scene(LEFT, RIGHT), bootstrap=0.0).denoiser, x, level)
    assert len(questions) == 6 and len(distinct(questions)) == 4
    own = scene({**LEFT, "negative": "blurry"}, RIGHT)
    assert len(distinct(asked(plan(model, own, bootstrap=0.0).denoiser, x, level))) == 5


def negatives(made):
    method = RegionalMethod()
    amodal, _ = method._masks(made, (16, 16), (False, False))
    return [rivals for _, _, rivals in method._asked(made, amodal)]


def test_layers_side_by_side_are_guided_away_from_each_other():
    assert negatives(scene(LEFT, RIGHT)) == ["a blue cube", "a red sphere"]
    assert negatives(scene(LEFT, RIGHT, negative="fog")) == [
        "fog and a blue cube",
        "fog and a red sphere",
    ]


def test_grounds_twins_and_layers_with_their_own_negative_have_no_rivals():
    ground = {"prompt": "grass", "box": [0.0, 0.0, 1.0, 1.0], "z": -1.0}
    assert negatives(scene(ground, LEFT)) == ["", ""]
    assert negatives(scene(LEFT, {**RIGHT, "prompt": LEFT["prompt"]})) == ["", ""]
    assert negatives(scene({**LEFT, "negative": "fog"}, RIGHT)) == ["fog", "a red sphere"]
    assert negatives(scene({**LEFT, "negative": ""}, RIGHT)) == ["", "a red sphere"]


def test_two_layers_apart_ask_nothing_more(model):
    """What one is guided away from is what the other asks anyway."""
    x, level = noise(1, 4, 16, 16), model.schedule.level(500.0)
    counts = [
        len(distinct(asked(plan(model, made, bootstrap=0.0, apart=apart).denoiser, x, level)))
        for made in (scene(LEFT, RIGHT),)
        for apart in (1.0, 0.0)
    ]
    assert counts == [4, 4]


@pytest.mark.parametrize("apart", [0.0, 0.3, 0.5, 1.0])
def test_layers_are_kept_apart_for_a_share_of_the_steps(model, apart):
    x, made = noise(1, 4, 16, 16), scene(LEFT, RIGHT)
    denoiser = plan(model, made, bootstrap=0.0, apart=apart).denoiser
    plain = plan(model, made, bootstrap=0.0, apart=0.0).denoiser
    state, other = denoiser.init(x), plain.init(x)
    for index in range(10):
        now = step(model, index)
        state, other = denoiser.adapt(state, x, now), plain.adapt(other, x, now)
        with torch.no_grad():
            same = torch.equal(denoiser(x, now.now, state).x0, plain(x, now.now, other).x0)
        assert same == (index >= 10 * apart)


def test_an_empty_negative_of_a_layer_switches_that_of_the_scene_off(model):
    x, level = noise(1, 4, 16, 16), model.schedule.level(500.0)
    counts = [
        len(distinct(asked(plan(model, made, bootstrap=0.0).denoiser, x, level)))
        for made in (
            scene(LEFT, negative="blur"),
            scene({**LEFT, "negative": ""}, negative="blur"),
        )
    ]
    assert counts == [3, 4]


def test_without_guidance_no_negative_is_asked(model):
    x, level = noise(1, 4, 16, 16), model.schedule.level(500.0)
    denoiser = plan(model, scene(LEFT, RIGHT), guidance=1.0, bootstrap=0.0).denoiser
    assert len(asked(denoiser, x, level)) == 3


def test_bootstrapping_hides_what_is_outside_the_region(model):
    mask = torch.zeros(8, 8)
    mask[2:5, 2:5] = 1
    boot = Bootstrapped(Bound(model.network, Encoded()), mask, noise(27, 4), 0.5)
    x, now = noise(2, 4, 8, 8), step(model, 0)
    state = boot.adapt(boot.init(x), x, now)
    other = torch.where(mask.bool(), x, noise(*x.shape, seed=5))
    (a,), (b,) = asked(boot, x, now.now, state), asked(boot, other, now.now, state)
    assert torch.equal(a.x_t, b.x_t)
    assert torch.equal(a.x_t[..., 2:5, 2:5], x[..., 2:5, 2:5])


def test_the_background_is_a_plain_colour_at_the_level_of_the_question(model):
    colours = noise(27, 3)
    boot = Bootstrapped(Gaussian(0.0, 1.0), torch.eye(8), colours, 0.5)
    x, now = noise(1, 3, 8, 8), step(model, 3)
    state = boot.adapt(boot.init(x), x, now)
    seen = boot._seen(x, now.now, state.ground)
    alpha, sigma = now.now.to_like(x)
    colour = (seen - sigma * state.ground.eps)[0, :, 0, 1] / alpha
    assert (colours - colour).abs().amax(1).min() < 1e-5
    clean = boot._seen(x, now.next, state.ground)
    assert not torch.equal(clean, seen)


def test_a_window_on_the_soft_rim_of_a_region_does_not_take_it_for_the_object():
    region = torch.zeros(4, 12)
    region[:, :6], region[:, 6] = 1.0, 0.05
    rim = Bootstrapped(Gaussian(0.0, 1.0), region[:, 6:], noise(27, 3), 0.5, peak=1.0)
    body = Bootstrapped(Gaussian(0.0, 1.0), region[:, 2:8], noise(27, 3), 0.5, peak=1.0)
    assert rim.mask.all(), "nothing of the object is here: it sees everything"
    assert torch.equal(body.mask, region[:, 2:8] == 1)


def test_bootstrapping_ends_after_its_share_of_the_steps(model):
    boot = Bootstrapped(Gaussian(0.0, 1.0), torch.eye(8), noise(27, 3), 0.2)
    x = noise(1, 3, 8, 8)
    grounds = [boot.adapt(boot.init(x), x, step(model, i)).ground is not None for i in range(10)]
    assert grounds == [True] * 2 + [False] * 8


def test_bootstrapping_with_a_list_of_generators_does_not_see_the_batch(model):
    boot = Bootstrapped(Gaussian(0.0, 1.0), torch.eye(8), noise(27, 3), 0.5)
    x = noise(2, 3, 8, 8)
    both = boot.adapt(boot.init(x), x, step(model, 0, count=2))
    alone = boot.adapt(boot.init(x[1:]), x[1:], step(model, 0, seed=1, count=1))
    assert torch.equal(both.ground.colour[1:], alone.ground.colour)
    assert torch.equal(both.ground.eps[1:], alone.ground.eps)


@torch.no_grad()
def test_the_whole_tree_obeys_the_laws_of_denoisers(folder):
    model = load_model(folder, torch.float64)
    x, level = noise(2, 4, 16, 16).double(), model.schedule.level(500.0)
    laws.check_denoiser(plan(model, scene(LEFT, MIDDLE)).denoiser, x, level)


@torch.no_grad()
def test_a_wide_canvas_is_covered_by_windows(model):
    wide = plan(model, scene(LEFT, MIDDLE, canvas=(256, 64)))
    assert wide.shape == (4, 16, 64) and isinstance(wide.denoiser, Consensus)
    assert len(wide.denoiser.views) == 7
    x, level = noise(1, 4, 16, 64), model.schedule.level(500.0)
    state = wide.denoiser.init(x)
    assert wide.denoiser(x, level, state).x0.shape == x.shape


def test_windows_ask_only_the_layers_that_they_show(model):
    small = {"prompt": "a red sphere", "box": [0.0, 0.2, 0.1, 0.8]}
    wide = plan(model, scene(small, canvas=(256, 64))).denoiser
    kinds = [type(part) for part in wide.denoisers]
    assert Regional in kinds[:2] and Regional not in kinds[2:]


@torch.no_grad()
def test_a_closed_panorama_turns_with_its_noise(model):
    """Rolling the noise by a stride rolls the prediction: there is no seam."""
    everywhere = {"prompt": "a red sphere", "box": [0.0, 0.0, 1.0, 1.0]}
    closed = plan(model, scene(everywhere, canvas=(128, 64), wrap=True), bootstrap=0.0)
    assert closed.wrap == (False, True)
    x, level = noise(1, 4, 16, 32), model.schedule.level(500.0)
    got = closed.denoiser(x.roll(8, -1), level).x0
    torch.testing.assert_close(got, closed.denoiser(x, level).x0.roll(8, -1), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_sampling_does_not_depend_on_the_split_of_batches(folder, device):
    model = load_model(folder, device=device)
    made = RegionalMethod().plan(
        scene(LEFT, MIDDLE, canvas=(96, 64)),
        model,
        device=device,
        generator=generator(),
        guidance=5.0,
        steps=3,
    )
    sampler = DDIM(model.schedule.levels(3))
    x = noise(1, *made.shape).to(device)
    runs = [
        sampler.sample(made.denoiser, x, generator=generator(), evaluator=Local(max_batch))
        for max_batch in (None, 1, 5)
    ]
    for run in runs[1:]:
        torch.testing.assert_close(run, runs[0], atol=1e-4, rtol=1e-4)


def test_layers_without_words_take_those_of_the_scene(model):
    silent = {"box": [0.0, 0.0, 0.5, 1.0]}
    x, level = noise(1, 4, 16, 16), model.schedule.level(500.0)
    questions = asked(plan(model, scene(silent), bootstrap=0.0).denoiser, x, level)
    assert len(distinct(questions)) == 2


def test_the_palette_holds_distinct_colours(model):
    colours = palette(model.codec)
    assert colours.shape == (27, 4)
    assert torch.pdist(colours).min() > 0


@pytest.mark.parametrize("closed", [False, True])
def test_softening_keeps_range_and_constants(closed):
    wrap = (False, closed)
    torch.testing.assert_close(soften(torch.ones(5, 7), 1.5, wrap), torch.ones(5, 7))
    mask = (noise(9, 12) > 0).float()
    soft = soften(mask, 1.0, wrap)
    assert 0 <= soft.min() and soft.max() <= 1 and soft.std() < mask.std()
    if closed:
        torch.testing.assert_close(soften(mask.roll(5, 1), 1.0, wrap), soft.roll(5, 1))
    assert soften(mask, 0.0, wrap) is mask


def test_options_are_shares():
    for option in ("bootstrap", "base_share", "overlap"):
        with pytest.raises(UsageError, match=option):
            RegionalMethod(**{option: 1.5})


HIDDEN = {"prompt": "a cone", "box": [0.3, 0.3, 0.6, 0.6], "z": -1.0}


@pytest.mark.parametrize(
    "layer",
    [
        {**LEFT, "weight": 0.0},
        {"prompt": "a speck", "box": [0.9, 0.9, 0.9001, 0.9001]},
        HIDDEN,
    ],
    ids=["weightless", "tiny", "covered"],
)
def test_a_layer_that_is_nowhere_visible_is_said(model, layer):
    whole = {"prompt": "a wall", "box": [0.0, 0.0, 1.0, 1.0], "z": -0.5}
    (line,) = plan(model, scene(whole, layer)).warnings
    assert "layer '1' is nowhere visible" in line
    assert plan(model, scene(LEFT, RIGHT)).warnings == ()


def test_a_box_beside_a_proxy_or_a_mask_is_said():
    solid = {"shape": "cube", "position": [0, 0.5, 4]}
    made = scene({**LEFT, "proxy": solid}, {**RIGHT, "mask": "m.png"}, MIDDLE)
    lines = doubled(made)
    assert ["box and a proxy" in lines[0], "box and a mask" in lines[1], len(lines)] == [1, 1, 2]


def test_an_order_against_the_camera_is_said_where_proxies_overlap():
    def solid(depth):
        return {"proxy": {"shape": "cube", "position": [0, 1.2, depth]}}

    near, far = solid(2.0), solid(5.0)
    ones, none = np.ones((4, 4)), np.zeros((4, 4))
    (line,) = contradicted(scene(near, far), {"0": ones, "1": ones})
    assert "layer '1' covers layer '0'" in line
    assert list(contradicted(scene(near, far), {"0": ones, "1": none})) == []
    assert list(contradicted(scene(far, near), {"0": ones, "1": ones})) == []
    assert list(contradicted(scene({**near, "z": 1.0}, far), {"0": ones, "1": ones})) == []


def test_a_trace_shows_shares_and_backgrounds(model):
    made = plan(model, scene(LEFT))
    x = noise(1, *made.shape)
    state = made.denoiser.adapt(made.denoiser.init(x), x, step(model, 0))
    found = collect(made.denoiser, state)
    assert set(found) == {"0.share", "1.share", "1.ground"}
    torch.testing.assert_close(found["0.share"] + found["1.share"], torch.ones(1, 1, 16, 16))
