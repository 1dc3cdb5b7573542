"""What TLAM is compared with: each against its formula, pixel by pixel."""

import pytest
import torch
from torch.nn import functional as F

from compose_core.errors import UsageError
from compose_tlam.labels import PRIMITIVES
from compose_tlam.merge import CLAM, Concatenation, Mean, ProductOfExperts
from compose_tlam.stack import LabelStack


def seeded(kind, *args, **options):
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        return kind(*args, **options).double()


def inputs(stack, n, y, x):
    """What label n of one pixel is: one-hot or channels, zero where missing."""
    label = PRIMITIVES[n]
    layer = stack.layers[label.name]
    if not bool(layer.valid[0, y, x]):
        return torch.zeros(label.width).double()
    if label.discrete:
        return F.one_hot(layer.value[0, y, x], label.count).double()
    mean, scale = torch.tensor(label.mean).double(), torch.tensor(label.scale).double()
    return (layer.value[0, :, y, x] - mean) / scale


def token(merger, stack, n, y, x):
    name = PRIMITIVES[n].name
    matrix, bias = merger.projection.matrix[name], merger.projection.bias[name]
    return F.gelu(matrix @ inputs(stack, n, y, x) + bias)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_clam_is_its_formula(draw, layers):
    stack = draw(1, 3, 2, dtype=torch.float64)
    made = seeded(CLAM, PRIMITIVES, 7, layers=layers, chunk=4)
    found = made(stack)
    for y, x in ((0, 0), (2, 1)):
        tokens = []
        for n in range(5):
            e = token(made, stack, n, y, x)
            for matrix, bias in zip(made.matrix, made.bias, strict=True):
                e = F.gelu(matrix[n] @ e + bias[n, 0])
            tokens.append(e)
        torch.testing.assert_close(found[0, :, y, x], torch.stack(tokens).mean(0))


def test_the_mean_is_clam_without_layers(draw):
    stack = draw(1, 3, 2, dtype=torch.float64)
    a, b = seeded(Mean, PRIMITIVES, 7), seeded(CLAM, PRIMITIVES, 7, layers=0)
    assert torch.equal(a(stack), b(stack))


@pytest.mark.parametrize("bits", [False, True])
def test_concatenation_is_every_channel(draw, bits):
    stack = draw(1, 3, 2)
    made = Concatenation(PRIMITIVES, bits=bits)
    found = made(stack)
    assert found.shape[1] == made.width == 9 + 1 + 3 + 2 + 1 + 5 * bits
    if not bits:
        truth = torch.cat([inputs(stack, n, 1, 1) for n in range(5)])
        torch.testing.assert_close(found[0, :, 1, 1].double(), truth)
    with pytest.raises(UsageError, match="no strengths"):
        made(stack, {"depth": 0.5})


def test_experts_that_are_missing_say_nothing_and_silence_is_the_prior(draw):
    made = seeded(ProductOfExperts, PRIMITIVES, 7)
    stack = draw(1, 3, 2, dtype=torch.float64, present=1.0)
    nobody = made(stack.without(*PRIMITIVES.names))
    assert torch.equal(nobody, torch.zeros_like(nobody))
    some = LabelStack(PRIMITIVES, {"depth": stack.layers["depth"]})
    torch.testing.assert_close(made(some), made(stack.only("depth")))
    torch.testing.assert_close(made(stack, {"edges": 0.0}), made(stack.without("edges")))


def test_experts_multiply_as_gaussians_do(draw):
    made = seeded(ProductOfExperts, PRIMITIVES, 2)
    stack = draw(1, 1, 1, dtype=torch.float64, present=1.0)
    top, bottom = torch.zeros(2).double(), torch.ones(2).double()
    for n in range(5):
        said = made.matrix[n] @ token(made, stack, n, 0, 0) + made.bias[n, 0]
        mu, precision = said[:2], said[2:].exp()
        top, bottom = top + mu * precision, bottom + precision
    torch.testing.assert_close(made(stack)[0, :, 0, 0], top / bottom, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [CLAM, ProductOfExperts])
def test_pieces_and_recomputing_change_nothing(draw, kind):
    stack = draw(2, 5, 3, dtype=torch.float64)
    grads = []
    for chunk, recompute in ((4, True), (None, True), (None, False)):
        made = seeded(kind, PRIMITIVES, 6, chunk=chunk)
        made.recompute = recompute
        made(stack).square().sum().backward()
        grads.append(made.projection.matrix["normals"].grad)
    torch.testing.assert_close(grads[0], grads[1])
    torch.testing.assert_close(grads[1], grads[2])
