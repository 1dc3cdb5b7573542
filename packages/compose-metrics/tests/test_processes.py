"""Two processes hold what one would have held."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import compose_core
import compose_metrics

PROGRAM = """
import json, sys
import torch
from torch import distributed
from compose_metrics.features import Extractor, FeatureMetrics, Features
from compose_metrics import FID, KID, InceptionScore, Source, StreamedFID
from compose_metrics.metric import PerSample, Sums

class Toy(Extractor):
    def forward(self, pictures):
        corners = pictures.flatten(1)[:, :12]
        return Features(corners.float(), corners[:, :4] * 5)

class Brightness(PerSample):
    id = "brightness"
    def update(self, pictures, keys=None):
        self.add(keys, value=pictures.flatten(1).mean(1))

class Dark(Sums):
    id = "dark"
    def update(self, pictures, keys=None):
        self.add(keys, len(pictures), dark=(pictures < 0).sum())
    def compute(self):
        return self._result(int(self.total("dark")))

rank, world, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if world > 1:
    distributed.init_process_group("gloo", rank=rank, world_size=world)
draw = torch.Generator().manual_seed(0)
generated = torch.rand(41, 3, 4, 4, generator=draw) * 2 - 1
reference = torch.rand(53, 3, 4, 4, generator=draw) * 2 - 1
toy = Toy(Source("toy", "aa", False), dim=12, size=4)
metrics = [FID(toy), KID(toy), InceptionScore(toy), StreamedFID(toy), Brightness(), Dark()]
# Unequal shards; the second process has no reference pictures at all.
cut = {(1, 0): range(41), (2, 0): range(0, 41, 3)}
mine = list(cut.get((world, rank), sorted({*range(41)} - {*range(0, 41, 3)})))
values = []
for metric in metrics:
    pair = metric.id in ("fid@toy", "kid@toy")
    metric.update(generated[mine], keys=mine)
    if pair and rank == 0:
        metric.update(reference=reference)
    before = metric.n
    result = metric.synced().compute()
    assert metric.n == before == len(mine)
    values.append([result.metric, result.n, result.value.hex()])
together = FeatureMetrics(FID(toy), KID(toy), InceptionScore(toy))
together.update(generated[mine], keys=mine)
if rank == 0:
    together.update(reference=reference)
for result in together.synced().compute().values():
    values.append([result.metric, result.n, result.value.hex()])
assert together.n == len(mine)
json.dump(values, open(out, "w"))
if world > 1:
    distributed.destroy_process_group()
"""


def launch(folder: Path, world: int) -> list:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sources = [str(Path(module.__file__).parents[1]) for module in (compose_core, compose_metrics)]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    shared |= {"PYTHONPATH": os.pathsep.join(sources)}
    files = [folder / f"{world}-{rank}.json" for rank in range(world)]
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, str(rank), str(world), str(file)],
            env=os.environ | shared,
        )
        for rank, file in enumerate(files)
    ]
    assert [process.wait(timeout=300) for process in running] == [0] * world
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.slow
def test_two_gloo_processes_measure_like_one(tmp_path):
    (alone,) = launch(tmp_path, 1)
    first, second = launch(tmp_path, 2)
    assert first == second
    for (name, n, one), (name_of_two, n_of_two, two) in zip(alone, first, strict=True):
        assert (name, n) == (name_of_two, n_of_two)
        assert float.fromhex(two) == pytest.approx(float.fromhex(one), rel=1e-9)
    # Kept rows and integers: the same bytes. Streamed moments agree up to rounding.
    streamed = 3
    assert [row for i, row in enumerate(first) if i != streamed] == [
        row for i, row in enumerate(alone) if i != streamed
    ]
