"""A picture of the benchmark is the picture that the pipeline makes of the same scene."""

import numpy as np
import pytest
import torch

from compose_benchmarks.runner import make, prepare
from compose_benchmarks.runner.files import path_of, read
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
