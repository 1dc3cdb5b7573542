"""Eq. 6 against loops."""

import pytest
import torch

from compose_core.errors import ShapeError
from compose_realcompo.loss import attended, outside


def maps(seed=0):
    drawn = torch.rand(2, 7, 5, 4, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.sum(1, keepdim=True)


def test_against_scalar_loops():
    spans = ((1, 2), (4,))
    masks = (torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    found = outside(attended(maps(), spans), masks)
    for b in range(2):
        for r, span in enumerate(spans):
            inside = total = 0.0
            for y in range(5):
                for x in range(4):
                    a = sum(float(maps()[b, j, y, x]) for j in span) / len(span)
                    total += a
                    inside += a * float(masks[r, y, x])
            assert abs(float(found[b, r]) - (1 - inside / total)) < 1e-6


def test_everywhere_is_never_outside_and_nowhere_always():
    attention = attended(maps(), ((1,), (2,)))
    masks = torch.stack([torch.ones(5, 4), torch.zeros(5, 4)])
    expected = torch.tensor([[0.0, 1.0]] * 2)
    torch.testing.assert_close(outside(attention, masks), expected, atol=1e-6, rtol=0)


def test_the_same_word_for_two_boxes_has_the_derivative_of_their_union():
    left, right = torch.zeros(5, 4), torch.zeros(5, 4)
    left[:, :1], right[:, 3:] = 1, 1
    both = maps().requires_grad_(True)
    apart = outside(attended(both, ((1,), (1,))), torch.stack([left, right])).sum()
    union = outside(attended(both, ((1,),)), (left + right)[None]).sum()
    torch.testing.assert_close(
        torch.autograd.grad(apart, both)[0], torch.autograd.grad(union, both)[0]
    )


def test_a_region_without_words_says_nothing():
    both = maps().requires_grad_(True)
    lost = outside(attended(both, ((), (1,))), torch.zeros(2, 5, 4))
    assert torch.equal(lost[:, 0], torch.zeros(2))
    assert torch.isfinite(torch.autograd.grad(lost.sum(), both)[0]).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="positions from 0 to 6"):
        attended(maps(), ((7,),))
    with pytest.raises(ShapeError, match="masks do not fit"):
        outside(attended(maps(), ((1,),)), torch.ones(1, 4, 5))
