"""Conditions are left out independently, and leaving one out touches nothing else."""

import pytest
import torch

from compose_cnc.training.conditions import CONDITIONS, Dropout, without
from compose_core.errors import UsageError


def test_shares_and_independence():
    """Five independent Bernoulli variables: means p, covariances 0, within 5 deviations."""
    count, p = 40_000, 0.1
    gone = Dropout().draw(count, torch.Generator().manual_seed(0))
    assert tuple(gone) == CONDITIONS
    values = torch.stack([x.double() for x in gone.values()])
    assert (values.mean(1) - p).abs().max() < 5 * (p * (1 - p) / count) ** 0.5
    covariance = values.cov()
    off = covariance[~torch.eye(5, dtype=torch.bool)]
    assert off.abs().max() < 5 * p * (1 - p) / count**0.5


def test_a_share_of_one_condition_moves_no_other():
    one = Dropout().draw(64, torch.Generator().manual_seed(1))
    two = Dropout(depth_fg=1.0, embedding_bg=0.0).draw(64, torch.Generator().manual_seed(1))
    assert bool(two["depth_fg"].all()) and not bool(two["embedding_bg"].any())
    for name in ("text", "depth_bg", "embedding_fg"):
        assert torch.equal(one[name], two[name])


def test_what_is_left_out_is_zeros_and_the_mask_never_is():
    batch = {
        "depth_fg": torch.ones(4, 3, 8, 8),
        "embedding_bg": torch.ones(4, 5),
        "mask": torch.ones(4, 1, 8, 8),
        "latent": torch.ones(4, 4, 2, 2),
    }
    gone = dict.fromkeys(CONDITIONS, torch.tensor([True, False, True, False]))
    left = without(batch, gone)
    for name in ("depth_fg", "embedding_bg"):
        assert left[name].flatten(1).amax(1).tolist() == [0, 1, 0, 1]
    for name in ("mask", "latent"):
        assert torch.equal(left[name], batch[name])


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(UsageError, match="depth_bg"):
        Dropout(depth_bg=share)
