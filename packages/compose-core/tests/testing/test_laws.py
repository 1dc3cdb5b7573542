"""Each law catches what it is there to catch: a composer broken in exactly that way."""

import copy

import pytest
import torch
from torch import nn

from compose_core.compose import Composer, Regional
from compose_core.denoiser import Bound, Denoiser, Gaussian, Network
from compose_core.encoded import Encoded
from compose_core.prediction import Prediction
from compose_core.testing import laws
from compose_core.testing.models import (
    GaussianNetwork,
    TinyNetwork,
    stable_diffusion_schedule,
    tiny_parts,
    tiny_text,
)
from compose_core.views import View, Whole, Window, cover

LEVEL = stable_diffusion_schedule().level(torch.tensor(400.0))
LEVELS = [stable_diffusion_schedule().level(torch.tensor(t)) for t in (1.0, 400.0, 998.0)]


def noise(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


X_T = noise(3, 4, 6, 6)


def parts_of(count):
    return tiny_parts(count, TinyNetwork(dtype=torch.float64))


class Rule(Composer):
    """A composer whose rule is given; `Rule(parts, mean)` breaks nothing."""

    def __init__(self, parts, rule):
        super().__init__(parts)
        self.rule = rule

    def merge(self, predictions, x_t, level, own):
        x0 = torch.stack([prediction.x0 for prediction in predictions])
        return Prediction(x_t, level, self.rule(x0))


def mean(x0):
    return x0.mean(0)


def test_a_sound_composer_passes_them_all():
    parts = parts_of(3)
    laws.check_denoiser(Rule(parts, mean), X_T, LEVEL)
    laws.check_identical_parts(lambda same: Rule(same, mean), parts[0], X_T, LEVEL)
    laws.check_permutation(lambda order: Rule([parts[i] for i in order], mean), 3, X_T, LEVEL)
    laws.check_gaussian(Rule([Gaussian(0.0, 0.3), Gaussian(1.0, 0.3)], mean), 0.5, 0.3, LEVELS,
                        X_T)  # fmt: skip


def test_identical_parts_catches_a_sum():
    with pytest.raises(AssertionError, match="2 identical parts must equal one part"):
        laws.check_identical_parts(
            lambda same: Rule(same, lambda x0: x0.sum(0)), parts_of(1)[0], X_T, LEVEL
        )


def test_permutation_catches_a_favourite():
    parts = parts_of(3)

    def favour_the_first(x0):
        return 0.5 * x0[0] + 0.5 * x0.mean(0)

    with pytest.raises(AssertionError, match="order"):
        laws.check_permutation(
            lambda order: Rule([parts[i] for i in order], favour_the_first), 3, X_T, LEVEL
        )


def test_one_hot_catches_weights_that_leak():
    parts = parts_of(2)

    def build(i):
        leaking = torch.tensor([float(i == 0), float(i == 1)]).softmax(0)
        return Rule(parts, lambda x0: torch.einsum("k,k...->...", leaking.double(), x0))

    with pytest.raises(AssertionError, match="all weight on part 0"):
        laws.check_one_hot(build, parts, X_T, LEVEL)


def test_cover_and_partition_catch_a_floored_panorama():
    """Windows at whole strides only: 20 cells, width 8, stride 5 leave the tail bare."""
    floored = [Window((start,), (8,)) for start in range(0, 20 - 8 + 1, 5)]
    laws.check_cover(cover(20, 8, 5), (20,))
    with pytest.raises(AssertionError, match="2 of 20"):
        laws.check_cover(floored, (20,))
    with pytest.raises(AssertionError, match="partition of unity"):
        laws.check_partition(floored, "mean", noise(1, 2, 20))


def test_partition_catches_weights_that_were_not_normalised():
    views = cover(20, 8, 5)
    with pytest.raises(AssertionError, match="sum to one"):
        laws.check_sums_to_one(views, [torch.ones(8)] * len(views), noise(1, 2, 20))
    shares = [torch.tensor(2.0), torch.tensor(-1.0)]
    with pytest.raises(AssertionError, match="not be negative"):
        laws.check_sums_to_one([Whole(), Whole()], shares, noise(1, 2, 20))


class Lopsided(View):
    """Observes twice what its adjoint knows of."""

    def observe(self, x):
        return 2 * x

    def adjoint(self, y, shape):
        return y

    def weight(self, shape):
        return torch.ones(tuple(shape))


def test_adjoint_catches_a_view_that_is_not_transposed():
    with pytest.raises(AssertionError, match="must equal <x, A' y>"):
        laws.check_adjoint(Lopsided(), X_T, torch.Generator().manual_seed(0))


def test_batch_catches_statistics_over_the_batch():
    """What Reduce-Reuse-Recycle's sampler did with acceptance ratios."""
    shared = Rule(parts_of(2), lambda x0: x0.mean(0) / x0.std())
    with pytest.raises(AssertionError, match="must not depend on its batch"):
        laws.check_batch(shared, X_T, LEVEL)


class BatchNormed(Network):
    """Its answer depends on what else is in the call."""

    def __init__(self):
        super().__init__()
        self.schedule = stable_diffusion_schedule()

    def forward(self, x_t, level, encoded):
        return Prediction(x_t, level, x_t - x_t.mean(0, keepdim=True))


def test_max_batch_catches_a_network_that_mixes_rows():
    with pytest.raises(AssertionError, match="max_batch=1 must not change the result"):
        laws.check_max_batch(Bound(BatchNormed(), tiny_text(1)), X_T, LEVEL)


class Noisy(Composer):
    """Starts from noise drawn by `draw`."""

    def __init__(self, draw):
        super().__init__([Gaussian(0.0, 1.0)])
        self.draw = draw

    def init_own(self, x_t, generator):
        return self.draw(x_t, generator)

    def merge(self, predictions, x_t, level, own):
        return Prediction(x_t, level, predictions[0].x0 + own)


def run(denoiser):
    return lambda generator: denoiser(X_T, LEVEL, denoiser.init(X_T, generator)).x0


def test_same_bytes_catches_global_and_foreign_randomness():
    def sound(x, generator):
        return torch.randn(x.shape, generator=generator)

    laws.check_same_bytes(run(Noisy(sound)))
    with pytest.raises(AssertionError, match="global randomness"):
        laws.check_same_bytes(run(Noisy(lambda x, generator: torch.randn(x.shape))))
    foreign = torch.Generator().manual_seed(0)
    with pytest.raises(AssertionError, match="same bytes"):
        laws.check_same_bytes(run(Noisy(lambda x, _: torch.randn(x.shape, generator=foreign))))


def test_gaussian_catches_a_rule_in_the_wrong_place():
    """Averaging clipped predictions is no longer the posterior mean."""
    parts = [Gaussian(0.0, 0.3), Gaussian(1.0, 0.3)]
    clipped = Rule(parts, lambda x0: x0.clamp(-1, 1).mean(0))
    with pytest.raises(AssertionError, match="analytic Gaussian"):
        laws.check_gaussian(clipped, 0.5, 0.3, LEVELS, X_T)
    with pytest.raises(AssertionError, match="float64"):
        laws.check_gaussian(Rule(parts, mean), 0.5, 0.3, LEVELS, X_T.float())


def test_gaussian_through_a_network():
    network = GaussianNetwork(var=0.3)
    text = [torch.full((1, 4), value, dtype=torch.float64) for value in (0.0, 1.0)]
    parts = [Bound(network, Encoded(mean=each)) for each in text]
    laws.check_gaussian(Rule(parts, mean), 0.5, 0.3, LEVELS, X_T)


def test_gaussian_catches_a_step_taken_at_the_wrong_level():
    class Late(Denoiser):
        def queries(self, x_t, level, state):
            return ()

        def combine(self, answers, x_t, level, state):
            return Gaussian(0.5, 0.3)(x_t, LEVELS[1])

    with pytest.raises(AssertionError, match=r"analytic Gaussian at t=1\.0"):
        laws.check_gaussian(Late(), 0.5, 0.3, LEVELS, X_T)


class Counting(Composer):
    """Breaks purity in the way that is asked for."""

    def __init__(self, where):
        super().__init__(parts_of(1))
        self.where = where
        self.register_buffer("calls", torch.zeros(()))

    def init_own(self, x_t, generator):
        return {"calls": torch.zeros(())}

    def queries(self, x_t, level, state):
        if self.where == "state":
            state[0]["calls"] += 1
        if self.where == "module":
            self.calls += 1
        if self.where == "sample":
            x_t += 1
        if self.where == "questions":
            self.asked = getattr(self, "asked", 0) + 1
            self.parts[0].encoded = tiny_text(seed=self.asked)
        return super().queries(x_t, level, state)

    def merge(self, predictions, x_t, level, own):
        if self.where == "combine":
            own["calls"] += 1
        return Prediction(x_t, level, predictions[0].x0 + own["calls"])


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("state", "must not change the state"),
        ("module", "must not change the module"),
        ("sample", "same questions|must not change the sample"),
        ("questions", "must give the same questions"),
        ("combine", "combining twice"),
    ],
)
def test_purity_catches_hidden_state(where, reason):
    laws.check_pure(Counting("nowhere"), X_T.clone(), LEVEL)
    with pytest.raises(AssertionError, match=reason):
        laws.check_pure(Counting(where), X_T.clone(), LEVEL)


