import pytest
import torch
from safetensors.torch import save_file

from compose_core.errors import UsageError, WeightsError
from compose_metrics.alignment.clip_score import CLIPScore, cosines
from compose_metrics.reference.clip import MEAN, STD, OpenClip, build, tokeniser
from compose_metrics.result import Source

open_clip = pytest.importorskip("open_clip")
SMALL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """A small architecture in open_clip's tables, under the name that is asked for."""
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "home"))
    other = {**SMALL, "embed_dim": 24, "quick_gelu": True}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "small-clip", SMALL)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "other-clip", other)


@pytest.fixture
def network():
    with torch.random.fork_rng(devices=[]):
        return open_clip.CLIP(**SMALL).eval()


def pictures(n=2, height=48, width=40):
    """Smooth ones away from the ends: where bicubic overshoots, programs clamp at other stages."""
    coarse = torch.rand(n, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (fine * 255).round().to(torch.uint8)


def test_it_equals_open_clips_own_path(network):
    from PIL import Image

    clip = OpenClip(network, tokeniser("small-clip"), Source("small", "", False), size=32)
    theirs = open_clip.image_transform(32, is_train=False, mean=MEAN, std=STD)
    shown = torch.stack([theirs(Image.fromarray(p.permute(1, 2, 0).numpy())) for p in pictures()])
    # It rounds the resized picture to 8 bits again; we do not.
    assert float((clip.prepare(pictures()) - shown).abs().max()) < 1.01 / 255 / min(STD)
    texts = ["a red cube on a table", "two cats"]
    words = open_clip.tokenize(texts)
    with torch.no_grad():
        expected = network.encode_text(words)
        image = network.encode_image(clip.prepare(pictures()))
    encoded = clip.encode_texts(texts)
    torch.testing.assert_close(encoded.embeddings, expected)
    metric = CLIPScore(clip, scale=100)
    metric.update(pictures(), texts)
    torch.testing.assert_close(
        metric.compute().per_sample, 100 * cosines(image, expected), rtol=1e-5, atol=1e-4
    )
    assert metric.id == "clip@small"


def test_long_texts_are_reported(network):
    clip = OpenClip(network, tokeniser("small-clip"), Source("small", "", False), size=32)
    fits, cut = "cat " * 75, "cat " * 76
    assert clip.encode_texts([fits, cut, "cat"]).truncated.tolist() == [False, True, False]


def test_published_weights_come_from_a_file(network, tmp_path):
    path = tmp_path / "open_clip_model.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    before = torch.random.get_rng_state()
    clip = OpenClip.load("small-clip", path)
    assert torch.equal(before, torch.random.get_rng_state())
    assert clip.source.reference and clip.source.id == "small-clip" and clip.size == 32
    assert "; GELU" in clip.transform
    with torch.no_grad():
        expected = network.encode_image(clip.prepare(pictures()))
    assert torch.equal(clip.encode_pictures(pictures()), expected)
    with pytest.raises(WeightsError, match="not the weights of other-clip"):
        OpenClip.load("other-clip", path)
    with pytest.raises(UsageError, match="no such architecture"):
        OpenClip.load("hf-hub:a/b", path)


def test_the_kind_of_gelu_is_part_of_the_transform():
    assert build("small-clip")[2] is False and build("other-clip")[2] is True
    assert open_clip.get_model_config("ViT-B-32-quickgelu")["quick_gelu"] is True
    assert not open_clip.get_model_config("ViT-B-32").get("quick_gelu")
