"""Cube maps: every cell where it should be, every edge closed."""

import pytest
import torch

from compose_cgi.cube import FACES, cube_views
from compose_cgi.graph import Graph, Observation, Variable
from compose_cgi.inference import Inference
from compose_cgi.options import Options
from compose_core import DDIM
from compose_core.denoiser import Gaussian
from compose_core.errors import UsageError
from compose_core.testing.models import stable_diffusion_schedule

N = 6


def direction(n=N):
    """(6, n, n, 3): where each cell is on the cube, derived face by face."""
    s = (torch.arange(n) + 0.5) / n * 2 - 1
    y, x = torch.meshgrid(-s, s, indexing="ij")
    one = torch.ones_like(x)
    return torch.stack(
        [
            torch.stack(p, -1)
            for p in (
                (x, y, one),
                (one, y, -x),
                (-x, y, -one),
                (-one, y, x),
                (x, one, -y),
                (x, -one, y),
            )
        ]
    )


def test_faces_and_edges_show_neighbours_beside_each_other():
    places = direction().permute(3, 0, 1, 2)[None]
    views = cube_views(N)
    assert len(views) == 18
    for name, view in views.items():
        seen = view.observe(places)[0]
        assert seen.shape == (3, N, N)
        assert view.cells.unique().numel() == N * N  # nothing twice
        for axis in (1, 2):
            step = seen.diff(dim=axis).norm(dim=0)
            # One cell further is 2 / n away, or across an edge 2^(1/2) half cells.
            assert float(step.max()) < 2 / N + 1e-6, name


def test_every_edge_joins_two_faces_half_and_half():
    for name, view in cube_views(N).items():
        faces = torch.bincount(view.cells.flatten() // N**2, minlength=6)
        wanted = {FACES.index(part) for part in name.split(", ")}
        assert set(faces.nonzero().flatten().tolist()) == wanted
        assert int(faces.max()) == N * N // len(wanted)


def test_a_cube_is_a_graph_like_any_other():
    one = Gaussian(0.2, 0.7)
    seen = [Observation(name, ("cube",), one, view) for name, view in cube_views(N).items()]
    graph = Graph([Variable("cube", (6, N, N))], seen)
    x = torch.randn(2, 3, 6, N, N, generator=torch.Generator().manual_seed(0))
    walk = DDIM(stable_diffusion_schedule().levels(3))
    found = walk.sample(Inference(graph, Options(kappa=0.3)), x)
    torch.testing.assert_close(found, walk.sample(one, x))


@pytest.mark.parametrize("n", [0, 5])
def test_half_a_face_is_whole_cells(n):
    with pytest.raises(UsageError, match="whole cells"):
        cube_views(n)
