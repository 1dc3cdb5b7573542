"""Other rules over the graphs of `cgi`: each against what it should be equal to."""

import pytest
import torch

from compose_benchmarks.baselines import views as kinds
from compose_benchmarks.baselines.apart import taken_apart
from compose_benchmarks.baselines.synced import Synced, distance, maps
from compose_benchmarks.registry import find as find_suite
from compose_cgi.collage import Collage
from compose_cgi.graph import Graph, Observation, Variable
from compose_cgi.method import CGIMethod
from compose_cgi.tasks.layout import Composition
from compose_cgi.testing import panorama_of
from compose_core.codec import Identity
from compose_core.denoiser import Gaussian
from compose_core.errors import UsageError
from compose_core.method import find
from compose_core.sampler import DDIM
from compose_core.scene import build
from compose_core.testing.laws import check_denoiser
from compose_core.testing.models import stable_diffusion_schedule
from compose_core.views import Blend, Whole, Window
from compose_worlds.judge import JudgeNet

LEVELS = stable_diffusion_schedule().levels(4)
WIDE = [Window((0, at), (8, 8)) for at in (0, 4, 8)]

ALL = (
    "cgi-kappa-50", "cgi-kappa-70", "cgi-kappa-85", "cgi-shared-noise", "diffcollage",
    "multidiffusion", "same-noise", "spotdiffusion", "syncdiffusion", "views-apart", "whole-alone",
)  # fmt: skip


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def parts(count, channels=3):
    """Models of different data."""
    return [Gaussian(noise(channels, 1, 1, seed=i), 0.5) for i in range(count)]


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return JudgeNet((8, 8, 16)).double().eval().requires_grad_(False)


def planned(method, scene, model, steps=2):
    given = {"device": "cpu", "generator": torch.Generator(), "guidance": 2.0, "steps": steps}
    plan = method.plan(scene, model, **given)
    x = torch.randn(1, *plan.shape, generator=torch.Generator().manual_seed(0))
    return plan, plan.start(x) if plan.start else x


def walked(method, scene, model):
    plan, x = planned(method, scene, model)
    return plan.picture.observe(DDIM(model.schedule.levels(2)).sample(plan.denoiser, x))


@pytest.mark.parametrize("name", ALL)
def test_they_are_announced_and_say_what_they_are(name):
    kind = find(name)
    assert kind.name == name and kind().summary
    assert kind.accepts == CGIMethod.accepts


def test_multidiffusion_is_cgi_under_its_greatest_penalty(model):
    (scene,) = (item.scene for item in find_suite("cgi-panorama").items(1))
    pairs = [(kinds.MultiDiffusionMethod(), CGIMethod(kappa=1.0))]
    pairs.append((kinds.Kappa70Method(), CGIMethod(kappa=0.7)))
    for mine, other in pairs:
        assert torch.equal(walked(mine, scene, model), walked(other, scene, model))


def test_every_rule_draws_a_panorama_of_its_own(model):
    (scene,) = (item.scene for item in find_suite("cgi-panorama").items(1))
    rules = (
        kinds.MultiDiffusionMethod,
        kinds.Kappa50Method,
        kinds.DiffCollageMethod,
        kinds.SpotDiffusionMethod,
        kinds.ViewsApartMethod,
    )
    found = [walked(kind(), scene, model) for kind in rules]
    for i, picture in enumerate(found):
        assert picture.shape == (1, 4, 16, 40) and torch.isfinite(picture).all()
        assert not any(torch.equal(picture, other) for other in found[:i])
    assert isinstance(planned(kinds.DiffCollageMethod(), scene, model)[0].denoiser, Collage)


def test_views_apart_are_drawn_alone_and_pasted(model):
    graph = panorama_of(WIDE, parts(3), (8, 16))
    apart = taken_apart(Composition(graph=graph))
    assert apart.graph.spatial == (3 * 64,)
    x = noise(2, 3, 3 * 64)
    sheet = DDIM(LEVELS).sample(_denoiser(apart), x)
    pasted = apart.picture.observe(sheet)
    alone = [DDIM(LEVELS).sample(p, x[..., 64 * i :][..., :64].unflatten(-1, (8, 8)))
             for i, p in enumerate(parts(3))]  # fmt: skip
    torch.testing.assert_close(pasted[..., :8], alone[0])
    torch.testing.assert_close(pasted[..., 8:], alone[2])


def test_smaller_views_lie_in_front():
    views = [Whole(), Window((0, 2), (2, 2))]
    apart = taken_apart(Composition(graph=panorama_of(views, parts(2), (4, 4))))
    numbers = torch.arange(20.0).reshape(1, 1, 20)
    seen = apart.picture.observe(numbers)[0, 0]
    assert seen[:2, 2:].tolist() == [[16, 17], [18, 19]]
    assert seen[2:].tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]


