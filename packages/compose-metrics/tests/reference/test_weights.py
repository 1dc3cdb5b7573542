import hashlib

import pytest
import torch
from safetensors.torch import save_file

from compose_core.errors import UsageError, WeightsError
from compose_metrics.reference.lpips_trunk import ImageNetTrunk, read_heads
from compose_metrics.weights import HubFile, fill, locate, read


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def saved(path, **tensors):
    save_file({name.replace("_", "."): t for name, t in tensors.items()}, path)
    return path


def test_a_file_is_named_by_its_bytes(tmp_path):
    path = saved(tmp_path / "w.safetensors", weight=torch.ones(2))
    found = read(path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert torch.equal(found.tensors["weight"], torch.ones(2))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_pickles_are_not_opened_whatever_they_are_called(tmp_path, name):
    torch.save({"weight": torch.ones(2)}, tmp_path / name)
    with pytest.raises(WeightsError, match="pickled") as caught:
        read(tmp_path / name)
    assert "save_file" in str(caught.value)


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(WeightsError, match="do not exist"):
        read(tmp_path / "none.safetensors")
    path = saved(tmp_path / "w.safetensors", weight=torch.ones(200))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(WeightsError, match="cannot be read"):
        read(path)


def test_a_revision_must_be_a_commit():
    for revision in ("main", "v1.0", "ABCDEF" + "0" * 34, "0" * 39):
        with pytest.raises(UsageError, match="not pinned"):
            HubFile(repo="a/b", revision=revision, name="w.safetensors")
    with pytest.raises(UsageError, match="sha256"):
        HubFile(repo="a/b", revision="0" * 40, name="w.safetensors", sha256="12")


def test_a_pinned_file_comes_from_the_cache_and_is_checked(tmp_path, monkeypatch):
    path = saved(tmp_path / "w.safetensors", weight=torch.ones(2))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    pinned = HubFile(repo="a/b", revision="0" * 40, name="w.safetensors", sha256=digest)
    assert locate(pinned) == path
    wrong = HubFile(repo="a/b", revision="0" * 40, name="w.safetensors", sha256="1" * 64)
    with pytest.raises(WeightsError, match="wrong bytes"):
        locate(wrong)


def test_offline_the_error_names_the_file(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(WeightsError, match=r"a/b/w.safetensors could not be fetched"):
        locate(HubFile(repo="a/b", revision="0" * 40, name="w.safetensors"))


def test_a_network_is_filled_completely_or_not_at_all(tmp_path):
    good = {"weight": torch.ones(2, 3).half(), "bias": torch.zeros(2)}
    path = saved(tmp_path / "w.safetensors", **good, extra=torch.ones(1))
    layer = torch.nn.Linear(3, 2, device="meta")
    with pytest.raises(WeightsError, match="these are not the weights") as caught:
        fill(layer, read(path), "the layer")
    assert "1 left over: ['extra']" in str(caught.value)
    fill(layer, read(path), "the layer", keep=lambda name: name != "extra")
    assert layer.weight.dtype == torch.float32 and not layer.weight.requires_grad
    with pytest.raises(WeightsError, match=r"another shape: \['weight'\]"):
        fill(torch.nn.Linear(4, 2), read(path), "the layer", keep=lambda n: n != "extra")


def test_a_trunk_is_read_from_a_classifiers_file(tmp_path):
    trunk = ImageNetTrunk("alex")
    weights = {**trunk.state_dict(), "classifier.6.bias": torch.zeros(1000)}
    save_file(weights, tmp_path / "alexnet.safetensors")
    loaded = ImageNetTrunk.load("alex", tmp_path / "alexnet.safetensors")
    assert loaded.source.reference and loaded.source.id == "alex"
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        for a, b in zip(trunk(x), loaded(x), strict=True):
            assert torch.equal(a, b)
    with pytest.raises(WeightsError, match="torchvision's vgg"):
        ImageNetTrunk.load("vgg", tmp_path / "alexnet.safetensors")


def test_the_trunks_have_the_published_sizes():
    def size(net):
        with torch.device("meta"):
            return sum(p.numel() for p in ImageNetTrunk(net).parameters())

    assert size("alex") == 2_469_696
    assert size("vgg") == 14_714_688


def test_heads_come_from_a_file_and_are_checked(tmp_path):
    heads = {f"lin{k}.model.1.weight": torch.rand(1, c, 1, 1) for k, c in enumerate((4, 6))}
    save_file(heads, tmp_path / "heads.safetensors")
    read_back = read_heads(tmp_path / "heads.safetensors", (4, 6))
    assert torch.equal(read_back[1], heads["lin1.model.1.weight"].flatten())
    with pytest.raises(WeightsError, match="not the heads of this trunk"):
        read_heads(tmp_path / "heads.safetensors", (4, 7))
    save_file({"lin0": -torch.ones(4)}, tmp_path / "negative.safetensors")
    with pytest.raises(WeightsError, match="not negative"):
        read_heads(tmp_path / "negative.safetensors", (4,))
