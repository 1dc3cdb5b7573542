"""The figure: its joints, how it stands, and where its joints are seen."""

import math

import pytest
import torch

from compose_core.errors import SceneError, ShapeError
from compose_worlds.primitives.figure import BONES, JOINTS, Figure, keypoints
from compose_worlds.primitives.labels import labels
from compose_worlds.primitives.poses import POSES, draw_pose
from compose_worlds.primitives.world import CLASSES, Scene, stack, toy

SIZE = (120, 160)


def poses():
    generator = torch.Generator().manual_seed(3)
    return [*POSES.values(), *(draw_pose(generator) for _ in range(7))]


@pytest.fixture(scope="module")
def figures():
    return [Figure(pose=p, yaw=31.0 * i, z=3.0) for i, p in enumerate(poses())]


@pytest.fixture(scope="module")
def world(figures):
    return stack([Scene(solids=f.solids(0)) for f in figures])


def joints(figures):
    return torch.tensor([list(f.joints().values()) for f in figures])


def lowest(solid):
    reach = solid.aspect if solid.shape == "capsule" else 0.0
    along = solid.rotation[1][1] if solid.rotation else 0.0
    return solid.position[1] - solid.size * (1 + reach * abs(along))


def test_joints_have_the_usual_names():
    assert len(JOINTS) == len(set(JOINTS)) == 14
    pairs = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    assert set(JOINTS) == {"head", "neck", *(f"{s}_{p}" for s in ("left", "right") for p in pairs)}
    assert {joint for bone in BONES for joint in bone} == set(JOINTS)


def test_the_lowest_part_touches_the_ground(figures):
    for figure in figures:
        assert min(map(lowest, figure.solids(0))) == pytest.approx(0, abs=1e-9)
    raised = Figure(base=0.4).solids(0)
    assert min(map(lowest, raised)) == pytest.approx(0.4)


@pytest.mark.parametrize("pose", ["standing", "walking", "waving", "cheering"])
def test_feet_stand_on_the_ground(pose):
    shoes = [lowest(s) for s in Figure(pose=pose, shoes="black").solids(0) if s.color == "black"]
    assert len(shoes) == 2
    assert min(shoes) == pytest.approx(0, abs=1e-9)
    assert max(shoes) < 0.15


def test_an_upright_figure_is_as_high_as_asked():
    figure = Figure(height=1.8)
    head = next(s for s in figure.solids(0) if s.shape == "sphere")
    assert head.position[1] + head.size == pytest.approx(1.8, abs=0.01)


def test_bones_keep_their_lengths(figures):
    lengths = []
    for figure in figures:
        at = figure.joints()
        rigid = [b for b in BONES if "hip" not in b[1]]
        lengths.append([math.dist(at[a], at[b]) for a, b in rigid])
    for found in lengths[1:]:
        assert found == pytest.approx(lengths[0], rel=1e-6)


def test_left_is_the_figures_own_left():
    facing, away = Figure().joints(), Figure(yaw=180.0).joints()
    assert facing["left_shoulder"][0] > facing["right_shoulder"][0]
    assert away["left_shoulder"][0] < away["right_shoulder"][0]


def test_named_poses_look_as_they_are_called():
    waving, sitting = Figure(pose="waving").joints(), Figure(pose="sitting").joints()
    assert waving["right_wrist"][1] > waving["right_elbow"][1] > waving["right_hip"][1]
    assert waving["left_wrist"][1] < waving["left_elbow"][1]
    assert sitting["left_knee"][1] == pytest.approx(sitting["left_hip"][1], abs=0.05)
    assert sitting["left_knee"][2] < sitting["left_hip"][2] - 0.2
    cheering = Figure(pose="cheering").joints()
    assert min(cheering["left_wrist"][1], cheering["right_wrist"][1]) > cheering["head"][1]
    walking = Figure(pose="walking").joints()
    assert walking["left_ankle"][2] < walking["right_ankle"][2]


def test_it_is_one_object_of_its_own_class(world):
    seen = labels(world, SIZE)
    assert world.objects == 1
    on = seen.instance == 0
    assert on.flatten(1).any(1).all()
    assert (seen.semantics[on] == CLASSES.index("figure")).all()


def test_joints_are_seen_on_the_figures_own_pixels(world, figures):
    found = keypoints(world, joints(figures), SIZE[0] / SIZE[1])
    seen = labels(world, SIZE)
    assert found.visible.float().mean() > 0.6
    for b, j in found.visible.nonzero().tolist():
        x, y = found.at[b, j].tolist()
        column, row = int(x * SIZE[0]), int(y * SIZE[1])
        assert seen.instance[b, row, column] == 0
        assert seen.depth[b, 0, row, column] < found.depth[b, j] + 0.05
    inside = ((found.at > 0) & (found.at < 1)).all(-1)
    for b, j in inside.nonzero().tolist():  # hidden joints too lie inside the outline
        x, y = found.at[b, j].tolist()
        assert seen.amodal[b, 0, int(y * SIZE[1]), int(x * SIZE[0])]


def visible(figure, *others):
    world = stack([Scene(solids=(*others, *figure.solids(9)))])
    found = keypoints(world, joints([figure]))
    return {name for name, ok in zip(JOINTS, found.visible[0].tolist(), strict=True) if ok}


def test_all_joints_of_a_figure_that_faces_the_camera_are_visible():
    assert visible(Figure(z=3.5)) == set(JOINTS)


def test_the_far_side_is_hidden():
    seen = visible(Figure(z=3.5, yaw=90.0))
    assert {"head", "left_shoulder", "left_elbow", "left_knee", "left_ankle"} <= seen
    assert not any(joint.startswith("right") for joint in seen)


def test_what_stands_in_front_hides_joints():
    block = toy("cube", "blue", 0.0, 2.4, size=0.5)
    seen = visible(Figure(z=3.5), block)
    assert "head" in seen
    assert not {"left_knee", "right_knee", "left_ankle"} & seen


def test_joints_out_of_the_picture_are_not_visible():
    assert visible(Figure(x=5.0, z=3.0)) == set()
    assert visible(Figure(z=-3.0)) == set()


def test_a_pose_is_drawn_from_its_generator():
    one, two, other = (draw_pose(torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert one == two != other


def test_what_cannot_be_built_is_refused(world):
    with pytest.raises(SceneError, match="waving"):
        Figure(pose="wavin")
    with pytest.raises(SceneError, match="height"):
        Figure(height=0.0)
    with pytest.raises(ShapeError, match="joints"):
        keypoints(world, torch.zeros(1, 14, 3))
