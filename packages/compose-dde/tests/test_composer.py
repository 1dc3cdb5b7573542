import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from compose_core.compose import Consensus, Product
from compose_core.denoiser import Bound, Gaussian, Network
from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, UsageError
from compose_core.evaluate import Local
from compose_core.prediction import Prediction
from compose_core.sampler import Heun
from compose_core.schedule import KarrasVE, Rectified
from compose_core.testing import laws
from compose_dde.baselines import concat, product, swap
from compose_dde.composer import DDE
from compose_dde.coordinator import CoordinatorConfig, Transformer
from compose_dde.domain import Domain
from compose_dde.subjects import maps, music, positions
from compose_dde.testing import Counted, spoken

LINE = CoordinatorConfig(channels=2, axes=1, patch=4, width=16, depth=1, heads=2)
PLACES = CoordinatorConfig(
    channels=3, axes=2, patch=4, width=16, depth=1, heads=2, maps=1, second="modulation"
)
CHARTS = CoordinatorConfig(
    channels=3, axes=2, patch=2, width=16, depth=1, heads=2, context=3, second="mlp"
)


def level(sigma=0.7):
    return KarrasVE().level(sigma)


def line(config=LINE, **more):
    network = Counted()
    return DDE(Bound(network), Domain.chain(56, 16, 12), spoken(config), **more), network


@pytest.mark.parametrize("weights", ["mean", "hann", "gaussian"])
@pytest.mark.parametrize("schedule", [KarrasVE().level(3.0), Rectified().level(0.6)])
def test_untrained_it_is_multidiffusion_to_the_bit(weights, schedule, draw):
    domain = Domain.chain(88, 32, 24)
    part = Gaussian(draw(2, 32, seed=1), draw(2, 32, seed=2).exp())
    x_t = draw(3, 2, 88)
    for space in ("raw", "denoised"):
        config = CoordinatorConfig(
            channels=2, axes=1, patch=4, width=16, depth=2, heads=2, space=space
        )
        ours = DDE(part, domain, Transformer(config), weights=weights)(x_t, schedule).x0
        theirs = Consensus(part, domain.views, weights)(x_t, schedule).x0
        assert torch.equal(ours, theirs)
        assert torch.equal(DDE(part, domain, weights=weights)(x_t, schedule).x0, theirs)


def test_laws_of_core(draw):
    for config in (LINE, CoordinatorConfig(**{**vars(LINE), "reach": 1, "summaries": 1})):
        composed, _ = line(config)
        laws.check_denoiser(composed, draw(3, 2, 56), level())
    laws.check_partition(composed.domain.views, "hann", draw(1, 2, 56))
    each = torch.tensor([[[0.2, 0.3], [0.7, 0.6], [0.4, 0.9]]])
    places = positions.expand(Counted(), spoken(PLACES), each, (8, 8), w=3.0)
    laws.check_denoiser(places, draw(2, 3, 8, 8), level())
    chart = draw(1, 3, 12, 12, seed=3)
    laws.check_denoiser(
        maps.expand(Counted(), spoken(CHARTS), chart, 8, 4), draw(2, 3, 12, 12), level()
    )


def test_the_order_of_conditions_does_not_matter(draw):
    each = torch.tensor([[0.2, 0.3], [0.7, 0.6], [0.4, 0.9]])

    def build(order):
        return positions.expand(Counted(), spoken(PLACES), each[list(order)][None], (8, 8), w=2.0)

    laws.check_permutation(build, 3, draw(1, 3, 8, 8), level())


@given(st.floats(0.05, 20), st.integers(0, 5))
def test_with_exact_parts_of_independent_cells_it_is_the_exact_denoiser(sigma, seed):
    """Windows of a canvas of independent cells know all there is to know of them."""
    generator = torch.Generator().manual_seed(seed)
    mean, x_t = (torch.randn(1, 2, 56, generator=generator).double() for _ in range(2))
    domain = Domain.chain(56, 16, 12)
    parts = [Gaussian(view.observe(mean), 0.3) for view in domain.views]
    laws.check_gaussian(DDE(parts, domain), mean, 0.3, [level(sigma)], x_t)


def closed_form(x, sigmas, var):
    """The solution of the probability flow of N(0, v): x sqrt((v + s'^2) / (v + s^2))."""
    return x * ((var + sigmas[-1] ** 2) / (var + sigmas[0] ** 2)) ** 0.5


