import pytest
import torch
from safetensors.torch import save_file

from compose_core.errors import ShapeError, WeightsError
from compose_metrics.aesthetic import LAYERS, WIDTHS, AestheticHead, AestheticScore, fold
from compose_metrics.pictures import as_saved
from compose_metrics.result import Source


def layers(widths=WIDTHS, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    found = {}
    for i, inside, outside in zip(LAYERS, widths, widths[1:], strict=False):
        draw = torch.randn(outside, inside + 1, generator=generator).to(dtype) / inside**0.5
        found[f"layers.{i}.weight"] = draw[:, :-1].contiguous()
        found[f"layers.{i}.bias"] = draw[:, -1].contiguous()
    return found


def unfolded(found):
    """The published stack: linear, dropout, linear, dropout, linear, dropout, linear, linear."""
    stack = []
    for i in LAYERS:
        weight = found[f"layers.{i}.weight"]
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
        layer.load_state_dict({"weight": weight, "bias": found[f"layers.{i}.bias"]})
        stack += [layer, torch.nn.Dropout(0.2)] if i < 6 else [layer]
    return torch.nn.Sequential(*stack).eval()


def test_folding_keeps_the_score():
    found = layers(dtype=torch.float64)
    x = torch.randn(5, 768, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 9
    head = AestheticHead(*fold(found), Source(id="laion-v2", sha256="", reference=False))
    with torch.no_grad():
        expected = unfolded(found)(x / x.norm(dim=1, keepdim=True))[:, 0]
    torch.testing.assert_close(head(x), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(head(3 * x), head(x), rtol=1e-12, atol=1e-12)


class Rows:
    """An encoder that reads the embedding out of the picture."""

    def __init__(self, reference):
        self.source = Source(id="ViT-L-14-quickgelu", sha256="", reference=reference)

    size, transform = 16, "none"

    def encode_pictures(self, pictures):
        return pictures.flatten(1)


def test_the_score_is_a_mean_with_the_name_of_its_head(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "home"))
    save_file(layers(), tmp_path / "head.safetensors")
    head = AestheticHead.load(tmp_path / "head.safetensors")
    metric = AestheticScore(Rows(reference=True), head)
    pictures = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    metric.update(pictures)
    result = metric.compute()
    assert result.metric == "aesthetic" and result.extractor.sha256 == head.source.sha256
    torch.testing.assert_close(result.per_sample, head(as_saved(pictures).flatten(1)))
    in_house = AestheticScore(Rows(reference=False), head)
    assert in_house.id == "aesthetic@laion-v2+ViT-L-14-quickgelu"


def test_the_bare_name_needs_the_clip_of_the_head(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "home"))
    save_file(layers(), tmp_path / "head.safetensors")
    head = AestheticHead.load(tmp_path / "head.safetensors")
    encoder = Rows(reference=True)
    assert AestheticScore(encoder, head).id == "aesthetic"
    encoder.source = Source(id="ViT-L-14", sha256="", reference=True)  # LAION's, of the same width
    assert AestheticScore(encoder, head).id == "aesthetic@laion-v2+ViT-L-14"
    encoder.source = Source(id="ViT-L-14-quickgelu", sha256="", reference=True)
    other = AestheticHead(*fold(layers()), Source("mine", "", False))
    assert AestheticScore(encoder, other).id == "aesthetic@mine"


def test_other_heads_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "home"))
    save_file(layers((512, *WIDTHS[1:])), tmp_path / "small.safetensors")
    with pytest.raises(WeightsError, match="not the aesthetic head"):
        AestheticHead.load(tmp_path / "small.safetensors")
    with pytest.raises(WeightsError, match="fit together"):
        fold({**layers(), "layers.4.weight": torch.ones(64, 127)})
    with pytest.raises(WeightsError, match="one output"):
        fold({"layers.0.weight": torch.ones(2, 3), "layers.0.bias": torch.ones(2)})
    with pytest.raises(ShapeError, match="not of the head's CLIP"):
        AestheticHead(*fold(layers()), Source("x", "", False))(torch.ones(1, 512))
