"""Numbers of localisation, where the truth is known."""

import pytest
import torch

from compose_benchmarks.studies.look import METRICS, cosines

RED, BLUE = (
    torch.tensor(c).reshape(1, 3, 1, 1).expand(2, 3, 8, 8) for c in ([1.0, 0, 0], [0, 0, 1.0])
)
MASK = torch.zeros(2, 8, 8)
MASK[:, 2:6, 1:5] = 1


class Colours:
    """Sees the mean colour, which black does not turn."""

    def encode_pictures(self, pictures):
        return (pictures / 2 + 0.5).mean((2, 3))


def found(pictures, fg=RED, bg=BLUE):
    return cosines(Colours(), pictures, MASK, (fg, bg)).metrics()


def test_everything_in_its_place_is_the_most_there_can_be():
    values = found(torch.where(MASK[:, None] > 0, RED, BLUE))
    assert set(values) == set(METRICS)
    for value in values.values():
        torch.testing.assert_close(value, torch.ones(2, dtype=torch.float64))


def test_everything_in_the_other_place_is_the_least():
    values = found(torch.where(MASK[:, None] > 0, BLUE, RED))
    assert bool((values["localized-margin"] == -1).all())
    assert bool((values["localized-cosine"] == 0).all())


@pytest.mark.parametrize("picture", [RED, BLUE, (RED + BLUE) / 2])
def test_a_picture_that_is_alike_everywhere_has_no_margin(picture):
    torch.testing.assert_close(found(picture)["localized-margin"], torch.zeros(2).double())


def test_exchanging_exemplars_turns_margins_around():
    dice = torch.Generator().manual_seed(0)
    pictures = torch.rand(2, 3, 8, 8, generator=dice)
    one, other = found(pictures), found(pictures, BLUE, RED)
    for name in ("fg-margin", "bg-margin", "localized-margin"):
        torch.testing.assert_close(one[name], -other[name])


def test_other_parts_do_not_count():
    pictures = torch.where(MASK[:, None] > 0, RED, BLUE)
    changed = torch.where(MASK[:, None] > 0, pictures, torch.rand(2, 3, 8, 8))
    torch.testing.assert_close(found(pictures)["fg-margin"], found(changed)["fg-margin"])
