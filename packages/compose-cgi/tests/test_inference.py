"""What inference in a graph must be, whatever the graph: the truths that the theory gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_cgi.agreement import Crops
from compose_cgi.graph import Graph, Observation, Variable
from compose_cgi.inference import Inference
from compose_cgi.lasso import penalty, solve
from compose_cgi.options import Options
from compose_cgi.testing import dense, gaussians, panorama_of, random_graph
from compose_cgi.views import Nonlinear
from compose_core import DDIM, Consensus, Euler, Heun
from compose_core.denoiser import Gaussian, Step
from compose_core.errors import UsageError
from compose_core.testing.laws import check_denoiser
from compose_core.testing.models import TinyNetwork, stable_diffusion_schedule, tiny_parts
from compose_core.views import Blend, Whole, Window, cover

SHAPE = (8, 20)
WINDOWS = cover(SHAPE, (8, 8), (8, 4))
LEVELS = stable_diffusion_schedule().levels(6)
FREE = {"kappa": 0.2, "clamp": (0.5, 2.0)}


@pytest.fixture(scope="module")
def parts():
    return tiny_parts(len(WINDOWS), TinyNetwork(dtype=torch.float64))


@pytest.fixture(scope="module")
def graph(parts):
    return panorama_of(WINDOWS, parts, SHAPE)


def sheet(graph, draw, batch=1, channels=1, seed=0):
    return draw(batch, channels, *graph.spatial, seed=seed)


@pytest.mark.parametrize("kappa", [1.0, 3.0])
def test_from_kappa_one_on_it_is_multidiffusion(graph, parts, draw, kappa):
    x, walk = draw(2, 4, *SHAPE), DDIM(LEVELS)
    ours = walk.sample(Inference(graph, Options(kappa=kappa)), x)
    assert torch.equal(ours, walk.sample(Consensus(parts, WINDOWS), x))


def test_at_kappa_one_the_step_sizes_are_one_and_just_below_they_are_not(draw):
    g = draw(6, 6)
    gram = (g @ g.T)[None]
    energy = gram.diagonal(dim1=1, dim2=2)
    assert bool((solve(gram, energy, 1.0, (0.1, 2.0)).values == 1).all())
    assert bool((solve(gram, energy, 0.99, (0.1, 2.0)).values != 1).any())


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), soft=st.booleans(), kappa=st.floats(0.05, 0.9))
def test_the_closed_form_is_the_dense_least_squares_solution(seed, soft, kappa):
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, soft=soft)
    x = torch.randn(1, 1, *graph.spatial, generator=generator, dtype=torch.float64)
    level = LEVELS[1]
    inference = Inference(graph, Options(kappa=kappa, clamp=(0.6, 1.4)))
    heard = [
        part(seen, level)
        for part, seen in zip(
            inference.denoisers, [view.observe(x) for view in graph.views], strict=True
        )
    ]
    eps = [each.eps for each in heard]
    start, _ = dense(graph, eps, 1e30, (1.0, 1.0))
    slope = torch.stack(
        [
            (w * e * (e - view.observe(start))).sum()
            for w, e, view in zip(graph.weights, eps, graph.linear_views, strict=True)
        ]
    )
    energy = torch.stack([(w * e * e).sum() for w, e in zip(graph.weights, eps, strict=True)])
    mu = float(penalty(slope[None], energy[None], kappa))
    expected, sizes = dense(graph, eps, mu, (0.6, 1.4))
    state = inference.adapt(inference.init(x), x, Step(level, LEVELS[2], 1, 6))
    found = inference(x, level, state)
    torch.testing.assert_close(state[0].held.sizes.values[0], sizes, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.eps, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_gradient_descent_ends_at_the_closed_form(seed, soft):
    generator = torch.Generator().manual_seed(seed)
    graph = random_graph(generator, soft=soft)
    x = torch.randn(2, 1, *graph.spatial, generator=generator, dtype=torch.float64)
    closed = Inference(graph, Options(**FREE))(x, LEVELS[1])
    descended = Inference(graph, Options(solver="gd", iterations=400, **FREE))(x, LEVELS[1])
    torch.testing.assert_close(descended.x0, closed.x0, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kappa", [0.3, 2.0])
@pytest.mark.parametrize("walk", [DDIM(LEVELS), Euler(LEVELS), Heun(LEVELS)], ids=type)
def test_one_whole_view_is_the_plain_sampler_bit_for_bit(draw, walk, kappa):
    x, part = draw(2, 4, *SHAPE).float(), tiny_parts(1)[0]
    alone = Inference(panorama_of([Whole()], [part], SHAPE), Options(kappa=kappa))
    assert torch.equal(walk.sample(alone, x), walk.sample(part, x))


def test_averaging_samples_is_averaging_noises_and_then_stepping(graph, parts, draw):
    x, walk = draw(2, 4, *SHAPE), DDIM(LEVELS[:2])
    stepped = [
        walk.sample(part, window.observe(x)) for part, window in zip(parts, WINDOWS, strict=True)
    ]
    averaged = Crops(WINDOWS, graph.weights, x).merge(stepped, x)
    together = walk.sample(Inference(graph, Options(kappa=1)), x)
    torch.testing.assert_close(together, averaged, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("walk", [DDIM(LEVELS, eta=1.0), DDIM(LEVELS), Heun(LEVELS)])
def test_the_step_sizes_do_not_depend_on_where_the_step_goes(graph, draw, walk):
    """Any sampler may take the step: `c` drops out, also with noise drawn on the canvas."""
    x = draw(1, 4, *SHAPE)
    inference = Inference(graph, Options(**FREE))
    generator = torch.Generator().manual_seed(1)
    first = next(iter(walk.steps(inference, x, generator=generator)))
    kept = first.state[0].held.sizes.values
    for after in LEVELS[2:5]:
        state = inference.adapt(inference.init(x), x, Step(LEVELS[0], after, 0, 6))
        torch.testing.assert_close(state[0].held.sizes.values, kept, atol=1e-12, rtol=0)


def test_noise_on_the_canvas_is_the_same_noise_in_every_view(draw):
    """With one model everywhere, eta > 0 samples as that model alone does."""
    one = Gaussian(torch.tensor(0.3, dtype=torch.float64), 0.5)
    graph = panorama_of(WINDOWS, [one] * len(WINDOWS), SHAPE)
    walk, x = DDIM(LEVELS, eta=1.0), draw(1, 4, *SHAPE)
    ours, alone = (
        walk.sample(what, x, generator=torch.Generator().manual_seed(2))
        for what in (Inference(graph), one)
    )
    torch.testing.assert_close(ours, alone)


def test_a_gaussian_composition_has_the_score_of_the_formula(draw):
    """Independent cells: the composed score is the trust-weighted mean of the views' scores."""
    generator = torch.Generator().manual_seed(4)
    models = gaussians(WINDOWS, SHAPE, generator)
    graph = panorama_of(WINDOWS, models, SHAPE)
    x, level = draw(2, 1, *SHAPE), LEVELS[2]
    alpha, sigma = float(level.alpha), float(level.sigma)
    total, count = torch.zeros(SHAPE).double(), torch.zeros(SHAPE).double()
    total = total.expand(2, 1, *SHAPE).clone()
    for model, window in zip(models, WINDOWS, strict=True):
        spread = alpha**2 * model.var + sigma**2
        score = -(window.observe(x) - alpha * model.mean) / spread
        total = window.accumulate(total, score, SHAPE)
        count = count + window.weight(SHAPE)
    found = Inference(graph, Options(kappa=1))(x, level).score
    torch.testing.assert_close(found, total / count, atol=1e-10, rtol=1e-10)


