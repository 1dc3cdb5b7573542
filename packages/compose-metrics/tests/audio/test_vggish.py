import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from compose_core.errors import ShapeError, UsageError, WeightsError
from compose_metrics.audio.log_mel import log_mel, mel, mel_matrix, patches
from compose_metrics.audio.vggish import VGGish, VGGishNet, flattened
from compose_metrics.result import Source


def noise(samples, seed=0):
    return 0.3 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def scalar_mel(hertz):
    return 1127 * math.log(1 + hertz / 700)


def scalar_log_mel(x, frame):
    """One frame, written out from the description, with numpy's transform."""
    cut = [x[160 * frame + i] * (0.5 - 0.5 * math.cos(2 * math.pi * i / 400)) for i in range(400)]
    magnitude = np.abs(np.fft.rfft(np.array(cut), 512))
    low, high = scalar_mel(125), scalar_mel(7500)
    edges = [low + (high - low) * i / 65 for i in range(66)]
    bands = []
    for a, b, c in zip(edges, edges[1:], edges[2:], strict=False):
        total = 0.0
        for k, value in enumerate(magnitude):
            m = scalar_mel(8000 * k / 256)
            total += max(0.0, min((m - a) / (b - a), (c - m) / (c - b))) * value
        bands.append(math.log(total + 0.01))
    return bands


def test_the_front_end_is_the_one_described():
    x = noise(1600)
    frames = log_mel(x)
    assert frames.shape == (1 + (1600 - 400) // 160, 64)
    values = x.double().tolist()
    for frame in (0, 3, 7):
        assert frames[frame].tolist() == pytest.approx(scalar_log_mel(values, frame), abs=1e-10)


def test_the_triangles_are_straight_in_mel_unlike_torchaudios():
    functional = pytest.importorskip("torchaudio.functional")
    theirs = functional.melscale_fbanks(257, 125.0, 7500.0, 64, 16_000, mel_scale="htk").double()
    difference = (mel_matrix() - theirs).abs()
    # Flanks that are straight in Hz are slightly bent in mel; the bands themselves are the same.
    assert 1e-3 < float(difference.max()) < 1e-2
    assert float(mel_matrix()[0].max()) == 0 and float(mel_matrix().max()) <= 1
    assert float(mel(torch.tensor(700.0))) == pytest.approx(1127 * math.log(2))


def test_patches_follow_one_another_or_overlap():
    x = noise(3 * 16_000)
    port = patches(x)
    assert port.shape == (3, 1, 96, 64) and port.dtype == torch.float32
    torch.testing.assert_close(port[1, 0].double(), log_mel(x)[96:192], rtol=0, atol=1e-5)
    google = patches(x, "google")
    assert google.shape == (5, 1, 96, 64)
    # The level is divided by the highest sample of the whole sound.
    second = log_mel(x[8000:24_000] / x.max())[:96]
    torch.testing.assert_close(google[1, 0].double(), second, rtol=0, atol=1e-5)


def test_google_levels_loud_and_soft_sounds_alike_but_not_silence():
    x = noise(16_000)
    torch.testing.assert_close(patches(0.5 * x, "google"), patches(x, "google"))
    assert float((patches(0.5 * x) - patches(x)).abs().max()) > 0.5
    soft = 1e-3 * x / x.max()
    torch.testing.assert_close(patches(soft, "google")[0, 0].double(), log_mel(10 * soft)[:96])


def test_short_sounds_are_refused_with_the_minimum():
    assert len(patches(noise(15_600))) == 1
    with pytest.raises(ShapeError, match="too short") as caught:
        patches(noise(15_599))
    assert "15600" in str(caught.value)
    with pytest.raises(ShapeError, match="too short"):
        patches(noise(15_999), "google")
    with pytest.raises(UsageError, match="framing"):
        patches(noise(16_000), "half")


def test_the_network_has_the_ports_layout():
    with torch.device("meta"):
        net = VGGishNet()
    assert sum(p.numel() for p in net.parameters()) == 72_141_184
    kinds = ("weight", "bias")
    convs = {f"features.{i}.{kind}" for i in (0, 3, 6, 8, 11, 13) for kind in kinds}
    dense = {f"embeddings.{i}.{kind}" for i in (0, 2, 4) for kind in kinds}
    assert set(net.state_dict()) == convs | dense
    assert net.embeddings[0].weight.shape == (4096, 12_288)
    source = Source(id="random", sha256="", reference=False)
    with_relu = VGGish(net, source, last_relu=True)
    assert "before the last ReLU" in VGGish(net, source).transform
    assert "after the last ReLU" in with_relu.transform


def test_maps_are_flattened_channels_last():
    maps = torch.arange(2 * 3 * 2 * 2).view(2, 3, 2, 2)
    assert flattened(maps)[0].tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]


def test_other_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "home"))
    save_file({"features.0.weight": torch.ones(64, 1, 3, 3)}, tmp_path / "v.safetensors")
    with pytest.raises(WeightsError, match="not the weights of VGGish") as caught:
        VGGish.load(tmp_path / "v.safetensors")
    assert "17 missing" in str(caught.value)


@pytest.mark.parametrize("framing", ["torchvggish", "google"])
def test_devices_agree(framing, device):
    x = noise(20_000)
    there = patches(x.to(device), framing)
    torch.testing.assert_close(there.cpu(), patches(x, framing), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_port_is_read_and_computes_what_the_port_computes(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "home"))
    with torch.device("meta"):
        names = {name: t.shape for name, t in VGGishNet().state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.randn(shape, generator=generator) * (2 / max(1, math.prod(shape[1:]))) ** 0.5
        if len(shape) > 1
        else 0.1 * torch.randn(shape, generator=generator)
        for name, shape in names.items()
    }
    save_file({**state, "pproc.pca_means": torch.zeros(128, 1)}, tmp_path / "v.safetensors")
    loaded = VGGish.load(tmp_path / "v.safetensors")
    assert loaded.source.metric("fad", "vggish") == "fad"

    x = noise(32_000)
    seen = patches(x)
    for i in (0, 3, 6, 8, 11, 13):
        seen = torch.nn.functional.conv2d(
            seen, state[f"features.{i}.weight"], state[f"features.{i}.bias"], padding=1
        ).relu()
        if i in (0, 3, 8, 13):
            seen = torch.nn.functional.max_pool2d(seen, 2)
    seen = seen.transpose(1, 3).transpose(1, 2).reshape(2, -1)
    for i in (0, 2, 4):
        seen = seen @ state[f"embeddings.{i}.weight"].T + state[f"embeddings.{i}.bias"]
        seen = seen.relu() if i < 4 else seen
    heard = loaded.embed(x)
    assert heard.shape == (2, 128) and (loaded.dim, loaded.rate) == (128, 16_000)
    assert float((heard[0] - heard[1]).abs().mean()) > 1e-2 and float(heard.min()) < 0
    torch.testing.assert_close(heard, seen, rtol=1e-4, atol=1e-5)
    google = VGGish.load(tmp_path / "v.safetensors", framing="google")
    assert google.source.metric("fad", "vggish") == "fad@vggish-google"
