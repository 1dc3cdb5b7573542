import pytest
import torch
from safetensors.torch import save_file

from compose_core.errors import UsageError, WeightsError
from compose_metrics.reference.inception import Inception2015, InceptionNet, resize_tf1
from compose_metrics.result import Source

SOURCE = Source(id="inception-random", sha256="", reference=False)


def network():
    """Random weights that keep the scale of what passes; the same on every call."""
    with torch.device("meta"):
        net = InceptionNet()
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(tensor.shape, generator=generator)
        elif name.endswith("bn.weight"):
            state[name] = 0.8 + 0.4 * torch.rand(tensor.shape, generator=generator)
        elif tensor.dim() == 1:
            state[name] = 0.1 * torch.randn(tensor.shape, generator=generator)
        else:
            fan = tensor[0].numel()
            state[name] = torch.randn(tensor.shape, generator=generator) * (2 / fan) ** 0.5
    net.load_state_dict(state, assign=True)
    return net.eval()


def bytes_(n=2, size=64):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, 3, size, size), generator=generator, dtype=torch.uint8)


def test_it_equals_torch_fidelity_with_the_same_weights(monkeypatch):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    net, pictures = network(), bytes_()
    pictures[1] = pictures[1] // 2 + 40
    monkeypatch.setattr(module, "load_state_dict_from_url", lambda *a, **k: net.state_dict())
    names = ["2048", "logits_unbiased"]
    with torch.random.fork_rng(devices=[]):
        theirs = module.FeatureExtractorInceptionV3("inception", names)
    expected, logits = theirs(pictures)
    ours = Inception2015(net, SOURCE, "tf1").extract(pictures)
    # What tells the pictures apart is large against what tells the programs apart.
    signal = float((expected[0] - expected[1]).abs().mean())
    assert float((ours.features - expected).abs().max()) < 1e-3 * signal
    signal = float((logits[0] - logits[1]).abs().mean())
    assert float((ours.logits - logits).abs().max()) < 1e-3 * signal


def test_the_clean_resize_gives_other_features_and_another_name():
    net, pictures = network(), bytes_(1)
    clean, old = (Inception2015(net, SOURCE, how) for how in ("clean", "tf1"))
    a, b = clean.extract(pictures).features, old.extract(pictures).features
    assert a.shape == b.shape == (1, 2048)
    assert float((a - b).abs().mean()) > 1e-2 * float(a.abs().mean())
    assert clean.transform != old.transform
    assert "TensorFlow 1" in old.transform and "bicubic" not in old.transform


def test_it_has_the_published_size_and_names():
    with torch.device("meta"):
        net = InceptionNet()
    assert sum(p.numel() for p in net.parameters()) == 23_850_960
    names = net.state_dict()
    assert len(names) == 94 * 6 + 2
    assert names["Mixed_6e.branch7x7dbl_5.conv.weight"].shape == (192, 192, 1, 7)
    assert names["Mixed_7c.branch3x3dbl_3b.bn.running_mean"].shape == (384,)
    assert names["fc.weight"].shape == (1008, 2048)


def test_it_is_read_from_safetensors_only(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "home"))
    net = network()
    save_file(net.state_dict(), tmp_path / "inception.safetensors")
    loaded = Inception2015.load(tmp_path / "inception.safetensors")
    assert loaded.source.metric("fid", "inception-2015") == "fid"
    assert len(loaded.source.sha256) == 64
    old = Inception2015.load(tmp_path / "inception.safetensors", "tf1")
    assert old.source.metric("fid", "inception-2015") == "fid@inception-2015-tf1"
    assert torch.equal(loaded.network.fc.weight, net.fc.weight)
    torch.save(net.fc.state_dict(), tmp_path / "weights-inception-2015-12-05-6726825d.pth")
    with pytest.raises(WeightsError, match="pickled"):
        Inception2015.load(tmp_path / "weights-inception-2015-12-05-6726825d.pth")
    with pytest.raises(UsageError, match="resizing"):
        Inception2015(net, SOURCE, "bilinear")


def test_the_old_resize_aligns_corners_of_pixels():
    x = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 3, 4, 4)
    doubled = resize_tf1(x, 8)
    # Pixel i is read at i / 2; the last has no right neighbour and repeats.
    expected = torch.tensor([0, 0.5, 1, 1.5, 2, 2.5, 3, 3])
    torch.testing.assert_close(doubled[0, 0, 0], expected)
    torch.testing.assert_close(resize_tf1(doubled, 4), x)
