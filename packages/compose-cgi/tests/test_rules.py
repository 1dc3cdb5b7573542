"""Other rules under the same graph: views minus overlaps, and windows that move."""

import pytest
import torch

from compose_cgi.collage import Collage, regions
from compose_cgi.graph import Graph, Observation, Variable
from compose_cgi.inference import Inference
from compose_cgi.options import Options
from compose_cgi.shift import tiles
from compose_cgi.testing import panorama_of
from compose_core import DDIM
from compose_core.denoiser import Denoiser, Gaussian
from compose_core.errors import UsageError
from compose_core.prediction import Prediction
from compose_core.testing.laws import check_denoiser
from compose_core.testing.models import TinyNetwork, stable_diffusion_schedule, tiny_parts
from compose_core.views import Whole, Window, cover

LEVELS = stable_diffusion_schedule().levels(4)
ONE = Gaussian(torch.tensor(0.4, dtype=torch.float64), 0.6)


class Chain(Denoiser):
    """The exact denoiser of any stretch of a stationary Gaussian chain, `cov = rho^|i - j|`."""

    def __init__(self, rho):
        super().__init__()
        self.rho = rho

    def queries(self, x_t, level, state):
        return ()

    def combine(self, answers, x_t, level, state):
        i = torch.arange(x_t.shape[-1], dtype=torch.float64)
        cov = self.rho ** (i[:, None] - i).abs()
        alpha, sigma = float(level.alpha), float(level.sigma)
        spread = alpha**2 * cov + sigma**2 * torch.eye(len(i), dtype=torch.float64)
        return Prediction(x_t, level, alpha * x_t @ torch.linalg.inv(spread) @ cov)


def test_a_chain_of_windows_minus_overlaps_is_exact_where_the_data_is_a_chain(draw):
    """Without noise a Markov chain factorises into its windows; with a little, nearly."""
    x, level = draw(1, 1, 14), LEVELS[-2]
    windows = cover(14, 6, 4)
    whole = Chain(0.8)(x, level).score
    factored = Collage(panorama_of(windows, [Chain(0.8)] * 3, (14,)))(x, level).score
    averaged = Inference(panorama_of(windows, [Chain(0.8)] * 3, (14,)), Options(kappa=1))
    miss = float((factored - whole).norm() / whole.norm())
    assert miss < 0.02
    assert miss < 0.2 * float((averaged(x, level).score - whole).norm() / whole.norm())


@pytest.mark.parametrize(
    "windows, shape",
    [
        (cover((5, 13), (5, 6), (5, 4)), (5, 13)),
        (cover((9, 11), (4, 4), (2, 3)), (9, 11)),
        (cover((4, 12), (4, 6), (4, 4), (False, True)), (4, 12)),
    ],
    ids=["row", "grid with threefold overlaps", "ring"],
)
def test_the_counting_numbers_add_up_to_one_everywhere(windows, shape, draw):
    graph = panorama_of(windows, [ONE] * len(windows), shape)
    total = torch.zeros(shape, dtype=torch.float64)
    for one in regions(graph):
        total = total + one.times * one.view.weight(shape)
    assert bool((total == 1).all())
    x = draw(2, 3, *shape)
    torch.testing.assert_close(Collage(graph)(x, LEVELS[1]).x0, ONE(x, LEVELS[1]).x0)


def test_a_collage_is_a_denoiser(draw):
    parts = tiny_parts(3, TinyNetwork(dtype=torch.float64))
    graph = panorama_of(cover((8, 16), (8, 8), (8, 4)), parts, (8, 16))
    check_denoiser(Collage(graph, parts[0]), draw(2, 4, 8, 16), LEVELS[1])


@pytest.mark.parametrize(
    "graph, message",
    [
        (panorama_of([Whole()], [ONE], (4, 4)), "needs windows"),
        (
            panorama_of([Window((0, 0), (2, 4)), Window((2, 0), (2, 2)), Window((2, 2), (2, 2))],
                        [ONE] * 3, (4, 4)),
            "grid|chain",
        ),
        (
            Graph(
                [Variable("a", (4,)), Variable("b", (4,))],
                [Observation(n, (n,), ONE, Window((0,), (4,))) for n in "ab"],
            ),
            "one canvas",
        ),
        (panorama_of([Window((0,), (6,)), Window((2,), (2,))], [ONE] * 2, (6,)), "no chain"),
    ],
    ids=["whole", "no grid", "two canvases", "one inside another"],
)  # fmt: skip
def test_what_is_no_grid_is_refused(graph, message):
    with pytest.raises(UsageError, match=message):
        Collage(graph)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("width", [7, 8, 12, 19])
def test_moving_windows_cover_everything_at_every_step(width, wrap, draw):
    windows, shift = tiles((4, width), (4, 6), (False, wrap))
    graph = panorama_of(windows, [ONE] * len(windows), (4, width))
    inference = Inference(graph, Options(kappa=1), shift)
    x = draw(2, 1, 4, width)
    found = DDIM(LEVELS).sample(inference, x)
    torch.testing.assert_close(found, DDIM(LEVELS).sample(ONE, x))
    places = {tuple(window.start for window in shift.at(i)) for i in range(8)}
    assert len(places) > 1 or width == 7  # where there is hardly any room
    assert shift.at(3) == shift.at(3)


def test_shifts_belong_to_their_graph():
    windows, _ = tiles((4, 12), (4, 6), (False, False))
    _, other = tiles((4, 14), (4, 6), (False, False))
    with pytest.raises(UsageError, match="another graph"):
        Inference(panorama_of(windows, [ONE] * 3, (4, 12)), shift=other)
    with pytest.raises(UsageError, match="positive size"):
        tiles((4,), (0,), (False,))
