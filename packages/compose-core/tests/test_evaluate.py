"""Questions are answered in few calls, and how they are split does not matter."""

import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from compose_core.compose import Consensus, Guided, Regional
from compose_core.denoiser import Bound, Network
from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, UsageError
from compose_core.evaluate import Distributed, Local, Query, leaves
from compose_core.prediction import Prediction
from compose_core.schedule import Level
from compose_core.testing.laws import assert_close
from compose_core.testing.models import (
    TinyNetwork,
    stable_diffusion_schedule,
    tiny_parts,
    tiny_text,
)
from compose_core.views import cover


def level(t=400):
    return stable_diffusion_schedule().level(torch.tensor(float(t)))


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def panorama(network, regions=3, scale=5.0):
    """Guidance over regions in each of 7 windows of a canvas 4 x 8 x 32."""
    parts, negative = tiny_parts(regions, network), Bound(network, tiny_text(99))
    windows = cover((8, 32), 8, 4)
    masks = torch.rand((regions, 8, 8), generator=torch.Generator().manual_seed(5)) + 0.1
    inside = Guided(Regional(parts, masks), negative, scale)
    return Consensus(inside, windows, "hann")


def test_guidance_windows_and_regions_are_one_call():
    network = TinyNetwork()
    denoiser = panorama(network, regions=3)
    denoiser(noise(2, 4, 8, 32), level())
    assert network.rows == [7 * (3 + 1) * 2]


def test_a_question_asked_twice_is_answered_once():
    network = TinyNetwork()
    parts, negative = tiny_parts(3, network), Bound(network, tiny_text(99))
    guided = [Guided(part, negative, 4.0) for part in parts]
    Regional(guided, torch.ones(3, 8, 8))(noise(1, 4, 8, 8), level())
    assert network.rows == [3 + 1], "the negative side is shared by the three regions"
    network.rows.clear()
    window = cover((8, 8), 4, 4)[0]
    views = [window, window, *cover((8, 8), 4, 4)[1:]]
    Consensus(parts[0], views)(noise(1, 4, 8, 8), level())
    assert network.rows == [4], "equal windows show the same object"


def test_equal_but_separate_samples_are_both_asked():
    network, x_t, at = TinyNetwork(), noise(1, 4, 8, 8), level()
    text = tiny_text(1)
    Local()((Query(network, x_t, at, text), Query(network, x_t.clone(), at, text)))
    assert network.rows == [2]