def test_the_flow_of_gaussian_data_is_the_closed_form(draw):
    schedule = KarrasVE(0.002, 20.0)
    domain = Domain.chain(56, 16, 12)
    composed = DDE(Gaussian(0.0, 0.25), domain, Transformer(LINE))
    x = 20 * draw(1, 2, 56, dtype=torch.float64)
    expected = closed_form(x, (20.0, 0.0), 0.25)
    errors = []
    for steps in (20, 40, 80):
        found = Heun(schedule.levels(steps)).sample(composed, x)
        errors.append(float((found - expected).abs().max() / expected.abs().max()))
    assert errors[2] < 2e-3
    assert errors[0] / errors[1] > 3 and errors[1] / errors[2] > 3, "second order"


def test_evaluations_are_twice_the_steps_less_one(draw):
    composed, network = line()
    Heun(KarrasVE(1e-4, 20).levels(18)).sample(composed, 20 * draw(1, 2, 56))
    assert len(network.rows) == 2 * 18 - 1
    assert set(network.rows) == {len(composed.domain)}, "windows are asked in one call"
    network.rows.clear()
    composed(draw(1, 2, 56), level(), evaluator=Local(2))
    assert network.rows == [2, 2, 1] and len(composed.domain) == 5


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("w", [0.0, 20.0])
def test_guidance_asks_one_unconditional_question(count, w, draw):
    network = Counted()
    each = torch.rand(1, count, 2, generator=torch.Generator().manual_seed(0))
    net = spoken(PLACES)
    guided = positions.expand(network, net, each, (8, 8), w=w)
    x_t = draw(1, 3, 8, 8)
    found = guided(x_t, level()).x0
    assert network.rows == [count + (w > 0)]

    plain = positions.expand(network, net, each, (8, 8))
    nothing = positions.expand(network, net, torch.full_like(each, -1.0), (8, 8))
    expected = (1 + w) * plain(x_t, level()).x0 - w * nothing(x_t, level()).x0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_reduce_reuse_recycle_is_a_product(draw):
    network, w = Counted(), 4.0
    each = torch.tensor([[[0.2, 0.3], [0.7, 0.6]]])
    x_t = draw(2, 3, 8, 8)
    found = product(network, each, w)
    assert isinstance(found, Product)
    x0 = found(x_t, level()).x0
    assert network.rows == [6], "two samples: one question without and two with a condition"

    def said(position):
        return network(x_t, level(), Encoded(position=position)).x0

    none = said(torch.full((2, 2), -1.0))
    expected = none + w * sum(said(each[0, i].expand(2, 2)) - none for i in range(2))
    torch.testing.assert_close(x0, expected)


def test_marks_are_one_cell_each_or_none():
    where = torch.tensor([[[0.0, 0.0], [0.99, 0.5], [-1.0, -1.0], [1.0, 1.0]]])
    found = positions.marks(where, (4, 8))
    assert found.shape == (1, 4, 1, 4, 8)
    assert found.sum((2, 3, 4)).tolist() == [[1, 1, 0, 1]]
    assert found[0, 0, 0, 0, 0] == 1 and found[0, 1, 0, 2, 7] == 1 and found[0, 3, 0, 3, 7] == 1


def test_every_part_of_a_map_sees_its_own_piece(draw):
    class Told(Network):
        def __init__(self):
            super().__init__()
            self.schedule = KarrasVE()

        def forward(self, x_t, level, encoded):
            return Prediction(x_t, level, encoded["map"].expand_as(x_t))

    chart = draw(1, 3, 16, 20)
    composed = maps.expand(Told(), None, chart, 8, 4)
    torch.testing.assert_close(
        composed(draw(2, 3, 16, 20), level()).x0, chart.expand(2, 3, 16, 20)
    )


def test_concatenation_has_no_overlaps(draw):
    part = Gaussian(draw(2, 16, seed=1, dtype=torch.float64), 0.5)
    composed = concat(Counted(), 48, 16)
    assert not composed.domain.overlaps() and len(composed.domain) == 3
    composed = DDE(part, composed.domain)
    x_t = draw(1, 2, 48, dtype=torch.float64)
    each = [part(piece, level()).x0 for piece in x_t.split(16, 2)]
    torch.testing.assert_close(composed(x_t, level()).x0, torch.cat(each, 2))
    with pytest.raises(UsageError, match="do not fill"):
        concat(Counted(), 50, 16)


