"""A graph whose views share nothing: each observation has a canvas of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from compose_cgi.graph import Graph, Observation, Variable
from compose_cgi.tasks.layout import Composition
from compose_cgi.views import Pick
from compose_core.errors import UsageError
from compose_core.method import Beside
from compose_core.views import View, Whole

__all__ = ["taken_apart"]


def taken_apart(made: Composition, *, together: bool = False) -> Composition:
    """Every view by itself, and the picture pasted from them.

    Of views that show the same cell the smaller lies in front; of equal ones those of even number
    lie in front of their neighbours. A view of several canvases, as that of the whole picture, has
    no canvas to be pasted from and is left out. Canvases that started alike start alike again.

    Args:
        made: What is taken apart; its views show cells as they are.
        together: Keep the view of several canvases as well, which then is the picture, and start
            all canvases from the same noise.

    Raises:
        UsageError: A view is no crop, or with `together` none shows several canvases.
    """
    graph = made.graph
    every = list(zip(graph.observations, graph.linear_views, strict=True))
    kept = [(one, view) for one, view in every if len(one.sees) == 1 or together]
    numbers = torch.arange(math.prod(graph.spatial), dtype=torch.float64)
    numbers = numbers.reshape(1, 1, *graph.spatial)
    seen = {one.name: view.observe(numbers)[0, 0].round().long() for one, view in kept}
    apart = Graph(
        [Variable(name, tuple(cells.shape)) for name, cells in seen.items()],
        [Observation(one.name, (one.name,), one.denoiser, Whole(), one.psi) for one, _ in kept],
    )
    if together:
        picture = _whole(made, apart)
    else:
        if not all(view.crops for _, view in kept):
            raise UsageError("only crops can be pasted")
        wanted = made.picture.observe(numbers)[0, 0].round().long()
        picture = Pick(_pasted(wanted, seen), apart.spatial)
    beside = {name: Beside(view=apart.view_of(name)) for name in made.beside if name in seen}
    start = _alike(len(seen)) if together or made.start is not None else None
    return replace(made, graph=apart, picture=picture, beside=beside, start=start, shift=None)


def _pasted(wanted: Tensor, seen: dict[str, Tensor]) -> Tensor:
    """Cells of the new sheet that show the wanted cells of the old one."""
    places: dict[str, tuple[int, Tensor]] = {}
    offset = 0
    for name, cells in seen.items():
        places[name] = (offset, cells)
        offset += cells.numel()
    order = sorted(range(len(seen)), key=lambda i: (list(seen.values())[i].numel(), i % 2, i))
    found = torch.full_like(wanted, -1)
    for i in reversed(order):  # the last one written lies in front
        first, cells = list(places.values())[i]
        where = torch.full((int(max(wanted.max(), cells.max())) + 1,), -1)
        where[cells.flatten()] = first + torch.arange(cells.numel())
        found = torch.where(where[wanted] >= 0, where[wanted], found)
    if bool((found < 0).any()):
        raise UsageError("no view by itself shows these cells", got=int((found < 0).sum()))
    return found


def _whole(made: Composition, apart: Graph) -> View:
    several = [one.name for one in made.graph.observations if len(one.sees) > 1]
    if len(several) != 1:
        raise UsageError(
            "one view of several canvases is the picture",
            got=", ".join(several) or "none",
            expected="a scene of background and objects that the model sees at once",
        )
    return apart.view_of(several[0])


def _alike(count: int) -> Callable[[Tensor], Tensor]:
    return lambda x: x[..., : x.shape[-1] // count].repeat(1, 1, count)
