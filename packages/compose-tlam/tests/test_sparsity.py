"""Areas are connected pixels of one class; labels go missing by area, each on its own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compose_core.errors import ShapeError, UsageError
from compose_tlam.sparsity import areas, drop
from compose_tlam.testing import random_stack


def flood(classes):
    """Connected areas by a plain flood fill."""
    height, width = classes.shape
    found = [[-1] * width for _ in range(height)]
    count = 0
    for y in range(height):
        for x in range(width):
            if found[y][x] >= 0:
                continue
            todo = [(y, x)]
            found[y][x] = count
            while todo:
                a, b = todo.pop()
                for c, d in ((a + 1, b), (a - 1, b), (a, b + 1), (a, b - 1)):
                    inside = 0 <= c < height and 0 <= d < width
                    if inside and found[c][d] < 0 and classes[c][d] == classes[y][x]:
                        found[c][d] = count
                        todo.append((c, d))
            count += 1
    return torch.tensor(found)


def partition(numbers):
    return numbers.flatten()[:, None] == numbers.flatten()[None]


@given(st.integers(0, 200), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
def test_areas_are_those_of_a_flood_fill(seed, height, width, kinds):
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, kinds, (2, height, width), generator=generator)
    found = areas(classes, least=1)
    for mine, own in zip(found, classes, strict=True):
        assert torch.equal(partition(mine), partition(flood(own)))
        assert int(mine.min()) == 0


def test_small_areas_join_and_instances_split():
    classes = torch.zeros(1, 8, 8, dtype=torch.long)
    classes[0, 0, 0] = classes[0, 4, 4] = 1
    found = areas(classes, least=4)
    assert found[0, 0, 0] == found[0, 4, 4] != found[0, 1, 1]
    instances = torch.zeros_like(classes)
    instances[0, :, 4:] = 1
    assert len(areas(classes, instances).unique()) == 4


@given(st.integers(0, 100), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_a_label_is_missing_in_whole_areas_or_not_at_all(seed, share):
    generator = torch.Generator().manual_seed(seed)
    stack = random_stack((3, 8, 8), generator, present=1.0)
    blocks = torch.arange(8) // 2
    regions = (blocks * 4 + blocks[:, None]).expand(3, -1, -1)
    thin = drop(stack, regions, share, generator)
    for layer in thin.layers.values():
        for area in range(16):
            inside = layer.valid[regions == area].view(3, -1)
            assert bool((inside.all(1) | ~inside.any(1)).all())
    if share in (0.0, 1.0):
        assert all(bool(x.valid.any()) == (share == 0) for x in thin.layers.values())


def test_the_share_of_what_is_missing_is_the_sparsity():
    generator = torch.Generator().manual_seed(0)
    stack = random_stack((8, 16, 16), generator, present=1.0)
    regions = torch.arange(256).view(1, 16, 16).expand(8, -1, -1)
    each = torch.tensor([0.2] * 4 + [0.7] * 4)
    thin = drop(stack, regions, each, generator)
    share = torch.stack([1 - x.valid.float().mean((1, 2)) for x in thin.layers.values()])
    # 4 pictures of 256 areas: the deviation of a share is at most 0.016
    assert torch.allclose(share[:, :4].mean(1), torch.tensor(0.2), atol=0.06)
    assert torch.allclose(share[:, 4:].mean(1), torch.tensor(0.7), atol=0.06)
    pairs = torch.stack([x.valid[4:].float() for x in thin.layers.values()])
    both = (pairs[0] * pairs[1]).mean()
    assert float(both) == pytest.approx(0.09, abs=0.04)  # each label on its own


def test_whole_labels_may_go_and_nonsense_is_refused():
    generator = torch.Generator().manual_seed(0)
    stack = random_stack((1, 4, 4), generator)
    regions = torch.zeros(1, 4, 4, dtype=torch.long)
    assert drop(stack, regions, 0.0, generator, whole=1.0).empty
    with pytest.raises(UsageError):
        drop(stack, regions, 1.5, generator)
    with pytest.raises(ShapeError):
        drop(stack, regions[:, :2], 0.5, generator)