@pytest.mark.parametrize(
    "domain",
    [Domain.chain(56, 16, 12), Domain.ring(48, 16, 12), Domain.grid((16, 12), 8, 4)],
    ids=["chain", "ring", "grid"],
)
@pytest.mark.parametrize("every", [1, 2, 3])
def test_swapped_parts_own_every_cell_once(domain, every, draw):
    weights = swap(domain, every)
    total = torch.zeros(1, 1, *domain.size, dtype=torch.float64)
    for view, w in zip(domain.views, weights, strict=True):
        assert set(w.unique().tolist()) <= {0.0, 1.0}
        total = view.accumulate(total, w, domain.size)
    assert torch.equal(total, torch.ones_like(total))
    x_t = draw(1, 1, *domain.size, dtype=torch.float64)
    laws.check_partition(domain.views, weights, x_t)
    composed = DDE([Gaussian(float(i), 1e-9) for i in range(len(domain))], domain, weights=weights)
    found = composed(x_t, level()).x0
    assert float((found - found.round()).abs().max()) < 1e-6, "each cell belongs to one part"


def test_an_object_of_another_size_is_refused(draw):
    composed, _ = line()
    with pytest.raises(ShapeError, match="not the size of the domain"):
        composed(draw(1, 2, 60), level())
    with pytest.raises(UsageError, match="one part per view"):
        DDE([Gaussian(0.0, 1.0)], Domain.chain(56, 16, 12))


@pytest.mark.parametrize(
    ("given", "apart", "message"),
    [
        ([(0.5, 1.2)], 0.0, "outside"),
        ([(0.5, 0.5), (0.55, 0.5)], 0.15, "too close"),
        ([(float("nan"), 0.5)], 0.0, "outside"),
    ],
)
def test_impossible_positions_are_refused(given, apart, message):
    with pytest.raises(UsageError, match=message):
        positions.check_positions(given, apart)


def test_music_may_be_closed_to_a_loop(draw):
    net = spoken(LINE)
    composed = music.expand(Counted(), net, 48, 16, 12, loop=True)
    x_t = draw(1, 2, 48)
    turned = composed(x_t.roll(12, 2), level()).x0
    torch.testing.assert_close(turned, composed(x_t, level()).x0.roll(12, 2), rtol=1e-4, atol=1e-5)


def test_processes_share_the_windows_and_agree_to_the_bit(tmp_path, request):
    from importlib.util import module_from_spec, spec_from_file_location

    here = request.path.parent
    launcher = here.parents[1] / "compose-core" / "tests" / "test_evaluate.py"
    if not launcher.exists():
        pytest.skip("needs the sources of compose-core")
    spec = spec_from_file_location("launcher", launcher)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.launch(here / "share_windows.py", 2, tmp_path)
    results = [load_file(tmp_path / f"{index}.safetensors") for index in range(2)]
    alone = load_file(tmp_path / "alone.safetensors")
    for name, value in alone.items():
        for result in results:
            assert torch.equal(result[name], value), name


def test_on_every_device(device, draw):
    config = CoordinatorConfig(**{**vars(LINE), "reach": 1, "summaries": 2})
    composed, _ = line(config)
    x_t = draw(2, 2, 56)
    here = composed(x_t, level()).x0
    there = composed.to(device)(x_t.to(device), level(), evaluator=Local(3)).x0
    assert there.device.type == device.type
    torch.testing.assert_close(there.cpu(), here, rtol=1e-3, atol=1e-3)
    each = torch.tensor([[[0.2, 0.3], [0.7, 0.6]]])
    places = positions.expand(Counted(), spoken(PLACES), each, (8, 8), w=2.0)
    x_t = draw(1, 3, 8, 8)
    here = places(x_t, level()).x0
    there = places.to(device)(x_t.to(device), level()).x0
    torch.testing.assert_close(there.cpu(), here, rtol=1e-3, atol=1e-3)


def test_importing_does_not_need_sound_libraries():
    code = "import sys, compose_dde.composer; sys.exit('torchaudio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