@pytest.mark.parametrize("max_batch", [1, 2, 3, 5, 16, 56, 1000])
def test_splitting_changes_the_calls_but_not_the_result(max_batch):
    network = TinyNetwork()
    denoiser, x_t = panorama(network), noise(2, 4, 8, 32)
    expected = denoiser(x_t, level()).x0
    network.rows.clear()
    actual = denoiser(x_t, level(), evaluator=Local(max_batch)).x0
    assert sum(network.rows) == 56 and max(network.rows) <= max_batch
    assert len(network.rows) == -(-56 // max_batch)
    assert_close(actual, expected, "the split must not matter")


def test_what_cannot_share_a_call_is_grouped_apart():
    one, two = TinyNetwork(seed=1), TinyNetwork(seed=2)
    at, small, large = level(), noise(1, 4, 8, 8), noise(1, 4, 8, 12)
    short, long_ = tiny_text(1), tiny_text(2, tokens=9)
    questions = (
        Query(one, small, at, short),
        (Query(two, small, at, short), Query(one, large, at, short)),
        Query(one, small, at, long_),
        Query(one, small, level(300), short),
    )
    answers = Local()(questions)
    assert one.rows == [1, 1, 1, 1] and two.rows == [1]
    for query, answer in zip(leaves(questions), flat(answers), strict=True):
        alone = query.network(query.x_t, query.level, query.encoded)
        assert_close(answer.x0, alone.x0, "groups must not change answers")


def flat(answers):
    if isinstance(answers, Prediction):
        return [answers]
    return list(itertools.chain.from_iterable(map(flat, answers)))


def test_the_answers_have_the_tree_of_the_questions():
    network, x_t, at = TinyNetwork(), noise(1, 4, 8, 8), level()
    a, b = (Query(network, x_t, at, tiny_text(i)) for i in (1, 2))
    answers = Local()((a, (), ((b,), a)))
    assert isinstance(answers[0], Prediction) and answers[1] == ()
    assert isinstance(answers[2][0][0], Prediction)
    assert answers[2][1] is answers[0]
    assert Local()(()) == ()
    assert isinstance(Local()(a), Prediction)


def test_equal_levels_in_different_objects_share_a_call():
    network = TinyNetwork()
    Local()(tuple(Query(network, noise(1, 4, 8, 8), level(), tiny_text(i)) for i in range(3)))
    assert network.rows == [3]


@pytest.mark.parametrize("max_batch", [None, 1, 2])
def test_one_level_per_sample(max_batch):
    network, x_t = TinyNetwork(dtype=torch.float64), noise(3, 4, 8, 8).double()
    t = torch.tensor([100.0, 400.0, 900.0])
    schedule = stable_diffusion_schedule()
    each = schedule.level(t)
    text = tiny_text(1), tiny_text(2)
    answers = Local(max_batch)(tuple(Query(network, x_t, each, e) for e in text))
    for condition, answer in zip(text, answers, strict=True):
        for i in range(3):
            alone = network(x_t[i : i + 1], schedule.level(t[i]), condition)
            assert_close(answer.x0[i : i + 1], alone.x0, "a level must reach its own row")


def test_the_condition_of_each_sample_stays_with_it():
    network, x_t, at = TinyNetwork(dtype=torch.float64), noise(3, 4, 8, 8).double(), level()
    each = tiny_text(3, batch=3)
    shared = tiny_text(4)
    answers = Local(2)((Query(network, x_t, at, each), Query(network, x_t, at, shared)))
    for i in range(3):
        row = x_t[i : i + 1]
        alone = network(row, at, each.select([i])), network(row, at, shared)
        for answer, one in zip(answers, alone, strict=True):
            assert_close(answer.x0[i : i + 1], one.x0, "a condition must reach its own row")


def test_gradients_pass():
    network = TinyNetwork()
    x_t = noise(1, 4, 8, 32).requires_grad_()
    panorama(network)(x_t, level(), evaluator=Local(3)).x0.square().sum().backward()
    assert x_t.grad is not None and bool((x_t.grad != 0).any())
    assert network.enter.grad is not None


def test_wrong_use_is_explained():
    with pytest.raises(UsageError, match="max_batch"):
        Local(0)
    with pytest.raises(ShapeError, match="does not fit"):
        Local()(Query(TinyNetwork(), noise(3, 4, 8, 8), level(), tiny_text(1, batch=2)))


class Smaller(Network):
    """Predicts half of what it was asked."""

    def forward(self, x_t, level: Level, encoded: Encoded):
        return Prediction(x_t[..., ::2], level, x_t[..., ::2])


def test_a_network_that_answers_with_another_shape_is_named():
    with pytest.raises(ShapeError, match=r"Smaller.forward"):
        Local()(Query(Smaller(), noise(1, 4, 8, 8), level(), Encoded()))


def test_on_every_device(device):
    network = TinyNetwork().to(device)
    denoiser = panorama(network).to(device)
    x_t = noise(2, 4, 8, 32)
    there = denoiser(x_t.to(device), level(), evaluator=Local(5)).x0
    assert there.device.type == device.type
    here = denoiser.cpu()(x_t, level()).x0
    torch.testing.assert_close(there.cpu(), here, rtol=1e-3, atol=1e-3)  # TF32 convolutions


def test_distributed_is_local_when_nothing_was_launched():
    x_t = noise(2, 4, 8, 32)
    denoiser = panorama(TinyNetwork())
    together = denoiser(x_t, level(), evaluator=Distributed(max_batch=5)).x0
    assert torch.equal(together, denoiser(x_t, level(), evaluator=Local(5)).x0)


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_the_rows_and_agree_with_one(count, tmp_path):
    """Each process answers its share; all of them, and one alone, predict the same.

    When one fails, all are told, and none waits for it.
    """
    launch(Path(__file__).parent / "share_questions.py", count, tmp_path)
    results = [load_file(tmp_path / f"{index}.safetensors") for index in range(count)]
    alone = load_file(tmp_path / "alone.safetensors")
    for result in results:
        for case in ("many", "few", "levels"):
            assert_close(result[case], alone[case], f"{case}: process and single must agree")
            assert torch.equal(result[case], results[0][case]), "all processes hold the same"
    told = [(tmp_path / f"{index}.txt").read_text() for index in range(count)]
    assert told.pop() == "MemoryError: out of memory"
    assert all(f"process {count - 1} of {count}" in text for text in told)
    answered = [int(result["rows"].sum()) for result in results]
    assert sum(answered) == 56 and max(answered) == -(-56 // count)
    assert all(int(result["rows"].max()) <= 5 for result in results)


def launch(script, count, folder):
    """Run `script` in `count` processes of a gloo group and wait for them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    running = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            env={**os.environ, **common, "RANK": str(i), "LOCAL_RANK": str(i)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(count)
    ]
    try:
        for process in running:
            output, _ = process.communicate(timeout=900)
            assert process.returncode == 0, output
    finally:
        for process in running:
            process.kill()
