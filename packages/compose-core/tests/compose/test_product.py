"""Products of distributions."""

import pytest
import torch

from compose_core.compose import Guided, Product
from compose_core.denoiser import Gaussian
from compose_core.errors import UsageError
from compose_core.testing.laws import (
    assert_close,
    check_denoiser,
    check_gaussian,
    check_identical_parts,
    check_one_hot,
    check_permutation,
)
from compose_core.testing.models import TinyNetwork, stable_diffusion_schedule, tiny_parts

LEVELS = [stable_diffusion_schedule().level(torch.tensor(t)) for t in (1.0, 400.0, 998.0)]
LEVEL = LEVELS[1]


def noise(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


def parts_of(count):
    return tiny_parts(count, TinyNetwork(dtype=torch.float64))


def test_the_formula_in_eps():
    parts, x_t = parts_of(3), noise(2, 4, 6, 6)
    first, a, b = (part(x_t, LEVEL).eps for part in parts)
    expected = first + 2.0 * (a - first) - 0.5 * (b - first)
    assert_close(Product(parts, [2.0, -0.5])(x_t, LEVEL).eps, expected, "RRR")


def test_the_laws():
    parts, x_t = parts_of(4), noise(3, 4, 6, 6)
    check_denoiser(Product(parts, [1.0, 2.0, -0.5]), x_t, LEVEL)
    check_identical_parts(
        lambda same: Product(same, [3.0] * (len(same) - 1)), parts[0], x_t, LEVEL
    )
    weights = [1.0, 2.0, -0.5]
    check_permutation(
        lambda order: Product(
            [parts[0], *(parts[1 + i] for i in order)], [weights[i] for i in order]
        ),
        3, x_t, LEVEL,
    )  # fmt: skip
    check_one_hot(lambda i: Product(parts, [float(i == k) for k in (1, 2, 3)]), parts, x_t, LEVEL)


def test_equal_variances_give_the_gaussian_of_the_composed_means():
    means = [noise(2, 3, seed=i) for i in range(3)]
    mean = means[0] + 1.5 * (means[1] - means[0]) + 0.5 * (means[2] - means[0])
    product = Product([Gaussian(m, 0.4) for m in means], [1.5, 0.5])
    check_gaussian(product, mean, 0.4, LEVELS, noise(2, 2, 3))


def test_it_is_the_score_of_the_product_of_the_noised_densities():
    """q ~ p_0 (p_1/p_0)(p_2/p_0) at one level: precisions and precision-weighted means add."""
    level, x_t = LEVEL, noise(1, 1, 50)
    means, variances = (0.1, 1.0, -0.5), (2.0, 0.5, 0.3)
    parts = [Gaussian(m, v) for m, v in zip(means, variances, strict=True)]
    score = 0.0
    for sign, m, v in zip((-1, 1, 1), means, variances, strict=True):
        score = score + sign * (level.alpha * m - x_t) / (level.alpha**2 * v + level.sigma**2)
    assert_close(Product(parts, [1.0, 1.0])(x_t, level).score, score, "product of densities")


def test_one_condition_is_guidance():
    uncond, cond = parts_of(2)
    x_t = noise(2, 4, 6, 6)
    guided = Guided(cond, uncond, 7.5)(x_t, LEVEL).x0
    assert_close(Product([uncond, cond], [7.5])(x_t, LEVEL).x0, guided, "CFG")


def test_weights_per_sample_and_per_cell():
    parts, x_t = parts_of(2), noise(2, 4, 6, 6)
    first, other = (part(x_t, LEVEL).x0 for part in parts)
    for w in (torch.rand(2, 1, 1, 1), torch.rand(1, 1, 6, 6)):
        expected = first + w.double() * (other - first)
        assert_close(Product(parts, [w])(x_t, LEVEL).x0, expected, "tensor weights")


def test_the_unconditional_part_has_no_weight():
    with pytest.raises(UsageError, match="one weight per conditional part"):
        Product(parts_of(2), [1.0, 1.0])
