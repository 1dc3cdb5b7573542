"""The game: each loss moves its own side; an interrupted run ends where a whole one does."""

import pytest
import torch

from compose_core.errors import UsageError
from compose_core.train import TrainConfig, train
from compose_tlam.testing import RandomSamples, tiny_painter
from compose_tlam.training import CODE, PAPER, Game, GameTask
from compose_tlam.training.game import discriminator_for


class Pixels:
    """A trunk of nothing: the pictures themselves, and half of them."""

    weights = (1.0, 0.5)

    def __call__(self, pictures):
        return [pictures, pictures[..., ::2]]


def task(game=None, merger="tlam", generator="asap", **options):
    game = game or Game(sparsity=0.5)
    painter = tiny_painter(merger, generator, **options)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(1)
        opponent = discriminator_for(painter, game, narrow=4, layers=2)
    return GameTask(painter, opponent, RandomSamples(), game, Pixels())


def losses_of(made):
    indices = torch.tensor([0, 3, 7])
    batch = made.batch(indices)
    return made.loss(batch, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("generator", ["asap", "spade"])
@pytest.mark.parametrize("merger", ["tlam", "clam", "poe", "concatenation"])
def test_every_weight_learns(merger, generator):
    made = task(merger=merger, generator=generator)
    total, logs = losses_of(made)
    total.backward()
    idle = [
        name
        for module in made.modules.values()
        for name, p in module.named_parameters()
        if p.requires_grad and p.grad is None
    ]
    assert not idle and set(logs) == {"fooling", "matching", "perceptual", "discriminator"}
    assert sum(logs.values()) == pytest.approx(total.item(), rel=1e-4)


def test_each_side_moves_for_its_own_loss_only():
    game = Game(matching=0.0, perceptual=0.0)
    grads = {}
    for name in ("both", "without fooling"):
        made = task(game)
        total, _ = losses_of(made)
        if name == "without fooling":
            # What the discriminator alone would feel.
            batch = made.batch(torch.tensor([0, 3, 7]))
            stack = made._thinned(
                __import__("compose_tlam.training.game", fromlist=["unpack"]).unpack(
                    made.painter.labels, batch
                ),
                batch["areas"],
                torch.Generator().manual_seed(0),
            )
            with torch.no_grad():
                concept = made.painter.merger(stack)
                fake = made.painter.generator(concept)
            judged = made.discriminator(
                concept.repeat(2, 1, 1, 1), torch.cat([fake, batch["picture"]])
            )
            total = torch.stack(
                [
                    (1 - maps[-1][3:]).relu().mean() + (1 + maps[-1][:3]).relu().mean()
                    for maps in judged
                ]
            ).mean()
        total.backward()
        grads[name] = made.discriminator.scales[0].parts[-1].weight.grad
    torch.testing.assert_close(grads["both"], grads["without fooling"], rtol=0.2, atol=1e-3)


def test_the_merger_may_please_the_discriminator_only_if_asked():
    found = {}
    for allowed in (False, True):
        made = task(Game(matching=0.0, perceptual=0.0, d_concept_grad=allowed))
        losses_of(made)[0].backward()
        found[allowed] = made.painter.merger.position.grad.clone()
    assert not torch.allclose(found[True], found[False])


def test_labels_as_condition():
    made = task(Game(d_condition="labels"))
    losses_of(made)[0].backward()
    # 16 channels, 5 maps of validity, 3 colours
    assert made.discriminator.scales[0].parts[0][0].in_channels == 24
    with pytest.raises(UsageError):
        Game(d_condition="labels", d_concept_grad=True)
    with pytest.raises(UsageError):
        Game(sparsity=1.2)


def test_mirrored_samples_are_mirrored():
    made = task()
    plain, turned = made.batch(torch.tensor([2])), made.batch(torch.tensor([7]))
    assert torch.equal(turned["picture"], plain["picture"].flip(-1))
    assert torch.equal(turned["areas"], plain["areas"].flip(-1))
    sign = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    assert torch.equal(turned["label.normals"], plain["label.normals"].flip(-1) * sign)


def config(**changes):
    values = {"steps": 4, "batch_size": 2, "lr": 1e-3, "warmup": 1, **PAPER, **changes}
    return TrainConfig(**{"checkpoint_every": 2, **values})


def test_an_interrupted_game_ends_where_a_whole_one_does(tmp_path):
    game = Game(sparsity=0.5, variable=True, whole=0.1)
    whole = task(game, noise=2)
    list(train(whole, config(), tmp_path / "whole"))
    first, second = task(game, noise=2), task(game, noise=2)
    for progress in train(first, config(), tmp_path / "parts"):
        if progress.step == 2:
            break
    list(train(second, config(), tmp_path / "parts"))
    for name, module in whole.modules.items():
        other = second.modules[name].state_dict()
        for key, value in module.state_dict().items():
            assert torch.equal(value, other[key]), key


def test_the_discriminator_learns_at_its_own_rate(tmp_path):
    made = task(Game(discriminator_rate=1e-9, perceptual=0.0))
    before = made.discriminator.scales[0].parts[0][0].weight.clone()
    moved = made.painter.generator.predict.weight.clone()
    list(train(made, config(), tmp_path))
    assert torch.allclose(made.discriminator.scales[0].parts[0][0].weight, before, atol=1e-7)
    assert not torch.allclose(made.painter.generator.predict.weight, moved, atol=1e-5)


def test_presets_differ_in_one_number():
    assert {k for k in PAPER if PAPER[k] != CODE[k]} == {"betas"}