def test_the_objective_falls_and_views_that_agree_keep_their_steps(graph, draw):
    x, inference = draw(3, 4, *SHAPE), Inference(graph, Options(**FREE))
    for moment in DDIM(LEVELS).steps(inference, x):
        seen = inference.traced(moment.state)
        assert bool((seen["objective.after"] < seen["objective.before"]).all())
        assert {name for name in seen if name.startswith("lambda.")} == {
            f"lambda.y{i}" for i in range(len(WINDOWS))
        }
    one = Gaussian(0.1, 0.5)
    agreed = Inference(panorama_of(WINDOWS, [one] * 4, SHAPE), Options(kappa=0.0))
    moment = next(iter(DDIM(LEVELS).steps(agreed, x)))
    assert bool((moment.state[0].held.sizes.values == 1).all())


def test_nothing_is_asked_twice(graph, draw):
    network = TinyNetwork()
    walked = panorama_of(WINDOWS, tiny_parts(4, network), SHAPE)
    DDIM(LEVELS).sample(Inference(walked), draw(1, 4, *SHAPE).float())
    assert sum(network.rows) == 6 * len(WINDOWS)


@pytest.mark.parametrize("options", [Options(**FREE), Options(kappa=1)], ids=["free", "one"])
def test_the_laws_of_every_denoiser(parts, draw, options):
    graph = panorama_of(WINDOWS, parts, SHAPE)
    check_denoiser(Inference(graph, options), draw(3, 4, *SHAPE), LEVELS[1])


