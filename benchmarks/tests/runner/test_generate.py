"""A picture of the benchmark is the picture that the pipeline makes of the same scene."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from compose_benchmarks.runner import make, prepare
from compose_benchmarks.runner.execute import outcome
from compose_benchmarks.runner.files import finished, path_of, read
from compose_benchmarks.runner.generate import draw, sampler
from compose_core.backbones import load_model
from compose_core.errors import SceneError
from compose_core.pipeline import ComposePipeline
from compose_core.run import load_record


@pytest.mark.parametrize("method", ["plain", "regional"])
def test_items_are_what_the_pipeline_makes(job, toy, method):
    run = prepare(job(method=method))
    make(run)
    pipe = ComposePipeline.from_pretrained(toy)
    pipe.set_progress_bar_config(disable=True)
    for item in run.items:
        arguments = {"num_inference_steps": 2, "guidance_scale": 5.0, "output_type": "np"}
        dice = [torch.Generator().manual_seed(item.seed)]
        alone = pipe(item.scene, method=method, generator=dice, **arguments).images[0]
        found = read(run.folder, run.spec, item).permute(1, 2, 0).numpy()
        # The batch may move the last digits across a rounding border.
        assert np.abs(found - alone * 255).max() <= 1.0


def test_plain_is_the_prompt_alone(job, toy):
    run = prepare(job(method="plain", n=1))
    make(run)
    pipe = ComposePipeline.from_pretrained(toy)
    pipe.set_progress_bar_config(disable=True)
    dice = [torch.Generator().manual_seed(run.items[0].seed)]
    prompt = run.items[0].scene.prompt
    alone = pipe(prompt, generator=dice, num_inference_steps=2, output_type="np").images[0]
    found = read(run.folder, run.spec, run.items[0]).permute(1, 2, 0).numpy()
    assert np.abs(found - alone * 255).max() <= 1.0


def test_a_file_carries_what_it_came_from(job, toy):
    run = prepare(job(n=1))
    make(run)
    record = load_record(path_of(run.folder, 0))
    assert record.scene.prompt == run.items[0].scene.prompt
    assert record.settings.seed == run.items[0].seed and record.settings.model == str(toy)


@pytest.mark.parametrize("most", [1, 3])
def test_no_call_has_more_rows_than_the_largest_batch(job, toy, most):
    run = prepare(job(max_batch=most))
    model = load_model(toy)
    rows = []
    model.network.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[0]))
    walk = sampler("ddim", model, 2)
    options = {"walk": walk, "guidance": 5.0, "device": "cpu"}
    _, cost, _ = draw(model, run.method(), run.items, max_batch=most, **options)
    assert max(rows) == most
    assert (cost.evaluations, cost.calls) == (sum(rows), len(rows))


def test_a_picture_says_how_its_calls_were_split(job):
    usual, split = prepare(job(n=1)), prepare(job(n=1, max_batch=2))
    assert usual.folder != split.folder
    for run, most in ((usual, 64), (split, 2)):
        make(run)
        assert load_record(path_of(run.folder, 0)).settings.max_batch == most
    a, b = (read(run.folder, run.spec, run.items[0]).int() for run in (usual, split))
    assert (a - b).abs().max() <= 1, "up to rounding, the split does not matter"
    assert outcome(usual).evaluations == outcome(split).evaluations


def test_a_picture_of_another_split_is_not_taken_for_this_run(job):
    run = prepare(job(n=1))
    make(run)
    other = replace(run.spec, max_batch=2)
    assert finished(run.folder, run.spec, run.items[0])
    assert not finished(run.folder, other, run.items[0])
    with pytest.raises(SceneError, match="another item or run"):
        read(run.folder, other, run.items[0])