def test_purity_sees_questions_that_come_and_go():
    class Alternating(Counting):
        def queries(self, x_t, level, state):
            self.turn = not getattr(self, "turn", False)
            return super().queries(x_t, level, state) if self.turn else ()

    with pytest.raises(AssertionError, match="same questions"):
        laws.check_pure(Alternating("nowhere"), X_T, LEVEL)


def model():
    with torch.random.fork_rng(devices=[]):
        return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def leave_a_hook(net):
    net[0].register_forward_hook(lambda *_: None)


def replace_a_module(net):
    net[1] = nn.Tanh()


def override_forward(net):
    net[0].forward = copy.copy(net[0].forward)


def change_a_weight(net):
    with torch.no_grad():
        net[2].weight[0, 0] += 1e-12


def switch_the_mode(net):
    net[1].training = not net[1].training


def fail_halfway(net):
    net[0].register_forward_pre_hook(lambda *_: None)
    raise ValueError("the recording failed")


@pytest.mark.parametrize(
    "disturb",
    [leave_a_hook, replace_a_module, override_forward, change_a_weight, switch_the_mode,
     fail_halfway],
)  # fmt: skip
def test_restored_catches_what_is_left_behind(disturb):
    net = model()
    with pytest.raises(AssertionError, match="restored model must"):
        laws.check_restored(net, lambda: net(noise(3, 4)), lambda: disturb(net))


def test_restored_accepts_what_was_undone():
    net = model()

    def record():
        handle = net[0].register_forward_hook(lambda *_: None)
        try:
            raise ValueError("in the middle")
        finally:
            handle.remove()

    laws.check_restored(net, lambda: net(noise(3, 4)), record)


def test_the_regional_rule_passes_with_half_precision_tolerances():
    regional = Regional(tiny_parts(2, TinyNetwork(dtype=torch.bfloat16)), torch.ones(2, 6, 6))
    laws.check_max_batch(regional, X_T.bfloat16(), LEVEL)
    assert laws.tolerance(torch.bfloat16) > laws.tolerance(torch.float32)
