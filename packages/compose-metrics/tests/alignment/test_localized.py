import pytest
import torch

from compose_core.errors import ShapeError, UsageError
from compose_metrics.alignment.localized import (
    GREY_BOX,
    PAPER,
    Crop,
    LocalizedSemantics,
    show_region,
)
from compose_metrics.result import Source

RED, BLUE = torch.tensor([1.0, -1, -1]), torch.tensor([-1.0, -1, 1])


class MeanColour:
    """Mean colour over black: what a region contributes, whatever its size."""

    source = Source(id="mean", sha256="", reference=False)
    size, transform = 16, "mean"

    def encode_pictures(self, pictures):
        return ((pictures + 1) / 2).mean((2, 3))


def field(colour, size=16):
    return colour.view(1, 3, 1, 1).expand(1, 3, size, size).clone()


def halves(left, right, size=16):
    picture = field(right, size)
    picture[..., : size // 2] = left.view(1, 3, 1, 1)
    mask = torch.zeros(1, size, size)
    mask[..., : size // 2] = 1
    return picture, mask


def test_localised_semantics_give_the_identity_matrix():
    picture, mask = halves(RED, BLUE)
    metric = LocalizedSemantics(MeanColour())
    metric.update(picture, mask, field(RED), field(BLUE))
    result = metric.compute()
    assert result.value == pytest.approx(1)
    expected = {"fg_fg": 1, "fg_bg": 0, "bg_fg": 0, "bg_bg": 1, "margin": 1}
    assert dict(result.parts) == pytest.approx(expected, abs=1e-6)
    assert result.metric == "localized_clip@mean" and result.n == 1


def test_semantics_in_the_wrong_place_turn_the_margin():
    picture, mask = halves(RED, BLUE)
    metric = LocalizedSemantics(MeanColour())
    metric.update(picture, 1 - mask, field(RED), field(BLUE))
    assert metric.compute().value == pytest.approx(0, abs=1e-6)
    assert metric.compute().parts["margin"] == pytest.approx(-1)


def test_a_picture_that_is_both_everywhere_scores_but_has_no_margin():
    _, mask = halves(RED, BLUE)
    metric = LocalizedSemantics(MeanColour())
    metric.update(field((RED + BLUE) / 2), mask, field(RED), field(BLUE))
    assert metric.compute().value == pytest.approx(0.5**0.5)
    assert metric.compute().parts["margin"] == pytest.approx(0, abs=1e-6)


def test_the_value_is_the_papers_mean_of_two_cosines():
    generator = torch.Generator().manual_seed(0)
    picture, fg, bg = (torch.rand(3, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(3))
    mask = (torch.rand(3, 16, 16, generator=generator) > 0.5).float()
    encode, cos = MeanColour().encode_pictures, torch.nn.functional.cosine_similarity
    # On [0, 1] the paper's product with the mask is black outside.
    inside, outside = (((picture + 1) / 2 * m[:, None]) * 2 - 1 for m in (mask, 1 - mask))
    expected = (cos(encode(inside), encode(fg)) + cos(encode(outside), encode(bg))) / 2
    metric = LocalizedSemantics(MeanColour())
    metric.update(picture, mask[:, None], fg, bg)
    torch.testing.assert_close(metric.compute().per_sample.float(), expected)


def test_a_box_shows_the_region_large_and_square():
    picture, mask = field(BLUE)[0], torch.zeros(16, 16)
    picture[:, 4:8, 2:10] = RED.view(3, 1, 1)
    mask[4:8, 2:10] = 1
    shown = show_region(picture, mask, Crop("box", fill=0.5), 16)
    assert shown.shape == (3, 16, 16)
    # The box is 4 x 8: a quarter of grey above and below the red.
    assert shown[0, 8].mean() > 0.99 and shown[0, 1].abs().max() < 0.05
    whole = show_region(picture, mask, PAPER, 16)
    assert torch.equal(whole[:, 4:8, 2:10], picture[:, 4:8, 2:10])
    assert float(whole[:, 0].max()) == -1
    grown = show_region(picture, mask, Crop("box", padding=0.5), 16)
    assert (grown[0] > 0).float().mean() < (shown[0] > 0.5).float().mean()


def test_the_crop_is_part_of_what_is_measured():
    paper, box = LocalizedSemantics(MeanColour()), LocalizedSemantics(MeanColour(), GREY_BOX)
    assert paper.params()["crop"] == {"frame": "picture", "fill": 0.0, "padding": 0.0}
    picture, mask = halves(RED, BLUE)
    box.update(picture, mask, field(RED), field(BLUE))
    with pytest.raises(UsageError, match="not one of"):
        paper.merge(box)


def test_bad_input_is_named():
    picture, mask = halves(RED, BLUE)
    metric = LocalizedSemantics(MeanColour())
    with pytest.raises(ShapeError, match="region is empty"):
        metric.update(picture, torch.ones(1, 16, 16), field(RED), field(BLUE))
    with pytest.raises(ShapeError, match="do not fit"):
        metric.update(picture, mask[:, :8], field(RED), field(BLUE))
    with pytest.raises(ShapeError, match="wrong range"):
        metric.update(picture, 2 * mask, field(RED), field(BLUE))
    with pytest.raises(ShapeError, match="two exemplars"):
        metric.update(picture, mask, field(RED).repeat(2, 1, 1, 1), field(BLUE))
    with pytest.raises(UsageError, match="no crop"):
        Crop(fill=2)
    with pytest.raises(UsageError, match="frame"):
        Crop("circle")
    assert metric.n == 0


def test_devices_agree(device):
    picture, mask = halves(RED, BLUE)
    metric = LocalizedSemantics(MeanColour(), GREY_BOX)
    metric.update(*(x.to(device) for x in (picture, mask, field(RED), field(BLUE))))
    here = LocalizedSemantics(MeanColour(), GREY_BOX)
    here.update(picture, mask, field(RED), field(BLUE))
    assert metric.compute().value == pytest.approx(here.compute().value, abs=1e-6)