def layered():
    mask = torch.zeros(4, 4, dtype=torch.float64)
    mask[:2] = 1
    first, second, third = parts(3)
    masks = torch.stack([1 - mask, mask])
    graph = Graph(
        [Variable("a", (4, 4)), Variable("b", (4, 4))],
        [
            Observation("a", ("a",), first),
            Observation("b", ("b",), second),
            Observation("both", ("a", "b"), third, Blend(masks)),
        ],
    )
    return graph, Composition(graph=graph, picture=graph.view_of("a", "b", view=Blend(masks)))


def test_layers_apart_are_pasted_by_the_mask_and_the_composite_is_left_out():
    _, made = layered()
    apart = taken_apart(made)
    assert [one.name for one in apart.graph.observations] == ["a", "b"]
    seen = apart.picture.observe(torch.arange(32.0).reshape(1, 1, 32))[0, 0].long()
    assert seen.flatten().tolist() == [*range(16, 24), *range(8, 16)]


def test_layers_from_the_same_noise_have_the_composite_for_a_picture():
    graph, made = layered()
    apart = taken_apart(made, together=True)
    x = apart.start(noise(1, 3, 48))
    assert torch.equal(x[..., :16], x[..., 32:])
    sheet = DDIM(LEVELS).sample(_denoiser(apart), x)
    alone = DDIM(LEVELS).sample(parts(3)[2], x[..., :16].unflatten(-1, (4, 4)))
    torch.testing.assert_close(apart.picture.observe(sheet), alone)
    with pytest.raises(UsageError, match="is the picture"):
        taken_apart(Composition(graph=panorama_of(WIDE, parts(3), (8, 16))), together=True)


def test_what_was_given_beside_is_given_again(model):
    (scene,) = (item.scene for item in find_suite("cgi-scene").items(1))
    names = [layer.name for layer in scene.layers]
    for kind in (kinds.ViewsApartMethod, kinds.SameNoiseMethod, kinds.SharedNoiseMethod):
        plan, x = planned(kind(), scene, model)
        assert list(plan.beside) == names
        assert plan.picture.observe(x).shape == (1, 4, 16, 16)
        assert all(one.view.observe(x).shape == (1, 4, 16, 16) for one in plan.beside.values())


def test_without_a_pull_views_are_averaged(network):
    graph = panorama_of(WIDE, parts(3), (8, 16))
    free = Synced(graph, Identity(), network, strength=0.0, decay=1.0)
    x = noise(2, 3, 8, 16)
    mean = _denoiser(Composition(graph=graph))
    torch.testing.assert_close(free(x, LEVELS[1]).x0, mean(x, LEVELS[1]).x0)
    check_denoiser(Synced(graph, Identity(), network, strength=1.0, decay=0.9), x, LEVELS[1])


def test_the_pull_is_the_slope_of_the_distance_to_the_middle(network):
    graph = panorama_of(WIDE, parts(3), (8, 16))
    rule = Synced(graph, Identity(), network, strength=1.0, decay=0.5)
    said = [0.2 * noise(1, 3, 8, 8, seed=i) for i in range(3)]
    slopes = rule._slopes(said)
    assert float(slopes[1].abs().max()) == 0
    way, tiny = noise(1, 3, 8, 8, seed=9), 1e-5

    def apart(x):
        return float(distance(maps(network, x), maps(network, said[1])))

    change = (apart(said[0] + tiny * way) - apart(said[0] - tiny * way)) / (2 * tiny)
    assert change == pytest.approx(float((slopes[0] * way).sum()), rel=1e-5)
    nearer = said[0] - 1e-3 * slopes[0] / slopes[0].norm()
    assert apart(nearer) < apart(said[0])


def test_the_pull_grows_weaker_by_the_step(network):
    from compose_core.denoiser import Step

    graph = panorama_of(WIDE, parts(3), (8, 16))
    x = noise(1, 3, 8, 16)
    mean = _denoiser(Composition(graph=graph))(x, LEVELS[1]).x0
    rule = Synced(graph, Identity(), network, strength=2.0, decay=0.5)
    moved = []
    for index in (0, 2):
        state = rule.adapt(rule.init(x), x, Step(LEVELS[1], LEVELS[2], index, 4))
        moved.append(rule(x, LEVELS[1], state).x0 - mean)
    torch.testing.assert_close(moved[1], moved[0] / 4)
    brief = Synced(graph, Identity(), network, strength=2.0, decay=0.5, until=0.5)
    late = brief.adapt(brief.init(x), x, Step(LEVELS[1], LEVELS[2], 2, 4))
    assert torch.equal(brief(x, LEVELS[1], late).x0, mean)


def test_details_are_left_out_of_the_whole(model):
    layers = [
        {"name": "body", "box": (0.2, 0.2, 0.8, 0.9)},
        {"name": "head", "prompt": "a head", "box": (0.4, 0.1, 0.6, 0.4)},
    ]
    scene = build({"version": 1, "canvas": (64, 64), "prompt": "a figure", "layers": layers})
    method = kinds.WholeAloneMethod(control=None)
    plan, _ = planned(method, scene, model)
    assert [one.name for one in plan.denoiser.graph.observations] == ["whole"]


def _denoiser(made):
    from compose_cgi.inference import Inference
    from compose_cgi.options import Options

    return Inference(made.graph, Options(kappa=1.0))
