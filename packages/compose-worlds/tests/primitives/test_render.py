"""Pictures: shadows, anti-aliasing, and the same bytes for the same seed."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compose_core.errors import UsageError
from compose_worlds.primitives import draw
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import Scene, Setting, stack, toy

GOLDEN = Path(__file__).parent / "golden.png"


def scenes(count, start=0):
    return stack([draw.scene(start + i)[0] for i in range(count)])


def levels(rgb):
    return (rgb * 255).round().to(torch.uint8)


def digest(values):
    return hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()


def test_pictures_are_those_that_models_were_trained_on():
    """Exact where they were recorded; another processor may round a few pixels differently."""
    sheet = torch.from_numpy(np.array(Image.open(GOLDEN)))
    recorded = sheet.unflatten(1, (4, 64)).permute(1, 3, 0, 2)
    name = "89b40254655328e81ebe1ca5b69cc971bcc88e4acfaa57c6fa1bd4b6c49c68a2"
    assert digest(recorded) == name
    made = levels(picture(scenes(4)))
    assert (made != recorded).float().mean() < 1e-3


def test_same_seed_same_bytes():
    assert torch.equal(picture(scenes(6)), picture(scenes(6)))


def test_threads_do_not_matter():
    world = scenes(6)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            found.append(picture(world))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(*found)


def test_neighbours_in_the_batch_do_not_matter():
    """Not bit for bit: a batch of another size is summed in another order."""
    together = picture(scenes(6))
    alone = torch.cat([picture(scenes(1, i)) for i in range(6)])
    assert (together - alone).abs().max() < 1e-5
    assert torch.equal(levels(together), levels(alone))


@pytest.mark.parametrize("samples", [1, 4])
def test_shadows_only_darken(samples):
    world = scenes(6)
    lit = picture(world, (48, 48), samples=samples, shadows=False)
    dark = picture(world, (48, 48), samples=samples)
    assert (dark <= lit).all()
    assert (dark < lit - 0.1).flatten(1).any(1).all()


def test_shadows_are_soft():
    """Each sample sees its own point of the light: some pixels are partly in shadow."""
    setting = Setting(light=(60.0, 35.0))
    world = stack([Scene(solids=(toy("cylinder", "red", 0, 4.0, size=0.9),), setting=setting)])

    def partly(samples):
        lit = picture(world, (96, 96), samples=samples, shadows=False)
        dark = picture(world, (96, 96), samples=samples)
        loss = (lit - dark)[0, 1] / lit[0, 1]
        return ((loss > 0.03) & (loss < 0.6 * loss.max())).sum()

    assert partly(4) > 2 * partly(1)


def test_four_samples_are_smoother_than_one():
    world = scenes(2)
    one, four = (picture(world, (48, 48), samples=n) for n in (1, 4))
    large = picture(world, (192, 192), samples=4)
    true = torch.nn.functional.avg_pool2d(large, 4)
    assert (four - true).abs().mean() < 0.8 * (one - true).abs().mean()


def test_colours_stay_in_range():
    rgb = picture(scenes(8, 500), (32, 32))
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    assert rgb.isfinite().all()


def test_other_numbers_of_samples_are_refused():
    with pytest.raises(UsageError, match="samples"):
        picture(scenes(1), samples=3)
