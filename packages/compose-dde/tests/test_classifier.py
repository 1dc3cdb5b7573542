"""The judge of positions."""

import json

import pytest
import torch

from compose_core.errors import ShapeError, WeightsError
from compose_dde.classifier import CLEVR_CLASSIFIER, Classifier


@pytest.fixture
def small():
    torch.manual_seed(0)
    return Classifier(8, (1, 2)).eval()


def test_probabilities_are_those_of_the_pixel(small):
    x = torch.randn(2, 3, 16, 8)
    logits = small(x).detach()
    assert logits.shape == (2, 16, 8)
    positions = torch.tensor([[[0.0, 0.0], [0.99, 0.51]], [[1.0, 1.0], [0.3, 0.9]]])
    found = small.at(x, positions)
    wanted = [[logits[0, 0, 0], logits[0, 8, 7]], [logits[1, 15, 7], logits[1, 14, 2]]]
    assert torch.allclose(found, torch.tensor(wanted).sigmoid(), atol=1e-6)
    assert torch.equal(small.holds(x, positions), found >= 0.5)


def test_it_is_saved_in_half_precision_and_loaded(small, tmp_path):
    small.half().float()
    small.save(tmp_path)
    again = Classifier.load(tmp_path)
    x = torch.randn(1, 3, 16, 16)
    assert torch.equal(again(x), small(x)) and not again.training
    assert json.loads((tmp_path / "classifier.json").read_text())["multipliers"] == [1, 2]


def test_the_size_of_the_paper():
    """Appendix B.2.3 with the published UNet: 9.9M parameters."""
    with torch.device("meta"):
        size = sum(p.numel() for p in Classifier(**CLEVR_CLASSIFIER).parameters())
    assert size == pytest.approx(9.9e6, rel=0.03)


def test_what_does_not_fit_is_refused(small, tmp_path):
    with pytest.raises(ShapeError, match="do not fit"):
        small.at(torch.zeros(2, 3, 8, 8), torch.zeros(1, 3, 2))
    with pytest.raises(WeightsError, match="no classifier"):
        Classifier.load(tmp_path)
    small.save(tmp_path)
    (tmp_path / "classifier.json").write_text('{"width": 16, "multipliers": [1, 2]}')
    with pytest.raises(WeightsError):
        Classifier.load(tmp_path)
