"""Several processes see the same data and hold the same weights as one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import compose_core
from compose_core.train import load_newest

PROGRAM = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from compose_core.train import Task, TrainConfig, train

class Mean(Task):
    def __init__(self):
        self.net = nn.Linear(3, 1).double()
        # Each process starts elsewhere: only the first one's weights count.
        nn.init.constant_(self.net.weight, 0.1 + int(sys.argv[2]))
        nn.init.zeros_(self.net.bias)
        self.seen = []
    modules = property(lambda self: {"net": self.net})
    size = property(lambda self: 11)
    def batch(self, indices):
        self.seen.append(indices.tolist())
        return {"x": torch.sin(indices[:, None] * torch.arange(1, 4).double())}
    def loss(self, batch, generator):
        torch.rand(())  # the process's own random numbers are saved, too
        return (self.net(batch["x"]) - 1).square().mean(), {"rank": float(sys.argv[2])}

steps = int(sys.argv[3])
task = Mean()
config = TrainConfig(
    steps=6, batch_size=4, lr=0.1, accumulate=2, warmup=0, clip=0, checkpoint_every=2
)
run = train(task, config, Path(sys.argv[1]) / "run")
done = [progress for _, progress in zip(range(steps), run)]
found = [task.seen, [p.loss for p in done], [p.logs["rank"] for p in done]]
Path(sys.argv[1], f"seen-{sys.argv[2]}-{steps}.json").write_text(json.dumps(found))
"""


def launch(folder: Path, world: int, steps: int = 6) -> list:
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = str(Path(compose_core.__file__).parents[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    shared |= {"PYTHONPATH": source, "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, folder, str(rank), str(steps)],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(world)
    ]
    try:
        assert [process.wait(timeout=600) for process in running] == [0] * world
    finally:
        for process in running:
            process.kill()
            process.wait()
    names = [folder / f"seen-{rank}-{steps}.json" for rank in range(world)]
    return [json.loads(name.read_text()) for name in names]


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, list]:
    folder = tmp_path_factory.mktemp("pair")
    return folder / "run", launch(folder, 2)


@pytest.mark.slow
def test_two_gloo_processes_train_like_one(tmp_path, pair):
    run, two = pair
    [(one, losses, _)] = launch(tmp_path, 1)
    together = [a + b for a, b in zip(two[0][0], two[1][0], strict=True)]
    assert together == one
    assert two[0][1] == two[1][1] == pytest.approx(losses, abs=1e-6)
    assert two[0][2] == two[1][2] == [0.5] * 6, "numbers of the log are averaged, too"
    a, b = load_newest(tmp_path / "run"), load_newest(run)
    torch.testing.assert_close(a.parts["ema"], b.parts["ema"], rtol=0, atol=1e-12)
    assert sorted(b.parts["rng"]) == ["0.cpu", "1.cpu"]
    assert not torch.equal(b.parts["rng"]["0.cpu"], b.parts["rng"]["1.cpu"])


@pytest.mark.slow
def test_two_processes_resume_bit_exactly(tmp_path, pair):
    run, _ = pair
    launch(tmp_path, 2, steps=3)  # its last checkpoint is of step 2
    launch(tmp_path, 2)
    whole, cut = load_newest(run), load_newest(tmp_path / "run")
    assert whole.step == cut.step == 6
    for part, tensors in whole.parts.items():
        for name, value in tensors.items():
            assert torch.equal(cut.parts[part][name], value), f"{part}/{name}"