def test_the_laws_of_several_canvases(parts, draw):
    mask = torch.rand(8, 8, generator=torch.Generator().manual_seed(1)).double()
    graph = Graph(
        [Variable("back", (8, 8)), Variable("front", (8, 8))],
        [
            Observation("back alone", ("back",), parts[0]),
            Observation("front alone", ("front",), parts[1]),
            Observation("both", ("back", "front"), parts[2], Blend(torch.stack([1 - mask, mask]))),
        ],
    )
    x = draw(2, 4, *graph.spatial)
    check_denoiser(Inference(graph, Options(**FREE)), x, LEVELS[1])
    canvases = graph.split(x)
    assert torch.equal(graph.join(canvases), x)
    assert {name: tuple(c.shape) for name, c in canvases.items()} == {
        "back": (2, 4, 8, 8),
        "front": (2, 4, 8, 8),
    }


def test_functions_that_are_not_linear_are_observed_by_descent(draw):
    """`f(x) = x^3` of a canvas near one: the answer observes where the model points."""
    goal = Gaussian(torch.tensor(1.0, dtype=torch.float64), 1e-6)
    seen = Nonlinear(lambda x: x**3)
    graph = panorama_of([seen], [goal], (4, 4))
    with pytest.raises(UsageError, match="linear"):
        Inference(graph)
    x = 1 + 0.05 * draw(1, 2, 4, 4)
    levels = LEVELS[-3:]
    walk = DDIM(levels)
    inference = Inference(graph, Options(solver="gd", kappa=1, iterations=200))
    found = walk.sample(inference, x)
    shrink = float(levels[-1].alpha / levels[-2].alpha)
    assert shrink > 0
    torch.testing.assert_close(found**3, torch.ones_like(found), atol=0.05, rtol=0)
    with pytest.raises(UsageError, match="where a step goes"):
        inference(x, levels[0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"solver": "magic"},
        {"kappa": -1.0},
        {"kappa": float("nan")},
        {"clamp": (1.1, 1.2)},
        {"iterations": 0},
        {"rate": 0.0},
    ],
    ids=str,
)
def test_options_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        Options(**wrong)


def test_windows_of_one_cell_and_views_seen_twice(draw):
    ring = [Window((3,), (6,), (True,)), Window((0,), (2,))]
    graph = panorama_of(ring, gaussians(ring, (4,), torch.Generator().manual_seed(0)), (4,))
    x = draw(2, 3, 4)
    closed = Inference(graph, Options(**FREE))(x, LEVELS[0]).x0
    descended = Inference(graph, Options(solver="gd", iterations=150, **FREE))(x, LEVELS[0]).x0
    torch.testing.assert_close(closed, descended, atol=1e-8, rtol=1e-8)


@pytest.mark.cuda
def test_on_a_gpu_as_on_the_cpu(device, draw):
    x = draw(2, 4, *SHAPE).float()
    here, there = (
        panorama_of(WINDOWS, tiny_parts(len(WINDOWS), TinyNetwork().to(where)), SHAPE)
        for where in ("cpu", device)
    )
    options = Options(**FREE)
    expected = DDIM(LEVELS).sample(Inference(here, options), x)
    found = DDIM(LEVELS).sample(Inference(there, options), x.to(device))
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=1e-3)
