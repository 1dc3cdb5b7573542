"""The pipeline and the methods: found, heard, and told what they leave out."""

import warnings

import pytest
import torch

from compose_core.errors import SceneError, UsageError
from compose_core.method import Method, Plan
from compose_core.regional import RegionalMethod


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
