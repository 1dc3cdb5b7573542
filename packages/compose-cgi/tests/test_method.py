"""From scenes to graphs: which task, who sees what under which words, and what is refused."""

import json

import pytest
import torch

from compose_cgi.method import CGIMethod
from compose_cgi.pipeline import CGIPipeline
from compose_cgi.tasks.figure import crop_around
from compose_cgi.tasks.layout import Space
from compose_cgi.tasks.panorama import shares_along
from compose_core.conditions import Box
from compose_core.errors import SceneError, UsageError
from compose_core.method import capabilities, find
from compose_core.scene import Assets, build
from compose_core.views import Window

BALL = {"name": "ball", "prompt": "a red ball", "box": [0.0, 0.0, 0.5, 1.0], "z": 1.0}
FIELD = {"name": "field", "prompt": "grass"}


def a_scene(*layers, canvas=(64, 64), **more):
    given = {"version": 1, "canvas": list(canvas), "prompt": "toys", "layers": list(layers)}
    return build({**given, **more})


@pytest.fixture(scope="module")
def plan(model):
    def make(scene, **options):
        return CGIMethod(**{"control": None, **options}).plan(
            scene, model, device="cpu", generator=torch.Generator(), guidance=3.0, steps=2
        )

    return make


@pytest.fixture(scope="module")
def pipe(folders):
    pipe = CGIPipeline.from_pretrained(folders["base"])
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def run(pipe):
    def pictures(*given, call=None, **options):
        seed = torch.Generator().manual_seed(0)
        options = {"num_inference_steps": 2, "output_type": "pt", "generator": seed, **options}
        return (call or pipe)(*given, **options)

    return pictures


def names(plan):
    return [each.name for each in plan.denoiser.graph.observations]


def test_the_method_is_found():
    assert find("cgi") is CGIMethod
    assert capabilities()["cgi"]["keypoints"] == "uses"


def test_a_scene_has_a_canvas_for_each_part_and_one_picture_of_all(plan):
    made = plan(a_scene(FIELD, BALL))
    assert names(made) == ["field", "ball", "composite"]
    assert made.shape == (4, 2 * 16 * 16)
    assert made.cells == (16, 16)
    assert list(made.beside) == ["field", "ball"]
    assert made.beside["field"].alpha is None
    assert float(made.beside["ball"].alpha.sum()) == 64 * 32
    x = torch.randn(1, *made.shape)
    field, ball = (made.beside[name].view.observe(x) for name in ("field", "ball"))
    picture = made.picture.observe(x)
    assert torch.equal(picture[..., :8], ball[..., :8])
    assert torch.equal(picture[..., 8:], field[..., 8:])
    assert made.start is None


def test_canvases_may_start_alike(plan):
    made = plan(a_scene(FIELD, BALL), noise="shared")
    x = made.start(torch.randn(2, *made.shape))
    field, ball = (made.beside[name].view.observe(x) for name in ("field", "ball"))
    assert torch.equal(field, ball)
    assert x.shape == (2, *made.shape)


def test_a_large_scene_is_covered_by_windows_of_every_canvas(plan):
    made = plan(a_scene(FIELD, BALL, canvas=(128, 64)), task="scene")
    assert len(names(made)) == 3 * 3
    assert "composite 2" in names(made)


def test_what_a_scene_lacks_is_said(plan):
    lines = plan(a_scene(BALL)).warnings
    assert any("no layer is the background" in line for line in lines)
    small = {"name": "dot", "prompt": "a dot", "box": [0.0, 0.0, 0.01, 0.01]}
    assert any("no cell" in line for line in plan(a_scene(FIELD, small)).warnings)
    lines = plan(a_scene(FIELD, {**FIELD, "name": "sky"}, BALL)).warnings
    assert any("'sky' is everywhere too" in line for line in lines)
    with pytest.raises(UsageError, match="object with a place"):
        plan(a_scene(FIELD), task="scene")


