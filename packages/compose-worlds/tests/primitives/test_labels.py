"""Labels against what they mean, on drawn scenes."""

import math

import pytest
import torch

from compose_worlds.primitives import camera, draw
from compose_worlds.primitives.labels import (
    background,
    boxes,
    centres,
    creases,
    edges,
    labels,
    occlusions,
    relative_depth,
)
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import CLASSES, Scene, Setting, stack, toy

COUNT = 16
SIZE = (56, 40)


@pytest.fixture(scope="module")
def world():
    return stack([draw.scene(100 + i)[0] for i in range(COUNT)])


@pytest.fixture(scope="module")
def seen(world):
    return labels(world, SIZE)


def test_what_is_seen_is_nearest(seen):
    depths = torch.cat([seen.background_depth, seen.object_depth], 1)
    nearest, number = depths.min(1)
    assert torch.equal(nearest[:, None], seen.depth)
    assert torch.equal(number - 1, seen.instance)


def test_outlines_hold_what_is_seen(seen):
    assert (seen.amodal | ~seen.visible).all()
    assert torch.equal(seen.amodal, seen.object_depth.isfinite())
    hidden = seen.amodal & ~seen.visible
    assert hidden.any()
    nearer = seen.depth.expand_as(seen.object_depth)[hidden]
    assert (seen.object_depth[hidden] >= nearer).all()


def test_the_hidden_background_is_the_scene_without_objects(world, seen):
    empty = labels(world.empty(), SIZE)
    assert torch.equal(seen.background_depth, empty.depth)
    assert torch.equal(background(world, SIZE), picture(world.empty(), SIZE))
    assert (empty.instance == -1).all()


def test_without_one_object_the_others_stay(world, seen):
    gone = torch.zeros(COUNT, world.objects, dtype=torch.bool)
    gone[:, 0] = True
    rest = labels(world.without(gone), SIZE)
    assert not rest.amodal[:, 0].any()
    assert torch.equal(rest.amodal[:, 1:], seen.amodal[:, 1:])
    left = torch.cat([seen.background_depth, seen.object_depth[:, 1:]], 1).amin(1, keepdim=True)
    assert torch.equal(rest.depth, left)


def test_semantics_follow_what_is_seen(world, seen):
    names = ("sky", "ground", "wall", "sphere", "cube", "cylinder", "cone", "torus", "capsule")
    assert torch.equal(seen.semantics == names.index("sky"), seen.depth[:, 0].isinf())
    shape = world.shape.gather(1, seen.instance.clamp_min(0).flatten(1)).view_as(seen.instance)
    on = seen.instance >= 0
    assert torch.equal(seen.semantics[on], shape[on] + 3)
    room = world.environment == 3
    assert torch.equal((seen.semantics == names.index("wall")).flatten(1).any(1), room)


def test_normals_are_unit_and_face_the_camera(world, seen):
    length = seen.normals.norm(dim=1)
    sky = seen.depth[:, 0].isinf()
    assert (length[~sky] - 1).abs().max() < 1e-5
    assert (length[sky] == 0).all()
    rays = camera.to_camera(world, camera.rays(world, SIZE)).transpose(1, 2)
    facing = (seen.normals.flatten(2) * rays).sum(1)
    torus = seen.semantics.flatten(1) == CLASSES.index("torus")
    assert facing[~torus].max() < 1e-5
    assert facing[torus].max() < 0.1  # marched: at its rim a ray may end 2e-3 off the surface


def test_boxes_are_tight(seen):
    for mask, box in zip(seen.amodal.flatten(0, 1), seen.boxes.flatten(0, 1), strict=True):
        if not mask.any():
            assert box.isnan().all()
            continue
        y, x = mask.nonzero(as_tuple=True)
        true = [
            x.min() / SIZE[0],
            y.min() / SIZE[1],
            (x.max() + 1) / SIZE[0],
            (y.max() + 1) / SIZE[1],
        ]
        assert torch.allclose(box, torch.stack(true))


def test_box_of_one_pixel():
    mask = torch.zeros(4, 8, dtype=torch.bool)
    mask[1, 6] = True
    assert boxes(mask).tolist() == [6 / 8, 1 / 4, 7 / 8, 2 / 4]


def test_centres_lie_inside(world, seen):
    at = centres(world, SIZE[0] / SIZE[1])
    torus = 4
    checked = 0
    for b, n in (world.shape >= 0).nonzero().tolist():
        x, y = at[b, n].tolist()
        if world.shape[b, n] != torus and 0 <= x < 1 and 0 <= y < 1:
            assert seen.amodal[b, n, int(y * SIZE[1]), int(x * SIZE[0])]
            checked += 1
    assert checked > COUNT
    assert at[(world.shape < 0)].isnan().all()


def test_inverse_depth_is_bright_where_near(seen):
    assert (seen.inverse_depth[seen.depth.isinf()] == 0).all()
    stretched = relative_depth(seen.inverse_depth)
    assert stretched.amin() == 0
    assert stretched.amax() == 1
    order = seen.depth[0].flatten().argsort()
    assert (stretched[0].flatten()[order].diff() <= 0).all()
    assert (relative_depth(torch.ones(1, 1, 4, 4)) == 0).all()


