"""Random small graphs and a dense solve of them, for tests of whatever builds on this package."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import torch
from torch import Tensor

from compose_cgi.graph import Graph, Observation, Sight, Variable
from compose_core.denoiser import Denoiser, Gaussian
from compose_core.views import Blend, View, Whole, Window, cover

__all__ = ["dense", "gaussians", "panorama_of", "random_graph"]


def panorama_of(
    views: Sequence[Sight], denoisers: Sequence[Denoiser], shape: tuple[int, ...]
) -> Graph:
    """One canvas, and an observation for each view."""
    each = zip(count(), views, denoisers, strict=False)
    seen = [Observation(f"y{i}", ("x",), part, view) for i, view, part in each]
    return Graph([Variable("x", shape)], seen)


def random_graph(generator: torch.Generator, *, soft: bool = False) -> Graph:
    """Two canvases of windows, a composite of both, and trust of any size in every cell.

    Args:
        generator: Decides sizes, masks and trust.
        soft: Whether masks mix, so that least squares has no closed form cell by cell.
    """

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    def positive(*shape: int) -> Tensor:
        return 0.3 + torch.rand(shape, generator=generator, dtype=torch.float64)

    shape = (number(2, 4), number(3, 6))
    window = (number(1, 3), number(2, 4))
    wrap = (False, bool(number(0, 1)))
    views: list[Window] = cover(shape, window, (number(1, 3), number(1, 3)), wrap)
    mask = torch.rand(shape, generator=generator, dtype=torch.float64)
    mask = mask if soft else (mask > 0.5).double()
    found = [
        Observation(f"a{i}", ("a",), _gaussian(view.size, generator), view, positive(*view.size))
        for i, view in enumerate(views)
    ]
    found.append(Observation("b", ("b",), _gaussian(shape, generator), Whole(), positive(*shape)))
    composite = Blend(torch.stack([1 - mask, mask]))
    found.append(
        Observation("c", ("a", "b"), _gaussian(shape, generator), composite, positive(*shape))
    )
    return Graph([Variable("a", shape), Variable("b", shape)], found)


def gaussians(
    views: Sequence[View], shape: Sequence[int], generator: torch.Generator
) -> list[Gaussian]:
    """An exact model of random data for each view of a canvas `shape`."""
    blank = torch.zeros(1, 1, *shape, dtype=torch.float64)
    return [_gaussian(tuple(view.observe(blank).shape[2:]), generator) for view in views]


def dense(
    graph: Graph, eps: Sequence[Tensor], mu: float, clamp: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """`E` and lambda of one sample with one channel, from full matrices, by alternating exactly.

    Args:
        graph: A linear graph.
        eps: What was said of each view, `(1, 1, *observed)`, float64.
        mu: Penalty.
        clamp: The least and greatest lambda.
    """
    cells = torch.Size(graph.spatial).numel()
    basis = torch.eye(cells, dtype=torch.float64).reshape(cells, 1, *graph.spatial)
    maps = [view.observe(basis).flatten(1).T for view in graph.linear_views]
    trust = [w.expand_as(e).flatten() for w, e in zip(graph.weights, eps, strict=True)]
    said = [e.flatten() for e in eps]
    normal = torch.stack([a.T @ (w[:, None] * a) for a, w in zip(maps, trust, strict=True)]).sum(0)
    inverse = torch.linalg.pinv(normal, hermitian=True)
    sizes = torch.ones(len(eps), dtype=torch.float64)
    x = torch.zeros(cells, dtype=torch.float64)
    for _ in range(20_000):
        target = torch.stack(
            [s * (a.T @ (w * e)) for s, a, w, e in zip(sizes, maps, trust, said, strict=True)]
        ).sum(0)
        x = inverse @ target
        free = torch.stack(
            [(w * e) @ (a @ x) / ((w * e) @ e) for a, w, e in zip(maps, trust, said, strict=True)]
        )
        curve = torch.stack([(w * e) @ e for w, e in zip(trust, said, strict=True)])
        away = free - 1
        moved = 1 + away.sign() * (away.abs() - mu / curve).clamp_min(0)
        moved = moved.clamp(*clamp)
        if bool((moved - sizes).abs().max() < 1e-15):
            break
        sizes = moved
    return x.reshape(1, 1, *graph.spatial), sizes


def _gaussian(size: tuple[int, ...], generator: torch.Generator) -> Gaussian:
    mean = torch.randn((1, *size), generator=generator, dtype=torch.float64)
    var = 0.2 + torch.rand((1, *size), generator=generator, dtype=torch.float64)
    return Gaussian(mean, var)
