"""Exemplars to embeddings: what the network sees, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from compose_cnc.exemplars import Preprocess, as_picture
from compose_cnc.testing import EMBEDDING, draw, tiny_encoder
from compose_core.errors import ShapeError, WeightsError


def picture(height=40, width=28, seed=0):
    colours = draw(5, 4, 3, seed=seed, uniform=True).numpy()
    small = Image.fromarray((colours * 255).astype("uint8"))
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR)) / 255


@pytest.mark.parametrize("size", [(40, 28), (28, 40), (33, 33)])
def test_it_prepares_pictures_as_pil_does(size):
    colours = picture(*size)
    ours = Preprocess(size=16, crop=12)
    short = min(size)
    shape = [16 * side // short for side in size]
    image = Image.fromarray((colours * 255).round().astype("uint8"))
    image = image.resize(shape[::-1], Image.Resampling.BICUBIC)
    top, left = ((side - 12) // 2 for side in shape)
    values = np.asarray(image)[top : top + 12, left : left + 12] / 255
    want = (values - np.array(ours.mean)) / np.array(ours.std)
    got = ours(as_picture(colours))[0].movedim(0, -1).numpy()
    assert np.abs(got - want).max() < 0.03  # two roundings to 256 levels, over std


@torch.no_grad()
def test_embeddings_are_projected_and_not_normalised():
    encoder, pictures = tiny_encoder(), as_picture(picture(16, 16))
    out = encoder.network(pixel_values=encoder.preprocess(pictures))
    assert torch.equal(encoder.encode(pictures), out.image_embeds)
    assert encoder.dim == EMBEDDING == out.image_embeds.shape[1]


def test_pictures_of_different_sizes_in_one_call():
    encoder = tiny_encoder()
    pictures = [as_picture(picture(*size, seed=i)) for i, size in enumerate([(20, 30), (16, 16)])]
    both = encoder.encode([x[0] for x in pictures])
    for row, alone in zip(both, pictures, strict=True):
        torch.testing.assert_close(row, encoder.encode(alone)[0], atol=1e-5, rtol=1e-4)


def test_the_config_is_that_of_transformers_and_comes_back():
    ours = Preprocess(64, 48, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert Preprocess.from_config(json.loads(json.dumps(ours.config()))) == ours
    assert Preprocess.from_config({}) == Preprocess()
    assert Preprocess.from_config({"size": 32, "crop_size": 32}).size == 32
    for wrong in (
        {"do_center_crop": False},
        {"size": {"height": 3, "width": 4}},
        {"crop_size": {"height": 3, "width": 4}},
        {"image_mean": [0.5]},
    ):
        with pytest.raises(WeightsError, match="preprocessing"):
            Preprocess.from_config(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(1, 1, 8, 8),
        torch.zeros(1, 4, 8, 8),
        torch.zeros(3, 8, 8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        torch.full((1, 3, 8, 8), math.nan),
        torch.full((1, 3, 8, 8), 255.0),
    ],
    ids=["grey", "alpha", "no batch", "bytes", "nan", "range"],
)
def test_what_is_no_picture_is_refused(wrong):
    with pytest.raises(ShapeError, match="exemplar"):
        tiny_encoder().encode(wrong)


def test_no_picture_at_all_is_refused():
    with pytest.raises(ShapeError, match="at least one"):
        tiny_encoder().encode([])


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (2, 101)])
def test_a_thread_is_no_exemplar(shape):
    """Its long side would become enormous before the middle is cut out."""
    with pytest.raises(ShapeError, match="narrow"):
        Preprocess(size=224, crop=224)(torch.zeros(1, 3, *shape))
    assert Preprocess(size=8, crop=8)(torch.zeros(1, 3, 2, 100)).shape == (1, 3, 8, 8)
