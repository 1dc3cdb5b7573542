"""Exemplar embeddings to tokens."""

import pytest
import torch

from compose_cnc.model import GlobalFuser
from compose_core.errors import ShapeError, UsageError


@pytest.fixture
def fuser():
    return GlobalFuser.fresh(6, 8, tokens=3).eval()


@torch.no_grad()
def test_each_stream_has_weights_of_its_own(fuser):
    embedding = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    fg, bg = fuser(embedding, "fg"), fuser(embedding, "bg")
    assert fg.shape == bg.shape == (2, 3, 8)
    assert (fg - bg).abs().max() > 1e-3


@torch.no_grad()
def test_a_missing_exemplar_becomes_learned_tokens(fuser):
    null = fuser.null("fg")
    assert null.shape == (1, 3, 8) and null.abs().max() > 0
    torch.testing.assert_close(fuser(torch.zeros(2, 6), "fg"), null.expand(2, -1, -1))
    embedding = torch.randn(1, 6, generator=torch.Generator().manual_seed(1))
    assert (fuser(embedding, "fg") - null).abs().max() > 1e-3


def test_the_same_seed_gives_the_same_weights_and_leaves_global_randomness_alone():
    before = torch.random.get_rng_state()
    one, two = GlobalFuser.fresh(6, 8), GlobalFuser.fresh(6, 8)
    other = GlobalFuser.fresh(6, 8, generator=torch.Generator().manual_seed(5))
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = zip(one.parameters(), two.parameters(), other.parameters(), strict=True)
    drawn = [(torch.equal(a, b), torch.equal(a, c)) for a, b, c in pairs]
    assert all(same for same, _ in drawn) and not all(equal for _, equal in drawn)


def test_dropout_is_only_for_training(fuser):
    embedding = torch.ones(1, 6)
    assert torch.equal(fuser(embedding, "bg"), fuser(embedding, "bg"))
    with torch.random.fork_rng():
        fuser.train()
        assert not torch.equal(fuser(embedding, "bg"), fuser(embedding, "bg"))


def test_what_does_not_fit_is_named(fuser):
    with pytest.raises(ShapeError, match=r"\(B, 6\)"):
        fuser(torch.zeros(1, 5), "fg")
    with pytest.raises(UsageError, match="'fg' or 'bg'"):
        fuser(torch.zeros(1, 6), "front")


def test_the_size_of_the_published_network():
    with torch.device("meta"):
        made = GlobalFuser()
    assert sum(p.numel() for p in made.parameters()) / 1e6 == pytest.approx(94.4, abs=0.1)
