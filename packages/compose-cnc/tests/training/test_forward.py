"""What is trained is what is used: the forward pass equals the network's."""

import pytest
import torch

from compose_core.encoded import Encoded
from compose_core.errors import UsageError

INDICES = torch.arange(2)


def asked(task, stage):
    """The conditions that the network is given when the stage is over."""
    batch = task.batch(INDICES)
    text = task.text_encoder(batch["tokens"][:, 0]).last_hidden_state
    given = {"text": text}
    if stage != "global":
        given |= {name: batch[name] for name in ("depth_fg", "depth_bg")}
    if stage != "local":
        tokens = [task.network.tokens(batch[f"embedding_{x}"], x) for x in ("fg", "bg")]
        ones = torch.ones_like(batch["mask"])
        given |= {"tokens": torch.cat(tokens, 1), "region": torch.cat([batch["mask"], ones], 1)}
    return text, batch, Encoded(given)


@pytest.mark.parametrize("stage", ["local", "global", "joint"])
@pytest.mark.parametrize("guidance", ["mask", "paper", "off"])
@torch.no_grad()
def test_it_is_the_network(make_task, stage, guidance):
    task = make_task(stage, guidance=guidance)
    text, batch, encoded = asked(task, stage)
    t = torch.tensor([120, 640])
    level = task.network.schedule.level(t)
    mine = task.forward(batch["latent"], t, text, batch)
    theirs = task.network(batch["latent"], level, encoded).eps
    torch.testing.assert_close(mine, theirs, atol=2e-5, rtol=1e-4)


def test_gradients_of_tokens_with_and_without_the_encoder(make_task):
    """The same answer; of the encoder's share of the gradient nothing is left."""
    grads = []
    for frozen in (False, True):
        task = make_task("global", frozen_encoder=frozen)
        text, batch, _ = asked(task, "global")
        t = torch.tensor([300, 300])
        answer = task.forward(batch["latent"], t, text.detach(), batch)
        answer.square().sum().backward()
        weights = list(task.modules["global_fuser"].parameters())
        grads.append((answer.detach(), [w.grad.clone() for w in weights]))
    (one, all_layers), (two, decoder) = grads
    torch.testing.assert_close(one, two)
    assert all(bool(g.any()) for g in decoder)
    assert not any(torch.allclose(a, b) for a, b in zip(all_layers, decoder, strict=True))


def test_one_map_and_one_exemplar_are_enough(make_task):
    gone = ("depth_bg", "embedding_bg", "mask")
    task = make_task("joint", guidance="off", without=gone)
    loss, _ = task.loss(task.batch(INDICES), torch.Generator().manual_seed(0))
    assert bool(loss.isfinite())


def test_a_missing_condition_is_named(make_task):
    task = make_task("joint", without=("depth_fg",))
    with pytest.raises(UsageError, match="depth_fg"):
        task.loss(task.batch(INDICES), torch.Generator().manual_seed(0))
