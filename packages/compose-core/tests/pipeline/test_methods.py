"""The pipeline and the methods: found, heard, and told what they leave out."""

import warnings

import pytest
import torch

from compose_core.denoiser import Gaussian
from compose_core.errors import SceneError, UsageError
from compose_core.method import Beside, Method, Plan
from compose_core.regional import RegionalMethod
from compose_core.views import Window


def test_a_method_by_name_or_with_options(pipe, scene, run):
    assert torch.equal(run(pipe, scene), run(pipe, scene, method=RegionalMethod()))
    other = run(pipe, scene, method=RegionalMethod(bootstrap=0.0))
    assert not torch.equal(run(pipe, scene), other)
    with pytest.raises(UsageError, match="no method"):
        run(pipe, scene, method="other")


def test_warnings_of_a_plan_reach_the_user(pipe, scene, run):
    class Loud(Method):
        name, summary, accepts = "loud", "", RegionalMethod.accepts

        def plan(self, scene, model, **rest):
            made = RegionalMethod().plan(scene, model, **rest)
            return Plan(denoiser=made.denoiser, shape=made.shape, warnings=("look here",))

    heard = []
    run(pipe, scene, method=Loud(), warn=heard.append)
    assert heard == ["look here"]
    with pytest.warns(UserWarning, match="look here"):
        run(pipe, scene, method=Loud())


def test_a_prompt_too_long_is_reported(pipe, run):
    with pytest.warns(UserWarning, match="not seen.*the end"):
        run(pipe, "a" * 90 + " the end")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(pipe, "short")


def test_what_of_a_scene_is_not_used_is_said(pipe, scene, run):
    class Deaf(Method):
        name, summary, accepts, needs = "deaf", "", frozenset({"prompt", "z"}), frozenset()

        def plan(self, scene, model, **rest):
            return RegionalMethod().plan(scene, model, **rest)

    heard = []
    run(pipe, scene, method=Deaf(), warn=heard.append)
    assert heard == ["the method 'deaf' does not use `box` of layer 'ball', 'cube'"]
    Deaf.needs = frozenset({"depth"})
    with pytest.raises(SceneError, match="needs `depth`"):
        run(pipe, scene, method=Deaf())


def test_a_sample_may_hold_several_pictures(pipe, scene, run):
    wide = torch.arange(32.0).expand(4, 16, 32) / 32

    class Twins(Method):
        name, summary, accepts = "twins", "", RegionalMethod.accepts

        def plan(self, scene, model, **rest):
            left, right = (Window((0, x), (16, 16)) for x in (0, 16))
            alpha = torch.zeros(scene.height, scene.width)
            beside = {"right": Beside(view=right, alpha=alpha), "left": Beside(view=left)}
            return Plan(
                denoiser=Gaussian(wide, 1e-8),
                shape=(4, 16, 32),
                picture=left,
                beside=beside,
                start=lambda x: 0 * x,
            )

    options = {"method": Twins(), "num_inference_steps": 2, "trace": True}
    out = pipe(scene, output_type="latent", **options)
    assert out.images.shape == (1, 4, 16, 16)
    assert torch.equal(out.images, out.beside["left"])
    torch.testing.assert_close(out.beside["right"][0], wide[..., 16:], atol=0.05, rtol=0)
    pictures = pipe(scene, **options).beside
    assert pictures["left"][0].mode == "RGB"
    assert pictures["right"][0].getextrema()[3] == (0, 0)
    plain = pipe(scene, num_inference_steps=2)
    assert plain.beside is None
