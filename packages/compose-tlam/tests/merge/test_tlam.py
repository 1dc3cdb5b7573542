"""TLAM: the fast path is the naive one; missing labels and strengths do what they say."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_core.errors import ShapeError, UsageError
from compose_tlam.labels import PRIMITIVES, Label
from compose_tlam.merge import TLAM
from compose_tlam.merge.chunks import GPU_PIXELS, pieces
from compose_tlam.merge.reference import NaiveTLAM
from compose_tlam.stack import LabelStack
from compose_tlam.testing import random_stack

MISSING = ["zero", "mask_token", "attention_mask"]


def tlam(missing="zero", width=12, seed=0, dtype=torch.float64, **options):
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        made = TLAM(PRIMITIVES, width, missing=missing, layers=2, **options)
        for parameter in made.parameters():  # also those that start at zero
            torch.nn.init.normal_(parameter, std=0.4)
    return made.to(dtype)


def stack_of(seed, shape=(2, 5, 4), dtype=torch.float64, **options):
    return random_stack(shape, torch.Generator().manual_seed(seed), dtype=dtype, **options)


@pytest.mark.parametrize("missing", MISSING)
@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    chunk=st.sampled_from([1, 3, 7, 40, 1000]),
    present=st.sampled_from([0.0, 0.3, 1.0]),
    strength=st.sampled_from([None, {"depth": 0.0}, {"edges": 2.5, "semantics": 0.3}]),
    recompute=st.booleans(),
)
def test_the_fast_path_and_its_gradients_are_those_of_the_naive_one(
    missing, seed, chunk, present, strength, recompute
):
    fast = tlam(missing, chunk=chunk, seed=seed)
    fast.recompute = recompute
    naive = NaiveTLAM(fast).double()
    stack = stack_of(seed, present=present)
    a, b = fast(stack, strength), naive(stack, strength)
    assert a.shape == (2, 12, 5, 4)
    torch.testing.assert_close(a, b)
    weight = torch.randn(a.shape, generator=torch.Generator().manual_seed(1)).double()
    (a * weight).sum().backward()
    (b * weight).sum().backward()
    pairs = [(fast.position, naive.position)]
    for name, linear in naive.project.items():
        pairs += [
            (fast.projection.matrix[name], linear.weight),
            (fast.projection.bias[name], linear.bias),
        ]
    for mine, theirs in zip(fast.blocks, naive.layers, strict=True):
        pairs += [
            (mine.qkv.weight, theirs.attention.in_proj_weight),
            (mine.down.weight, theirs.down.weight),
            (mine.down.bias, theirs.down.bias),
            (mine.norm1.weight, theirs.norm1.weight),
        ]
    for mine, theirs in pairs:
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-9)


def test_single_precision_gradients_agree_to_one_in_ten_thousand():
    fast = tlam(dtype=torch.float32, chunk=16)
    naive = NaiveTLAM(fast)
    stack = stack_of(0, (1, 12, 12), torch.float32)
    fast(stack).square().sum().backward()
    naive(stack).square().sum().backward()
    for name in PRIMITIVES.names:
        a, b = fast.projection.matrix[name].grad, naive.project[name].weight.grad
        assert float((a - b).norm() / b.norm()) < 1e-4


@pytest.mark.parametrize("missing", MISSING)
def test_values_under_a_missing_map_change_nothing(missing):
    made = tlam(missing)
    stack = stack_of(0)
    other = LabelStack(
        PRIMITIVES,
        {
            name: type(layer)(torch.where(shown(layer), layer.value, junk(layer)), layer.valid)
            for name, layer in stack.layers.items()
        },
    )
    assert torch.equal(made(stack), made(other))


def shown(layer):
    return layer.valid if layer.value.dim() == 3 else layer.valid[:, None]


def junk(layer):
    """What a file may hold where nothing is known."""
    value = layer.value
    return torch.full_like(value, torch.nan if value.is_floating_point() else 255)


@pytest.mark.parametrize("missing", MISSING)
def test_an_absent_label_is_one_that_is_missing_everywhere(missing):
    made, stack = tlam(missing), stack_of(1)
    some = LabelStack(PRIMITIVES, {n: stack.layers[n] for n in ("normals", "edges")})
    gone = stack.without("semantics", "depth", "curvature")
    assert torch.equal(made(some), made(gone))


def test_pixels_do_not_see_each_other():
    made, stack = tlam(), stack_of(2)
    whole = made(stack)
    part = made(stack.crop(slice(1, 4), slice(0, 2)))
    torch.testing.assert_close(whole[..., 1:4, 0:2], part)
    torch.testing.assert_close(made(stack.rows(1, 2)), whole[1:2])


def test_the_missing_token_is_the_projection_of_zero():
    made = tlam()
    zero = torch.zeros(1, 1, 2, 2).double()
    mean = PRIMITIVES.named("edges").mean[0]
    there = LabelStack.of(PRIMITIVES, {"edges": zero + mean})
    gone = there.without("edges")
    torch.testing.assert_close(made(there), made(gone))


def test_a_strength_of_zero_takes_a_label_out_and_masked_labels_are_out():
    made, stack = tlam("attention_mask"), stack_of(0, present=1.0)
    torch.testing.assert_close(made(stack, {"depth": 0.0}), made(stack.without("depth")))
    torch.testing.assert_close(made(stack, dict.fromkeys(PRIMITIVES.names, 0.7)), made(stack))
    nothing = made(stack.without(*PRIMITIVES.names))
    torch.testing.assert_close(nothing, made.null[:, None, None].expand_as(nothing))


def test_strengths_are_a_map_of_pixels():
    made, stack = tlam(), stack_of(0)
    weight = torch.ones(5, 4)
    weight[2:] = 0.2
    mixed, plain, weak = made(stack, {"edges": weight}), made(stack), made(stack, {"edges": 0.2})
    torch.testing.assert_close(mixed[..., :2, :], plain[..., :2, :])
    torch.testing.assert_close(mixed[..., 2:, :], weak[..., 2:, :])
    assert not torch.allclose(plain, weak)


@pytest.mark.parametrize("strength", [{"depth": -1.0}, {"depth": float("inf")}])
def test_bad_strengths_are_refused(strength):
    with pytest.raises(UsageError, match="strength of 'depth'"):
        tlam()(stack_of(0), strength)
    with pytest.raises(ShapeError, match="wrong size"):
        tlam()(stack_of(0), {"depth": torch.ones(3, 3)})
    with pytest.raises(UsageError, match="unknown label"):
        tlam()(stack_of(0), {"deep": 1.0})


def test_another_registry_is_refused():
    stack = stack_of(0).under(PRIMITIVES.only("depth"))
    with pytest.raises(UsageError, match="labels are not those of the model"):
        tlam()(stack)


def test_attention_is_a_distribution_over_labels():
    made, stack = tlam("attention_mask"), stack_of(0)
    maps = made.attention(stack)
    assert maps.shape == (2, 2, 5, 5, 5, 4)
    torch.testing.assert_close(maps.sum(3), torch.ones_like(maps.sum(3)))
    gone = made.attention(stack.without("depth").dropped({}))
    place = PRIMITIVES.names.index("depth")
    some = stack.without("depth")
    there = torch.stack([x.valid for x in some.layers.values()]).any(0)
    assert float(gone[:, :, :, place][..., there.any(0)].max()) <= 1.0
    masked = gone.permute(0, 2, 3, 1, 4, 5)[:, :, place][..., there]
    assert float(masked.abs().max()) == 0.0


@pytest.mark.parametrize("noise", [0, 3])
def test_attention_in_pieces_is_that_of_the_whole(noise):
    made = TLAM(PRIMITIVES, 6, layers=2, heads=3, noise=noise).eval()
    dice = torch.Generator().manual_seed(0)
    stack = random_stack((2, 5, 7), dice)
    drawn = torch.randn(2, noise, generator=dice) if noise else None
    made.chunk = 1_000
    whole = made.attention(stack, {"depth": 0.5}, drawn)
    made.chunk = 4
    torch.testing.assert_close(made.attention(stack, {"depth": 0.5}, drawn), whole)
    if noise:
        assert not torch.allclose(made.attention(stack, {"depth": 0.5}), whole)


def test_noise_changes_the_concept_and_is_the_same_for_all_pixels():
    made = tlam(noise=3)
    stack = stack_of(0, present=1.0)
    flat = stack.map(lambda _, x: type(x)(x.value[..., :1, :1].expand_as(x.value), x.valid))
    noise = torch.randn(2, 3, generator=torch.Generator().manual_seed(2)).double()
    a, b = made(flat, noise=noise), made(flat)
    assert not torch.allclose(a, b)
    torch.testing.assert_close(a, a[..., :1, :1].expand_as(a))


@pytest.mark.parametrize("missing", MISSING)
def test_a_label_is_added_by_training_its_projection_alone(missing):
    old = tlam(missing)
    new = Label(name="height", kind="continuous")
    made = old.with_label(new).double()
    stack = stack_of(0)
    grown = LabelStack(made.labels, dict(stack.layers))
    if missing == "attention_mask":
        torch.testing.assert_close(made(grown), old(stack))
    values = {"height": torch.rand(2, 1, 5, 4).double()}
    full = LabelStack(made.labels, {**stack.layers, **LabelStack.of(made.labels, values).layers})
    made(full).square().sum().backward()
    touched = {n for n, p in made.named_parameters() if p.grad is not None and bool(p.grad.any())}
    allowed = {"projection.matrix.height", "projection.bias.height", "position", "absent"}
    assert {"projection.matrix.height", "position"} <= touched <= allowed
    assert not bool(made.position.grad[:5].any()) and bool(made.position.grad[5].any())


@given(st.integers(1, 10**6), st.sampled_from(["cpu", "cuda"]), st.sampled_from([96, 480]))
def test_pieces_cover_all_pixels_and_never_exceed_a_launch(count, kind, row):
    bounds = pieces(count, torch.device(kind), None, row)
    assert bounds[0][0] == 0 and bounds[-1][1] == count
    assert all(a[1] == b[0] for a, b in zip(bounds, bounds[1:], strict=False))
    assert max(b - a for a, b in bounds) <= GPU_PIXELS <= 65_535


def test_half_precision_training_keeps_gradients():
    made = tlam(dtype=torch.float32, chunk=8)
    stack = stack_of(0, dtype=torch.float32)
    exact = torch.autograd.grad(made(stack).sum(), made.blocks[0].qkv.weight)[0]
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            made(stack)  # leaves nothing behind that the next pass would take for its own
        rough = made(stack).float().sum()
    found = torch.autograd.grad(rough, made.blocks[0].qkv.weight)[0]
    assert float((found - exact).norm() / exact.norm()) < 0.1


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="heads"):
        TLAM(PRIMITIVES, 10)
    with pytest.raises(UsageError, match="missing"):
        TLAM(PRIMITIVES, 12, missing="gone")
    with pytest.raises(UsageError):
        TLAM(PRIMITIVES, 12, layers=0)


def test_the_size_of_the_paper():
    """Eight matrices of d x d in each layer and MLPs of ratio 4: a third of a million weights."""
    with torch.device("meta"):
        made = TLAM(PRIMITIVES)
    assert 0.33e6 < sum(p.numel() for p in made.parameters()) < 0.35e6
