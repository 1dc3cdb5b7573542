"""What is asked for is checked before anything is computed."""

import pytest
import torch

from compose_core.errors import SceneError, ShapeError, UsageError


def test_given_latents_are_the_noise_that_would_be_drawn(pipe, run, seeded, close):
    noise = torch.randn(1, 4, 16, 16, generator=seeded(0))
    close(run(pipe, latents=noise, generator=seeded(9)), run(pipe))
    with pytest.raises(ShapeError, match="latents"):
        run(pipe, latents=noise[..., :8])


def test_size_follows_height_and_width(pipe, run):
    assert run(pipe, height=32, width=96).shape == (1, 3, 32, 96)
    with pytest.raises(ShapeError, match="68 x 64"):
        run(pipe, height=65, width=67)


def test_a_canvas_off_the_grid_is_refused(pipe, scene, run):
    with pytest.raises(SceneError, match=r"\[64, 64\]"):
        run(pipe, scene.model_copy(update={"canvas": (65, 64)}))


@pytest.mark.parametrize("what", [None, [], ""])
def test_nothing_to_draw(pipe, what, run):
    if what == "":
        assert run(pipe, what).shape[0] == 1, "the empty prompt is a prompt: unconditional"
        return
    with pytest.raises(UsageError, match="nothing to draw"):
        run(pipe, what)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"output_type": "jpg"}, UsageError),
        ({"num_images_per_prompt": 0}, UsageError),
        ({"generator": [torch.Generator()] * 3}, ShapeError),
        ({"negative_prompt": ["a", "b"]}, UsageError),
        ({"negative_prompt": [3]}, UsageError),
        ({"height": 64.0}, UsageError),
        ({"num_inference_steps": 2.5}, UsageError),
        ({"generator": 3}, UsageError),
        ({"generator": [3]}, UsageError),
        ({"guidance_scale": "5"}, UsageError),
    ],
)
def test_bad_arguments(pipe, options, error, run):
    with pytest.raises(error):
        run(pipe, **options)


@pytest.mark.parametrize("what", [[1, 2], 7, {"a": 1}, b"a", "scenes"])
def test_what_cannot_be_drawn_is_refused(pipe, scene, what, run):
    with pytest.raises(UsageError, match="cannot be drawn"):
        run(pipe, [scene, scene] if what == "scenes" else what)


@pytest.mark.parametrize("given", [{"height": 64}, {"width": 64}, {"negative_prompt": "blur"}])
def test_what_a_scene_has_of_its_own_cannot_be_given_beside_it(pipe, scene, given, run):
    with pytest.raises(UsageError, match=next(iter(given))):
        run(pipe, scene, **given)