def test_edges(world, seen):
    found = edges(picture(world, SIZE), seen)
    assert found.shape == (COUNT, 2, SIZE[1], SIZE[0])
    assert found.min() >= 0
    assert found.max() <= 1
    border = seen.instance[:, :, 1:] != seen.instance[:, :, :-1]
    assert (found[:, 1, :, :-1][border] == 1).all()
    flat = edges(torch.full((COUNT, 3, SIZE[1], SIZE[0]), 0.5), seen)
    assert (flat[:, 0] == 0).all()


def test_a_cube_has_creases_and_a_sphere_has_none():
    def scene(shape):
        return Scene(solids=(toy(shape, "red", 0, 3.5, size=0.8, yaw=35.0),))

    ball, block = (labels(stack([scene(s)]), (96, 96)) for s in ("sphere", "cube"))
    assert creases(block).sum() > 20
    # On the ball only the grazing rim may turn that fast.
    inner = ball.normals[:, 2] > 0.5
    assert not (creases(ball) & inner).any()
    assert occlusions(ball).any()


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (160, 20), (20, 160), (65, 64)])
def test_any_size(world, size):
    found = labels(world, size)
    assert found.depth.shape == (COUNT, 1, size[1], size[0])
    assert found.amodal.shape == (COUNT, world.objects, size[1], size[0])
    assert picture(world, size, samples=1).shape == (COUNT, 3, size[1], size[0])


def test_the_field_of_view_is_vertical(world):
    """The middle of a wide picture is the square picture; the middle column is x = 0."""
    wide, square = labels(world, (80, 40)), labels(world, (40, 40))
    inner = wide.depth[..., 20:60]
    assert torch.equal(inner.isinf(), square.depth.isinf())
    finite = inner.isfinite()
    close = torch.isclose(inner[finite], square.depth[finite], rtol=1e-4)
    assert close.float().mean() > 0.999  # rounding moves the outline's last bit
    narrow, broad = labels(world, (3, 41)), labels(world, (65, 41))
    a, b = narrow.depth[..., 1], broad.depth[..., 32]
    assert torch.isclose(a, b, rtol=1e-4).float().mean() > 0.99


def test_depth_is_along_the_optical_axis():
    world = stack([Scene(setting=Setting(height=2.0, pitch=90.0))])
    assert torch.allclose(labels(world, (9, 5)).depth, torch.tensor(2.0))
    level = stack([Scene(setting=Setting(environment="room", pitch=0.0))])
    wall = labels(level, (9, 9)).depth[0, 0, 0]
    assert torch.allclose(wall, torch.tensor(9.0))


def test_projection_inverts_rays(world):
    size = (30, 20)
    seen = labels(world, size)
    points = camera.origin(world) + camera.rays(world, size) * seen.background_depth.flatten(2).mT
    at, depth = camera.project(world, points.nan_to_num(0, 0, 0), size[0] / size[1])
    known = seen.background_depth.flatten(1) < 50
    x = (torch.arange(size[0]) + 0.5) / size[0]
    y = (torch.arange(size[1]) + 0.5) / size[1]
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).flatten(0, 1)
    assert (at - grid)[known].abs().max() < 1e-4
    assert torch.allclose(depth[known], seen.background_depth.flatten(1)[known], rtol=1e-4)


def test_a_mirrored_scene_has_mirrored_labels():
    left = toy("cube", "red", -0.5, 4.0, yaw=20.0), toy("cone", "blue", 0.6, 5.0)
    right = toy("cube", "red", 0.5, 4.0, yaw=-20.0), toy("cone", "blue", -0.6, 5.0)
    a, b = (labels(stack([Scene(solids=s)]).double(), (48, 32)) for s in (left, right))
    assert torch.equal(a.instance, b.instance.flip(-1))
    assert torch.allclose(a.depth, b.depth.flip(-1))
    flip = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    assert torch.allclose(a.normals, b.normals.flip(-1) * flip, atol=1e-9)
    assert torch.allclose(a.curvature, b.curvature.flip(-1))


def test_labels_agree_on_every_device(world, device):
    size = (24, 24)
    there, here = labels(world.to(device), size), labels(world, size)
    assert (there.instance.cpu() == here.instance).float().mean() > 0.998
    same = there.instance.cpu() == here.instance
    depth = there.depth.cpu()[:, 0]
    finite = same & here.depth[:, 0].isfinite()
    assert torch.allclose(depth[finite], here.depth[:, 0][finite], rtol=1e-3)
    colours = picture(world.to(device), size).cpu()
    assert (colours - picture(world, size)).abs().mean() < 1e-3


def test_a_solid_of_known_size_has_a_known_outline():
    """A ball of radius r at distance d fills the cone of half angle asin(r / d)."""
    world = stack([Scene(solids=(toy("sphere", "red", 0, 4.0, size=0.6),))])
    world.camera[:, 0], world.camera[:, 1] = 0.6, 0.0
    seen = labels(world.double(), (201, 201))
    radius = math.tan(math.asin(0.6 / 4)) / math.tan(math.radians(25)) / 2
    assert float(seen.amodal.double().mean()) == pytest.approx(math.pi * radius**2, rel=0.01)
    assert float(seen.depth[0, 0, 100, 100]) == pytest.approx(3.4, rel=1e-6)
    assert seen.boxes[0, 0].tolist() == pytest.approx(
        [0.5 - radius, 0.5 - radius, 0.5 + radius, 0.5 + radius], abs=0.01
    )
