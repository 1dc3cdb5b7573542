"""The leaf of every composition, and what `forward` does."""

import pytest
import torch

from compose_core.denoiser import Bound, Query
from compose_core.errors import ComposeError
from compose_core.evaluate import Local
from compose_core.schedule import KarrasVE
from compose_core.testing.laws import assert_close, check_denoiser
from compose_core.testing.models import TinyNetwork, stable_diffusion_schedule, tiny_text


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_it_asks_one_question_about_the_very_objects():
    network, text, x_t = TinyNetwork(), tiny_text(1), noise(2, 4, 6, 6)
    level = stable_diffusion_schedule().level(torch.tensor(100.0))
    query = Bound(network, text).queries(x_t, level, ())
    assert isinstance(query, Query)
    assert query.network is network and query.x_t is x_t
    assert query.level is level and query.encoded is text


def test_it_is_the_network_under_the_condition():
    network, text, x_t = TinyNetwork(), tiny_text(1), noise(2, 4, 6, 6)
    level = stable_diffusion_schedule().level(torch.tensor(100.0))
    expected = network(x_t, level, text).x0
    assert_close(Bound(network, text)(x_t, level).x0, expected, "bound")


def test_it_obeys_the_laws():
    level = stable_diffusion_schedule().level(torch.tensor(600.0))
    check_denoiser(Bound(TinyNetwork(), tiny_text(1)), noise(3, 4, 6, 6), level)


def test_any_schedule_can_ask_any_network():
    """The same sample said in EDM's terms gets the same x0."""
    network, text = TinyNetwork(dtype=torch.float64), tiny_text(1)
    own = stable_diffusion_schedule().level(torch.tensor(321.0))
    x_t = noise(1, 4, 6, 6).double()
    ve = KarrasVE().level(float(own.sigma / own.alpha))
    asked = Bound(network, text)(x_t / own.alpha, ve).x0
    expected = Bound(network, text)(x_t, own).x0
    torch.testing.assert_close(asked, expected, rtol=1e-8, atol=1e-8)


def test_the_condition_follows_the_module():
    bound = Bound(TinyNetwork(), tiny_text(1)).to(torch.float16)
    assert bound.encoded["text"].dtype == torch.float16
    assert bound.network.enter.dtype == torch.float16


def test_an_unconditional_network_needs_no_condition():
    level = stable_diffusion_schedule().level(torch.tensor(600.0))
    assert Bound(TinyNetwork())(noise(2, 4, 6, 6), level).x0.shape == (2, 4, 6, 6)


def test_a_condition_for_another_batch_is_refused():
    level = stable_diffusion_schedule().level(torch.tensor(600.0))
    with pytest.raises(ComposeError, match="does not fit"):
        Bound(TinyNetwork(), tiny_text(1, batch=2))(noise(3, 4, 6, 6), level)


def test_the_given_evaluator_answers():
    asked = []

    def evaluator(questions):
        asked.append(questions)
        return Local()(questions)

    level = stable_diffusion_schedule().level(torch.tensor(600.0))
    Bound(TinyNetwork(), tiny_text(1))(noise(1, 4, 6, 6), level, evaluator=evaluator)
    assert len(asked) == 1
