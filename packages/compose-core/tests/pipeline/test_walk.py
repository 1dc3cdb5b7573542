"""Samplers, and who looks on or steps in while they walk: callbacks, traces, progress bars."""

import pytest
import torch

from compose_core.errors import ShapeError, UsageError
from compose_core.sampler import Euler
from compose_core.trace import Trace


def test_the_callback_sees_every_step_and_may_change_the_latents(pipe, run):
    seen = []

    def look(own, index, t, tensors):
        assert own is pipe and set(tensors) == {"latents"}
        seen.append((index, float(t)))

    run(pipe, callback_on_step_end=look, num_inference_steps=3)
    assert [i for i, _ in seen] == [0, 1, 2] and seen[0][1] > seen[2][1]

    def blank(own, index, t, tensors):
        return {"latents": torch.zeros_like(tensors["latents"])} if index == 1 else tensors

    changed = run(pipe, callback_on_step_end=blank, output_type="latent")
    assert torch.count_nonzero(changed) == 0


def test_what_the_callback_returns_is_what_the_next_step_starts_from(pipe, run, seeded):
    start = torch.randn(1, 4, 16, 16, generator=seeded(5))

    def restart(own, index, t, tensors):
        return {"latents": start} if index == 0 else None

    first = run(pipe, callback_on_step_end=restart, generator=seeded(0), num_inference_steps=3)
    second = run(pipe, callback_on_step_end=restart, generator=seeded(1), num_inference_steps=3)
    assert torch.equal(first, second)


def test_a_callback_only_gets_what_there_is(pipe, run):
    with pytest.raises(UsageError, match="prompt_embeds"):
        run(pipe, callback_on_step_end_tensor_inputs=["prompt_embeds"])
    got = []
    run(
        pipe,
        callback_on_step_end=lambda p, i, t, tensors: got.append(dict(tensors)),
        callback_on_step_end_tensor_inputs=[],
    )
    assert got == [{}, {}]


def test_interrupting_stops_the_walk(pipe, run):
    steps = []

    def stop(own, index, t, tensors):
        steps.append(index)
        own._interrupt = index == 1

    images = run(pipe, callback_on_step_end=stop, num_inference_steps=10)
    assert steps == [0, 1] and images.shape == (1, 3, 64, 64)
    steps.clear()
    run(pipe, num_inference_steps=3, callback_on_step_end=lambda *a: steps.append(a[1]))
    assert len(steps) == 3, "the next call is not interrupted"


def test_the_progress_bar_counts_steps(pipe, capsys, run):
    pipe.set_progress_bar_config(disable=False)
    try:
        run(pipe, num_inference_steps=3)
    finally:
        pipe.set_progress_bar_config(disable=True)
    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize("sampler", ["ddim", "euler", "heun", "scheduler"])
def test_samplers_by_name(pipe, scene, sampler, run):
    assert run(pipe, scene, sampler=sampler, num_inference_steps=3).isfinite().all()


def test_a_sampler_of_ones_own(pipe, run):
    own = Euler(pipe.model.schedule.levels(2))
    assert torch.equal(run(pipe, sampler=own), run(pipe, sampler="euler"))
    with pytest.raises(UsageError, match="scheduler"):
        run(pipe, sampler="plms")


def test_the_trace_holds_every_step(pipe, scene):
    log = pipe(scene, num_inference_steps=3, trace=True).trace
    assert len(log) == 3 and {"preview", "x0", "alpha", "sigma"} <= set(log.names)
    assert log.stack("preview").shape == (3, 1, 3, 64, 64)
    assert log.stack("x0").shape == (3, 1, 4, 16, 16)
    own = Trace({"a": 1})
    assert pipe(scene, num_inference_steps=2, trace=own).trace is own and len(own) == 2
    assert pipe("a", num_inference_steps=1).trace is None


def test_latents_of_a_callback_must_fit(pipe, run):
    with pytest.raises(ShapeError, match="callback"):
        run(pipe, callback_on_step_end=lambda *_: {"latents": torch.zeros(1, 4, 1, 1)})


def test_the_header_of_a_trace_says_what_was_asked(pipe, scene):
    meta = pipe(scene, num_inference_steps=1, trace=True).trace.meta
    assert meta["scene"]["prompt"] == "toys" and meta["method"] == "regional"
    assert pipe("a", num_inference_steps=1, trace=True).trace.meta["prompt"] == "a"
