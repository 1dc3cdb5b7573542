"""What the recipes train: losses that a perfect answer brings to zero, and steps that help."""

import math

import pytest
import torch

from compose_core.train import train
from compose_worlds.judge import Readings
from compose_zoo.recipes import (
    autoencoder,
    denoiser,
    eye,
    guide,
    noising,
    scores,
    stages,
    text,
    towers,
)


@pytest.fixture(scope="module")
def words():
    return text.tokenizer()


def _latents(count: int) -> torch.Tensor:
    return torch.randn(count, 4, 16, 16, generator=torch.Generator().manual_seed(0))


def _tokens(words, count: int) -> torch.Tensor:
    some = ["a red sphere on grass", "a blue cube on sand"] * count
    return words(some[:count], padding="max_length", return_tensors="pt").input_ids


def test_min_snr_weights_by_a_loop(words) -> None:
    """The denoiser's loss equals its formula, sample by sample (Hang et al. 2023, Eq. 5)."""
    task = denoiser.DenoiserTask(_latents(4), _tokens(words, 4 * denoiser.CAPTIONS), words)
    batch = task.batch(torch.arange(0, 16, 4))
    with torch.no_grad():
        value, _ = task.loss(batch, torch.Generator().manual_seed(1))
        dice = torch.Generator().manual_seed(1)
        dropped = torch.rand(4, generator=dice) < denoiser.DROPPED
        t = torch.randint(1000, (4,), generator=dice)
        eps = torch.randn(4, 4, 16, 16, generator=dice)
        total = 0.0
        for i in range(4):
            a2 = task.alphas[t[i]]
            tokens = task.empty if dropped[i] else batch["tokens"][i]
            x_t = a2.sqrt() * batch["latent"][i] + (1 - a2).sqrt() * eps[i]
            said = task.text(tokens[None]).last_hidden_state
            error = (task.unet(x_t[None], t[i], said).sample[0] - eps[i]).square().mean()
            snr = a2 / (1 - a2)
            total += float(min(snr, 5.0) / snr * error) / 4
    assert float(value) == pytest.approx(total, rel=1e-4)


def test_early_times_follow_their_law() -> None:
    """With t = T (1 - u^3), P(t < T / 2) = 1 - 0.5^(1/3) = 0.206; uniform times have 0.5."""
    alphas = denoiser.scheduler().alphas_cumprod
    x0 = torch.zeros(20_000, 1, 1, 1)
    for early, expected in ((0.0, 0.5), (0.5, 0.353), (1.0, 0.206)):
        drawn = noising.noised(x0, alphas, torch.Generator().manual_seed(3), early)
        assert float((drawn.t < 500).float().mean()) == pytest.approx(expected, abs=0.015)
        assert 0 <= int(drawn.t.min()) and int(drawn.t.max()) <= 999
        sigma = (1 - alphas[drawn.t]).sqrt()
        assert torch.allclose(drawn.x_t.flatten(), sigma * drawn.eps.flatten())


def test_the_second_round_starts_where_the_first_ended(words) -> None:
    first = denoiser.DenoiserTask(_latents(4), _tokens(words, 16), words)
    with torch.no_grad():
        for parameter in first.unet.parameters():
            parameter.add_(0.01)
    second = denoiser.DenoiserTask(_latents(8), _tokens(words, 32), words, denoiser.EARLY)
    second.start_from(first)
    batch = first.batch(torch.arange(4))
    losses = []
    with torch.no_grad():
        for task in (first, second):
            task.early = 0.0
            losses.append(task.loss(batch, torch.Generator().manual_seed(5))[0])
    assert torch.equal(*losses)


def test_a_perfect_judge_has_almost_no_loss() -> None:
    instance = torch.full((1, 16, 16), 255, dtype=torch.uint8)
    instance[0, 4:9, 4:9] = 0
    inside = instance != 255
    batch = {
        "instance": instance,
        "semantics": torch.where(inside, 3, 1).to(torch.uint8),
        "color": torch.where(inside, 2, 255).to(torch.uint8),
        "depth": torch.full((1, 16, 16), 0.25),
        "normals": torch.tensor([0.0, 1.0, 0.0])[None, :, None, None].expand(1, 3, 16, 16),
    }
    heat, offset = eye.targets(instance)
    sure = 30.0
    color = torch.where(inside, 3, 0)
    perfect = Readings(
        semantics=sure * torch.nn.functional.one_hot(batch["semantics"].long(), 9).movedim(-1, 1),
        color=sure * torch.nn.functional.one_hot(color, 9).movedim(-1, 1).float(),
        centre=torch.logit(heat.clamp(1e-6, 1 - 1e-6)),
        offset=offset,
        depth=batch["depth"][:, None],
        normals=batch["normals"],
    )
    _, parts = eye.loss(perfect, batch)
    for name in ("semantics", "color", "offset", "depth", "normals"):
        assert parts[name] == pytest.approx(0, abs=1e-5), name
    worse = Readings(**{**vars(perfect), "depth": perfect.depth + 1})
    assert eye.loss(worse, batch)[1]["depth"] == pytest.approx(2.0)