def test_every_view_of_a_panorama_hears_what_it_shows(plan, model):
    layers = [
        {"name": "left", "prompt": "a cube", "box": [0.0, 0.0, 0.2, 1.0]},
        {"name": "right", "prompt": "a cone", "box": [0.75, 0.0, 1.0, 1.0]},
    ]
    made = plan(a_scene(*layers, canvas=(256, 64), wrap=True))
    assert made.wrap == (False, True)
    heard = [part.cond.encoded["text"] for part in made.denoiser.denoisers]
    both = "a cube and a cone"  # across the seam
    expected = ["a cube", "toys", "toys", "toys", "toys", "a cone", "a cone", both]
    for found, words in zip(heard, expected, strict=True):
        assert torch.equal(found, model.text.encode(words)["text"]), words


def test_prompts_of_views(plan):
    wide = a_scene(FIELD, canvas=(128, 64))
    assert len(names(plan(wide, prompts=("a", "b", "c")))) == 3
    with pytest.raises(UsageError, match="1, or one for each of 3 views"):
        plan(wide, prompts=("a", "b"))
    made = plan(wide, prompts=("a", "b"), blend=True)
    first, middle, last = (part.cond.encoded["text"] for part in made.denoiser.denoisers)
    torch.testing.assert_close(middle, (first + last) / 2)
    with pytest.raises(UsageError, match="nothing to blend"):
        plan(wide, prompts=("a",), blend=True)


def test_shares_along_a_picture_add_up_to_one():
    for wrap in (False, True):
        space = Space(size=(16, 64), trained=(16, 16), wrap=(False, wrap))
        for start in range(0, 49, 4):
            shares = shares_along(Window((0, start), (16, 16)), space, 3)
            assert sum(shares) == pytest.approx(1)
            assert min(shares) >= 0
    assert shares_along(Window((0, 0), (16, 16)), space, 4) == pytest.approx([1, 0, 0, 0])


def a_figure(**head):
    points = {
        "body.json": {"hip": [0.5, 0.7], "knee": [0.5, 0.9]},
        "head.json": {"eye": [0.4, 0.2], "ear": [0.6, 0.3]},
    }
    body = {"name": "body", "keypoints": "body.json"}
    layer = {"name": "head", "prompt": "a face", "keypoints": "head.json", **head}
    scene = a_scene(body, {k: v for k, v in layer.items() if v is not None})
    return scene.with_assets(Assets({k: json.dumps(v).encode() for k, v in points.items()}))


def test_a_figure_is_a_led_whole_and_crops_around_points(plan, folders):
    made = plan(a_figure(), control=folders["control"])
    assert names(made) == ["whole", "head"]
    whole, head = made.denoiser.graph.observations
    assert head.view == Window((0, 4), (8, 8))
    assert "control" in whole.denoiser.cond.encoded
    assert "control" in whole.denoiser.uncond.encoded
    assert "control" not in head.denoiser.cond.encoded
    exact = plan(a_figure(box=[0.25, 0.0, 1.0, 0.5])).denoiser.graph.observations[1]
    assert exact.view == Window((0, 4), (8, 12))


def test_crops_stay_on_the_canvas():
    for at in (0.01, 0.5, 0.99):
        window = crop_around(Box(at - 0.005, 0.0, at + 0.005, 0.01), (24, 30), 4)
        assert window.size == (12, 12)
        assert 0 <= window.start[1] <= 18
    assert crop_around(Box(0, 0, 1, 1), (24, 30), 4).size == (24, 30)


def test_a_detail_needs_a_place(plan):
    with pytest.raises(SceneError, match="has no place"):
        plan(a_figure(keypoints=None))


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "opera"},
        {"merge": "sum"},
        {"overlap": 1.0},
        {"weights": "flat"},
        {"noise": "pink"},
        {"merge": "factor", "shift": True},
        {"kappa": -1},
    ],
    ids=str,
)
def test_options_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        CGIMethod(**wrong)


def test_options_that_do_not_fit_the_task(plan):
    with pytest.raises(UsageError, match="for panoramas"):
        plan(a_scene(FIELD, BALL), task="scene", merge="factor")
    with pytest.raises(UsageError, match="for panoramas"):
        plan(a_scene(FIELD, BALL), task="scene", prompts=("a", "b"))
    with pytest.raises(SceneError, match="do not meet"):
        plan(a_figure().model_copy(update={"wrap": True}))
    with pytest.raises(UsageError, match=r"of 4 views\n"):
        plan(a_scene(FIELD, canvas=(160, 64)), shift=True, prompts=("a", "b"))


