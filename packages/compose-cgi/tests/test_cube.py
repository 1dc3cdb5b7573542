"""Cube maps: every cell where it should be, every edge closed."""

import numpy as np
import pytest
import torch

from compose_cgi.cube import FACES, around, cube_views, face
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


def test_around_a_face_is_the_face_and_its_neighbours_beside_it():
    places = direction().permute(3, 0, 1, 2)[None]
    for name in FACES:
        view = around(name, N, 2)
        inner = view.cells[2:-2, 2:-2]
        assert torch.equal(inner, face(name, N).cells)
        assert torch.equal(around(name, N, 0).cells, inner)
        seen = view.observe(places)[0]
        for row in (seen[:, 2:-2], seen[:, :, 2:-2]):  # the cross without its corners
            for axis in (1, 2):
                assert float(row.diff(dim=axis).norm(dim=0).max()) < 2 / N + 1e-6, name
    with pytest.raises(UsageError, match="next face"):
        around("up", N, N + 1)


def test_six_pictures_close_to_a_cube(folders):
    from compose_cgi.pipeline import CGIPipeline

    pipe = CGIPipeline.from_pretrained(folders["base"])
    pipe.set_progress_bar_config(disable=True)
    given = {"num_inference_steps": 2, "side": 32}

    def made(prompts, **more):
        dice = torch.Generator().manual_seed(0)
        return pipe.cube(prompts, generator=dice, **given, **more)

    one = made("grass", output_type="pt")
    assert list(one) == list(FACES)
    assert {tuple(x.shape) for x in one.values()} == {(1, 3, 32, 32)}
    same = made(["grass"] * 6)
    assert same["up"][0].size == (32, 32)
    shown = (one["up"][0] * 255).round().permute(1, 2, 0).byte().numpy()
    assert abs(np.asarray(same["up"][0]).astype(int) - shown.astype(int)).max() <= 1
    other = made(["sky" if name == "up" else "grass" for name in FACES], output_type="np")
    assert other["up"].shape == (1, 32, 32, 3)
    assert abs(other["up"][0] - one["up"][0].permute(1, 2, 0).numpy()).max() > 0.01
    latent = made("grass", output_type="latent")
    assert latent["front"].shape == (1, 4, 8, 8)
    with pytest.raises(UsageError, match="one for each of front"):
        made(["grass"] * 5)


@pytest.mark.parametrize("n", [0, 5])
def test_half_a_face_is_whole_cells(n):
    with pytest.raises(UsageError, match="whole cells"):
        cube_views(n)
