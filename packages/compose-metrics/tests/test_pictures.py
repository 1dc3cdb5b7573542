import io

import numpy as np
import pytest
import torch
from PIL import Image

from compose_core.errors import ShapeError
from compose_metrics.pictures import as_bytes, as_saved, checked, resize


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def by_pil(picture, size):
    """Each channel as floats, as the reference implementation of clean resizing does it."""
    channels = [
        Image.fromarray(channel.numpy()).resize((size, size), Image.Resampling.BICUBIC)
        for channel in picture.float()
    ]
    return torch.from_numpy(np.stack([np.asarray(channel) for channel in channels]))


@pytest.mark.parametrize(("old", "new"), [(64, 29), (64, 299), (37, 36), (50, 100)])
def test_resize_is_that_of_pil(old, new):
    picture = (noise(1, 3, old, old) * 0.4) * 127.5  # no overshoot, levels of 255
    found = resize(picture.double() / 127.5, new)[0] * 127.5
    assert (found - by_pil(picture[0], new)).abs().max() < 5e-5
    single = resize(picture / 127.5, new)[0] * 127.5
    assert (single - by_pil(picture[0], new)).abs().max() < 3e-3


def test_resize_clamps_and_leaves_the_right_size_alone():
    steps = torch.ones(1, 3, 8, 8)
    steps[..., :4] = -1
    assert resize(steps, 20).abs().max() == 1
    assert resize(steps, 8) is steps
    assert resize(steps, (4, 6)).shape == (1, 3, 4, 6)


def test_without_antialiasing_a_picture_grows_differently():
    picture = noise(1, 3, 16, 16) * 0.4
    other = torch.nn.functional.interpolate(picture, 40, mode="bicubic", align_corners=False)
    assert ((other - resize(picture, 40)) * 127.5).abs().max() > 5


def test_torch_fidelity_resizes_differently():
    interpolate = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    levels = (noise(1, 3, 64, 64, seed=3) + 1) * 127.5
    theirs = interpolate.interpolate_bilinear_2d_like_tensorflow1x(
        levels, size=(38, 38), align_corners=False
    )
    ours = (resize(levels / 127.5 - 1, 38) + 1) * 127.5
    exact = by_pil(levels[0], 38).clamp(0, 255)
    assert (ours[0] - exact).abs().mean() < 1e-3
    assert (theirs[0] - exact).abs().mean() > 10  # of 255 levels, on the hardest picture: noise


def test_rounding_is_that_of_a_saved_file():
    picture = noise(1, 3, 9, 9)
    file = io.BytesIO()
    Image.fromarray(as_bytes(picture)[0].permute(1, 2, 0).numpy()).save(file, "PNG")
    back = torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)[None]
    assert torch.equal(checked(back), as_saved(picture))
    assert (as_saved(picture) - picture).abs().max() <= 1 / 255 + 1e-6
    assert torch.equal(as_saved(as_saved(picture)), as_saved(picture))


def test_truncation_as_in_torchmetrics_darkens_by_half_a_level():
    picture = noise(4, 3, 64, 64)
    levels = (picture.double() + 1) * 127.5
    truncated = ((picture + 1) / 2 * 255).byte()  # what its FID, KID and IS do to float pictures
    assert float((truncated - levels).mean()) == pytest.approx(-0.5, abs=0.01)
    assert float((as_bytes(picture) - levels).mean()) == pytest.approx(0, abs=0.01)


def test_bytes_and_halves_are_taken():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(as_bytes(checked(levels)), levels)
    assert checked(noise(1, 3, 4, 4).half()).dtype == torch.float32
    assert checked(noise(1, 3, 4, 4).double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (torch.zeros(3, 4, 4), "shape"),
        (torch.zeros(1, 1, 4, 4), "shape"),
        (torch.zeros(0, 3, 4, 4), "empty"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int32), "dtype"),
        (torch.full((1, 3, 4, 4), 255.0), "range"),
        (torch.full((1, 3, 4, 4), -1.1), "range"),
    ],
)
def test_bad_pictures_are_explained(pictures, words):
    with pytest.raises(ShapeError, match=words):
        checked(pictures)


def test_broken_pictures_are_named():
    pictures = torch.zeros(5, 3, 4, 4)
    pictures[1, 0, 0, 0] = float("nan")
    pictures[3, 2, 1, 1] = float("inf")
    with pytest.raises(ShapeError, match="pictures 1, 3 of the batch"):
        checked(pictures)
