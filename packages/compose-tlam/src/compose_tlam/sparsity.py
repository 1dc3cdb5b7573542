"""Labels that are missing by area: how sparse labels are made for training and tests.

For a sparsity S, each label of each area (a semantic instance) is dropped with probability S, each
on its own (section 4 and supplement C of the paper).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import ShapeError, UsageError
from compose_tlam.stack import LabelStack

__all__ = ["areas", "drop"]


def areas(classes: Tensor, instances: Tensor | None = None, *, least: int = 64) -> Tensor:
    """Numbers (B, H, W) of semantic instances, from 0 on in each picture.

    Args:
        classes: (B, H, W) class numbers.
        instances: (B, H, W) numbers of instances; without them connected pixels of one class are
            an instance.
        least: Smaller areas of connected pixels all become one area of their class.
    """
    if instances is not None:
        together = classes.long() * (int(instances.max()) + 1) + instances.long()
        return torch.stack([one.unique(return_inverse=True)[1] for one in together])
    found = _connected(classes)
    count = int(found.max()) + 1
    sizes = torch.zeros(len(found), count, dtype=torch.long, device=found.device)
    flat = found.flatten(1)
    sizes.scatter_add_(1, flat, torch.ones_like(flat))
    small = (sizes.gather(1, flat) < least).view_as(found)
    found = torch.where(small, count + classes.long(), found)
    return torch.stack([one.unique(return_inverse=True)[1] for one in found])


def _connected(classes: Tensor) -> Tensor:
    """A number for each connected area (4 neighbours): (B, H, W), below H W."""
    batch, height, width = classes.shape
    number = torch.arange(height * width, device=classes.device).view(1, height, width)
    found = number.expand(batch, -1, -1).clone()
    same = [classes == _moved(classes, axis, step, -1) for axis, step in _STEPS]
    while True:
        before = found
        for (axis, step), alike in zip(_STEPS, same, strict=True):
            near = _moved(found, axis, step, height * width)
            found = torch.where(alike, torch.minimum(found, near), found)
        # The pixel that gave an area its number may know a smaller one: jump to it.
        found = found.flatten(1).gather(1, found.flatten(1)).view_as(found)
        if torch.equal(found, before):
            return found


_STEPS = ((1, 1), (1, -1), (2, 1), (2, -1))


def _moved(x: Tensor, axis: int, step: int, fill: int) -> Tensor:
    """Each pixel's neighbour along an axis; `fill` beyond the edge."""
    pad = [0, 0, 0, 0]
    pad[2 * (2 - axis) + (step > 0)] = 1
    wide = F.pad(x, pad, value=fill)
    return wide.narrow(axis, 1 if step > 0 else 0, x.shape[axis])


def drop(
    stack: LabelStack,
    regions: Tensor,
    probability: float | Tensor,
    generator: torch.Generator,
    *,
    whole: float = 0.0,
) -> LabelStack:
    """The same labels without those that chance takes away.

    Args:
        stack: The labels of a batch.
        regions: (B, H, W) numbers of areas from 0 on, see `areas`.
        probability: S in [0, 1], for all or (B,) for each picture.
        generator: The source of chance, on any device.
        whole: Probability that a label is missing everywhere, on top.

    Raises:
        ShapeError: The areas are not those of the labels.
        UsageError: A probability outside [0, 1].
    """
    batch, height, width = stack.shape
    if tuple(regions.shape) != (batch, height, width):
        raise ShapeError("areas of another size", got=tuple(regions.shape), expected=stack.shape)
    share = torch.as_tensor(probability, dtype=torch.float32, device=generator.device)
    if not bool(((share >= 0) & (share <= 1)).all()) or not 0 <= whole <= 1:
        raise UsageError("sparsity is a probability", got=probability, expected="in [0, 1]")
    count = int(regions.max()) + 1
    names = stack.labels.names
    size = (batch, len(names), count)
    chance = torch.rand(size, generator=generator, device=generator.device)
    gone = chance < share.expand(batch)[:, None, None]
    chance = torch.rand(size[:2], generator=generator, device=generator.device)
    gone = (gone | (chance < whole)[..., None]).to(stack.device)
    index = regions.long().flatten(1)[:, None].expand(-1, len(names), -1)
    taken = gone.gather(2, index).view(batch, len(names), height, width)
    return stack.dropped(
        {name: taken[:, n] for n, name in enumerate(names) if name in stack.layers}
    )
