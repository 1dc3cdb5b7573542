"""The in-house ears, with random weights."""

import pytest
import torch
from safetensors.torch import save_file

from compose_core.errors import ShapeError, WeightsError
from compose_metrics.audio import ears
from compose_metrics.audio.ears import Ears, EarsNet
from compose_metrics.audio.fad import FAD


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    state = {k: v.half().contiguous() for k, v in EarsNet().state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def sounds(n, length, seed=0):
    return 0.1 * torch.randn(n, length, generator=torch.Generator().manual_seed(seed))


def test_patches_overlap_by_half_and_start_where_they_should():
    step = ears.STEP * ears.HOP
    x = sounds(1, ears.SHORTEST + 2 * step + 5)[0]
    seen = ears.patches(x)
    assert seen.shape == (3, 1, ears.FRAMES, ears.BANDS)
    assert torch.allclose(seen[1], ears.patches(x[step:])[0], atol=1e-5)
    assert torch.allclose(seen[0, :, ears.STEP :], seen[1, :, : ears.STEP], atol=1e-5)


def test_a_tone_lights_its_band():
    t = torch.arange(ears.SHORTEST) / ears.RATE
    places = [
        int(ears.patches(torch.sin(2 * torch.pi * hertz * t))[0, 0].mean(0).argmax())
        for hertz in (100.0, 300.0, 900.0, 1800.0)
    ]
    assert places == sorted(set(places)) and places[0] < 5 and places[-1] > 35
    silence = ears.patches(torch.zeros(ears.SHORTEST))
    assert torch.allclose(silence, torch.tensor(ears.OFFSET).log())


def test_fad_at_tiny(weights):
    metric = FAD(Ears.load(weights))
    real, other = sounds(6, 40_000), sounds(6, 40_000, 1)
    metric.update(other, real, rate=ears.RATE)
    loud = FAD(Ears.load(weights))
    loud.update(4 * other, real, rate=ears.RATE)
    assert metric.id == "fad@tiny-v1" and metric.compute().n == 6
    assert loud.compute().value > metric.compute().value > 0
    assert not metric.compute().extractor.reference


def test_batches_do_not_matter(weights):
    heard = Ears.load(weights)
    x = sounds(1, ears.SHORTEST + 80 * ears.STEP * ears.HOP)[0]
    vectors = heard.embed(x)
    assert vectors.shape == (81, heard.dim)
    again = heard.embed(x[70 * ears.STEP * ears.HOP :])
    assert torch.allclose(vectors[70:], again, atol=1e-4)


def test_short_sounds_and_other_weights_are_refused(weights, tmp_path):
    with pytest.raises(ShapeError, match="too short"):
        Ears.load(weights).embed(torch.zeros(ears.SHORTEST - 1))
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError):
        Ears.load(tmp_path / "other.safetensors")