def test_offsets_point_to_the_mean_of_the_visible_pixels() -> None:
    instance = torch.full((1, 8, 8), 255, dtype=torch.uint8)
    instance[0, 1:4, 2:7] = 0
    instance[0, 5:8, 0:3] = 1
    heat, offset = eye.targets(instance)
    for number in (0, 1):
        y, x = (instance[0] == number).nonzero(as_tuple=True)
        at = (y + 0.5) / 8, (x + 0.5) / 8
        middle = at[0].mean(), at[1].mean()
        assert torch.allclose(at[1] + offset[0, 0, y, x], middle[1].expand(len(x)), atol=1e-6)
        assert torch.allclose(at[0] + offset[0, 1, y, x], middle[0].expand(len(y)), atol=1e-6)
        assert heat[0, 0, y, x].max() > 0.8
    assert bool((offset[:, :, instance[0] == 255] == 0).all())


def test_towers_share_the_credit_of_equal_captions(words) -> None:
    """With the same caption everywhere no picture can be told apart: the loss is log n."""
    task = object.__new__(towers.TowersTask)
    task.clip = towers.build(len(words))
    batch = {"picture": torch.randn(3, 3, 64, 64), "tokens": _tokens(words, 6)[0::2]}
    with torch.no_grad():
        value, logs = task.loss(batch, torch.Generator().manual_seed(0))
    assert float(value) >= math.log(3) - 1e-4
    assert logs["accuracy"] == 1.0


def test_a_fresh_controlnet_changes_nothing(words) -> None:
    """Zero convolutions: the guided loss starts as the loss of the frozen base."""
    unet, encoder = denoiser.build(), text.text_encoder(words)
    empty = torch.tensor(words("", padding="max_length").input_ids)
    task = guide.GuideTask(
        _latents(4), _tokens(words, 16), torch.rand(2, 64, 64), unet, encoder, empty
    )
    batch = task.batch(torch.arange(4))
    assert batch["map"].shape == (4, 3, 64, 64)
    with torch.no_grad():
        one, _ = task.loss(batch, torch.Generator().manual_seed(2))
        batch["map"] = torch.zeros_like(batch["map"])
        two, _ = task.loss(batch, torch.Generator().manual_seed(2))
    assert torch.equal(one, two)


def test_mirrored_latents_get_mirrored_depth(words) -> None:
    unet, encoder = denoiser.build(), text.text_encoder(words)
    empty = torch.tensor(words("", padding="max_length").input_ids)
    depth = torch.rand(2, 64, 64)
    task = guide.GuideTask(_latents(4), _tokens(words, 16), depth, unet, encoder, empty)
    batch = task.batch(torch.tensor([0, 8]))
    assert torch.equal(batch["map"][0], batch["map"][1].flip(-1))
    assert batch["map"].amin() == 0 and batch["map"].amax() == 1


@pytest.mark.slow
def test_a_recipe_trains_stops_and_resumes(tmp_path) -> None:
    """Ten steps of the autoencoder lower its error; the same folder has nothing more to do."""
    scenes = range(16)
    task = autoencoder.AutoencoderTask(tmp_path / "cache", scenes)
    first = next(iter(train(task, autoencoder.CONFIG, tmp_path / "probe"))).logs["mse"]
    task = autoencoder.AutoencoderTask(tmp_path / "cache", scenes)
    stages.run(task, autoencoder.CONFIG, tmp_path / "vae", steps=10)
    whole, objects = autoencoder.psnr(task.vae, task.data.float() / 127.5 - 1, task.objects != 255)
    assert whole > -10 * math.log10(first / 4)
    assert math.isfinite(objects)
    weights = {k: v.clone() for k, v in task.vae.state_dict().items()}
    again = autoencoder.AutoencoderTask(tmp_path / "cache", scenes)
    stages.run(again, autoencoder.CONFIG, tmp_path / "vae", steps=10)
    assert all(torch.equal(weights[k], v) for k, v in again.vae.state_dict().items())


def test_wilson_intervals() -> None:
    """Against values worked out by hand from Wilson's formula (1927)."""
    low, high = scores.Share(8, 10).interval
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert scores.Share(0, 5).interval[0] == pytest.approx(0, abs=1e-9)
    assert scores.Share(5, 5).interval[1] == pytest.approx(1, abs=1e-9)
