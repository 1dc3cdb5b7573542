"""Labels from labels: planes have one normal, spheres one curvature, edges are where steps are."""

import math

import pytest
import torch
from torch.nn import functional as F

from compose_core.errors import ShapeError
from compose_tlam.data import back_projected, clay_edges, curvatures, texture_edges
from compose_tlam.data.canny import canny

SIDE, FOCAL = 48, 60.0


def rays():
    at = (torch.arange(SIDE) + 0.5 - SIDE / 2) / FOCAL
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, -y, -torch.ones_like(x)])


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.3, 0.2, 1.0), (-0.5, 0.6, 0.8)])
def test_a_plane_has_one_normal(normal):
    n = F.normalize(torch.tensor(normal), dim=0)
    reach = -3.0 * n[2]  # the plane n . p = reach holds the point 3 m ahead
    depth = (reach / (rays() * n[:, None, None]).sum(0))[None, None]
    valid = torch.ones(1, SIDE, SIDE, dtype=torch.bool)
    found = back_projected(depth, valid, (FOCAL, FOCAL))
    torch.testing.assert_close(found[0], n[:, None, None].expand(3, SIDE, SIDE), atol=1e-3, rtol=0)


def test_normals_and_curvature_of_a_ball():
    radius, centre = 1.0, torch.tensor([0.0, 0.0, -4.0])
    ray = F.normalize(rays(), dim=0)
    along = (ray * centre[:, None, None]).sum(0)
    inside = along**2 - centre.square().sum() + radius**2
    valid = (inside > 0)[None]
    point = ray * (along - inside.clamp_min(0).sqrt())
    depth = -point[2][None, None]
    truth = F.normalize(point - centre[:, None, None], dim=0)
    found = back_projected(depth, valid, (FOCAL, FOCAL))[0]
    middle = slice(18, 30)
    cosine = (found * truth).sum(0)[middle, middle]
    assert float(cosine.min()) > math.cos(math.radians(3))
    curved = curvatures(truth[None], depth, valid, (FOCAL, FOCAL))[0]
    torch.testing.assert_close(curved[:, middle, middle], torch.ones(2, 12, 12), atol=0.12, rtol=0)


def test_pixels_beside_holes_take_the_difference_they_have():
    depth = torch.full((1, 1, 6, 6), 2.0)
    valid = torch.ones(1, 6, 6, dtype=torch.bool)
    valid[0, 2, 2] = False
    depth[0, 0, 2, 2] = torch.nan
    found = back_projected(depth, valid, (FOCAL, FOCAL))
    ahead = torch.tensor([0.0, 0.0, 1.0])
    assert torch.allclose(found[0, :, 2, 3], ahead) and not bool(found[0, :, 2, 2].any())
    assert bool(found.isfinite().all())


def test_a_step_from_black_to_white_is_an_edge_of_one():
    picture = torch.zeros(1, 3, 8, 8)
    picture[..., 4:] = 1
    found = texture_edges(picture)[0, 0]
    assert torch.allclose(found[:, 3:5], torch.ones(8, 2)) and not bool(found[:, :3].any())
    with pytest.raises(ShapeError):
        texture_edges(torch.zeros(1, 1, 4, 4))


def test_clay_shows_creases_and_outlines():
    normals = torch.zeros(1, 3, 8, 8)
    normals[:, 1, :, :4], normals[:, 2, :, 4:] = 1, 1
    everywhere = torch.ones(1, 8, 8, dtype=torch.bool)
    found = clay_edges(normals, everywhere)
    assert float(found[0, 0, :, 3:5].min()) > 0.02 and float(found[0, 0, :, :3].max()) < 1e-6
    sky = everywhere.clone()
    sky[:, :4] = False
    assert float(clay_edges(normals, sky)[0, 0, 3:5].min()) > 0.02


def test_canny_finds_thin_lines_and_follows_weak_ones():
    picture = torch.zeros(1, 3, 16, 16)
    picture[..., 8:] = torch.linspace(1.0, 0.2, 16)[:, None]
    found = canny(picture)[0]
    assert bool(found[2:-2].any(1).all()) and int(found.sum(1).max()) <= 2
    assert not bool(found[:, :6].any()) and not bool(found[:, 10:].any())
    assert not bool(canny(torch.full((1, 3, 8, 8), 0.4)).any())