@pytest.mark.parametrize("more", [{"kappa": 0.5}, {"solver": "gd"}, {"weights": "hann"}])
def test_what_views_minus_overlaps_would_ignore_is_refused(more):
    with pytest.raises(UsageError, match=f"does not solve(?s:.)*{next(iter(more))}"):
        CGIMethod(merge="factor", **more)


def test_pictures_of_all_tasks(run, folders, pipe):
    out = run(a_scene(FIELD, BALL), method=CGIMethod(control=None), trace=True)
    assert out.images.shape == (1, 3, 64, 64)
    assert set(out.beside) == {"field", "ball"}
    assert "lambda.composite" in out.trace.names
    assert out.trace.picture().size[0] > 0
    assert run(a_figure(), method=CGIMethod(control=folders["control"])).images.shape[-1] == 64
    for options in (
        {},
        {"wrap": True},
        {"method": CGIMethod(merge="factor", control=None)},
        {"method": CGIMethod(shift=True, control=None)},
    ):
        wide = run("toys", call=pipe.panorama, width=128, **options).images
        assert wide.shape == (1, 3, 64, 128)
        assert bool(wide.isfinite().all())
    tall = run(("a", "b"), call=pipe.panorama, width=64, height=128, blend=True).images
    assert tall.shape == (1, 3, 128, 64)
    named = run("toys", call=pipe.panorama, width=128, method="cgi").images
    assert named.shape == (1, 3, 64, 128)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompts": ()}, "needs prompts"),
        ({"prompts": None}, "needs prompts"),
        ({"prompts": ["a", 3]}, "needs prompts"),
        ({"prompts": ["a"], "blend": True}, "nothing to blend"),
        ({"method": "plain"}, "by another method"),
    ],
)
def test_a_panorama_is_asked_for_in_words(pipe, wrong, message):
    with pytest.raises(UsageError, match=message):
        pipe.panorama(**{"prompts": "a", "width": 64, **wrong})


@pytest.mark.parametrize("side", [0, -8, 20, 33])
def test_a_cube_has_whole_faces(pipe, side):
    with pytest.raises(UsageError, match=f"{side} pixels"):
        pipe.cube("grass", side=side)


def test_guidance_that_could_do_nothing_is_refused(pipe):
    from compose_cgi.testing import panorama_of

    graph = panorama_of([Window((0, 0), (16, 16))], [pipe.voices().say("a")], (16, 16))
    with pytest.raises(UsageError, match="bring their guidance"):
        pipe.infer(graph, graph.view_of("x"), guidance_scale=9.0)


def test_a_graph_of_your_own(run, pipe):
    from compose_cgi.testing import panorama_of

    voices = pipe.voices(2.0)
    windows = [Window((0, 0), (16, 16)), Window((0, 8), (16, 16))]
    graph = panorama_of(windows, [voices.say("a"), voices.say("b")], (16, 24))
    out = run(graph, graph.view_of("x"), call=pipe.infer, beside={"left": windows[0]})
    assert out.images.shape == (1, 3, 64, 96)
    assert out.beside["left"].shape == (1, 3, 64, 64)


@pytest.mark.parametrize("scheduler", [True, False])
def test_a_batch_is_made_of_its_samples(run, scheduler):
    """Each picture pairs its own noise with guidance, in batches as alone."""
    seeds = [torch.Generator().manual_seed(i) for i in range(3)]
    how = {"method": CGIMethod(control=None, kappa=0.3)}
    how |= {"sampler": "scheduler"} if scheduler else {}
    scene = a_scene(FIELD, canvas=(128, 64))
    together = run(scene, num_images_per_prompt=3, generator=seeds, **how).images
    for i, picture in enumerate(together):
        alone = run(scene, generator=torch.Generator().manual_seed(i), **how).images[0]
        torch.testing.assert_close(picture, alone, atol=1e-4, rtol=0)
