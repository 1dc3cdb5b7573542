"""One process of a gloo group: answer a share of the questions and write down what came out.

First a network fails in one of them: all must hear of it, and be able to go on.

Run by `test_evaluate.py` as `python share_questions.py FOLDER`.
"""

import sys
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors.torch import save_file

from compose_core.compose import Consensus, Guided, Regional
from compose_core.denoiser import Bound, Network
from compose_core.encoded import Encoded
from compose_core.evaluate import Distributed, Local
from compose_core.prediction import Prediction
from compose_core.schedule import Level
from compose_core.testing.models import (
    TinyNetwork,
    stable_diffusion_schedule,
    tiny_parts,
    tiny_text,
)
from compose_core.views import cover


class FailsInTheLast(Network):
    """Runs out of memory in the last process only."""

    def __init__(self, processes: PartialState) -> None:
        super().__init__()
        self.schedule = stable_diffusion_schedule()
        self.fails = processes.is_last_process

    def forward(self, x_t: torch.Tensor, level: Level, encoded: Encoded) -> Prediction:
        if self.fails:
            raise MemoryError("out of memory")
        return Prediction(x_t, level, x_t)


def fail(processes: PartialState) -> str:
    """What this process is told of it."""
    x_t = torch.zeros(processes.num_processes, 1, 2)
    network = FailsInTheLast(processes)
    try:
        Bound(network, Encoded())(x_t, Level.of(0.6, 0.8, 9.0), evaluator=Distributed(processes))
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return "nothing"


def main(folder: Path) -> None:
    processes = PartialState(cpu=True)
    (folder / f"{processes.process_index}.txt").write_text(fail(processes))
    network = TinyNetwork()
    parts, negative = tiny_parts(3, network), Bound(network, tiny_text(99))
    masks = torch.rand((3, 8, 8), generator=torch.Generator().manual_seed(5)) + 0.1
    inside = Guided(Regional(parts, masks), negative, 5.0)
    wide = Consensus(inside, cover((8, 32), 8, 4), "hann")
    x_t = torch.randn((2, 4, 8, 32), generator=torch.Generator().manual_seed(0))
    schedule = stable_diffusion_schedule()
    shared, each = schedule.level(torch.tensor(400.0)), schedule.level(torch.tensor([9.0, 900.0]))

    def answers(evaluator):
        network.rows.clear()
        many = wide(x_t, shared, evaluator=evaluator).x0
        rows = torch.tensor(network.rows)
        few = parts[0](x_t[:1, :, :, :8], shared, evaluator=evaluator).x0  # one row for all
        levels = wide(x_t, each, evaluator=evaluator).x0
        return {"many": many, "few": few, "levels": levels, "rows": rows}

    with torch.no_grad():
        mine = answers(Distributed(processes, max_batch=5))
        save_file(mine, folder / f"{processes.process_index}.safetensors")
        if processes.is_main_process:
            save_file(answers(Local()), folder / "alone.safetensors")
    processes.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
