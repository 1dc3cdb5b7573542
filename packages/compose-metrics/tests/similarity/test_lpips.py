import warnings

import pytest
import torch

from compose_core.errors import ShapeError, WeightsError
from compose_metrics.pictures import as_saved
from compose_metrics.reference.lpips_trunk import CHANNELS, ImageNetTrunk, packaged_heads
from compose_metrics.result import Source
from compose_metrics.similarity.lpips import LPIPS, perceptual_distance


class TinyTrunk(torch.nn.Module):
    channels = (4, 6)
    source = Source(id="tiny", sha256="", reference=False)

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.w = [torch.randn(c, 3, 3, 3, generator=generator) for c in self.channels]

    def forward(self, pictures):
        return [torch.nn.functional.conv2d(pictures, w).relu() for w in self.w]


def pictures(n=2, size=64, seed=1):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def package(net):
    lpips = pytest.importorskip("lpips")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision deprecated an argument that lpips uses
        with torch.random.fork_rng(devices=[]):
            return lpips.LPIPS(net=net, pnet_rand=True, verbose=False)


@pytest.mark.parametrize("net", ["alex", pytest.param("vgg", marks=pytest.mark.slow)])
def test_it_equals_the_package_with_the_same_trunk(net):
    theirs = package(net)
    trunk = ImageNetTrunk(net)
    layers = {
        f"features.{name.split('.', 1)[1]}": t for name, t in theirs.net.state_dict().items()
    }
    trunk.load_state_dict(layers, strict=True)
    heads = packaged_heads(net)
    for k, head in enumerate(heads):  # read from the same file, in another way
        assert torch.equal(head, theirs.lins[k].model[1].weight.flatten())
    a, b = pictures(), pictures(seed=2)
    with torch.no_grad():
        expected = theirs(a, b).flatten()
        ours = perceptual_distance(a, b, trunk, heads)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7)


def test_the_heads_are_of_the_published_widths():
    pytest.importorskip("lpips")
    for net in ("alex", "vgg"):
        heads = packaged_heads(net)
        assert tuple(len(head) for head in heads) == CHANNELS[net]
        assert all(bool((head >= 0).all()) for head in heads)


def test_uniform_heads_are_the_mean_squared_difference_of_directions():
    trunk, a, b = TinyTrunk(), pictures(), pictures(seed=2)
    expected = torch.zeros(2)
    for x, y in zip(trunk(a), trunk(b), strict=True):
        # |u - v|^2 = 2 - 2 cos for directions; 1 where one of them is zero.
        cos = torch.nn.functional.cosine_similarity(x, y, dim=1, eps=1e-10)
        lengths = (x.norm(dim=1) > 0).float() + (y.norm(dim=1) > 0).float()
        expected += (lengths - 2 * cos).mean((1, 2))
    ours = perceptual_distance(a, b, trunk)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_it_is_a_symmetric_distance_of_each_pair():
    trunk, a, b = TinyTrunk(), pictures(3), pictures(3, seed=2)
    metric = LPIPS(trunk, [torch.ones(4), torch.ones(6)])
    metric.update(a, b)
    result = metric.compute()
    assert result.metric == "lpips@tiny" and not result.higher_is_better
    torch.testing.assert_close(
        result.per_sample.float(),
        perceptual_distance(as_saved(b), as_saved(a), trunk),
        rtol=1e-5,
        atol=1e-6,
    )
    assert float(perceptual_distance(a, a, trunk).abs().max()) == 0


def test_the_name_tells_trunks_and_heads_apart():
    assert LPIPS(ImageNetTrunk("alex"), None).id == "lpips@alex-random"
    published = ImageNetTrunk("alex", Source(id="alex", sha256="0" * 64, reference=True))
    heads = [torch.ones(c) for c in CHANNELS["alex"]]
    assert LPIPS(published, heads).id == "lpips@alex"
    assert LPIPS(published, None).id == "lpips-uniform@alex"
    other = [2 * head for head in heads]
    assert LPIPS(published, heads).params() != LPIPS(published, other).params()


def test_what_the_package_lets_pass_is_refused():
    trunk, a = TinyTrunk(), pictures()
    with pytest.raises(ShapeError, match="range"):
        perceptual_distance(255 * (a + 1) / 2, a, trunk)
    with pytest.raises(ShapeError, match="reference pictures"):
        perceptual_distance(a, a * float("nan"), trunk)
    with pytest.raises(ShapeError, match="cannot be compared"):
        perceptual_distance(a, a[:1], trunk)
    with pytest.raises(WeightsError, match="heads do not fit"):
        LPIPS(trunk, [torch.ones(4)])


def test_the_trunk_may_stand_on_another_device(device):
    with torch.random.fork_rng(devices=[]):
        trunk = ImageNetTrunk("alex")
    a, b = pictures(), pictures(seed=2)
    heads = [torch.ones(c) for c in CHANNELS["alex"]]
    with torch.no_grad():
        here = perceptual_distance(a, b, trunk, heads)
        there = perceptual_distance(a, b, trunk.to(device), heads)
    torch.testing.assert_close(there.cpu(), here, rtol=1e-2, atol=1e-5)
