"""One process of two: answer half of the windows, and write down what came out.

Run by `test_composer.py` as `python share_windows.py FOLDER`.
"""

import sys
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors.torch import save_file

from compose_core.denoiser import Bound
from compose_core.evaluate import Distributed, Local
from compose_core.sampler import Heun
from compose_core.schedule import KarrasVE
from compose_dde.composer import DDE
from compose_dde.coordinator import CoordinatorConfig
from compose_dde.domain import Domain
from compose_dde.testing import Counted, spoken


def main(folder: Path) -> None:
    processes = PartialState(cpu=True)
    config = CoordinatorConfig(channels=2, axes=1, patch=4, width=16, depth=2, heads=2, reach=1)
    # Eight windows in calls of two: each process makes the very calls that one alone would make.
    domain = Domain.chain(16 + 7 * 12, 16, 12)
    composed = DDE(Bound(Counted()), domain, spoken(config))
    sampler = Heun(KarrasVE(1e-2, 20.0).levels(4), churn=4.0)

    def sample(evaluator):
        generator = torch.Generator().manual_seed(0)
        x = sampler.initial((1, 2, *domain.size), generator)
        return {"x": sampler.sample(composed, x, generator=generator, evaluator=evaluator)}

    found = sample(Distributed(processes, max_batch=2))
    save_file(found, folder / f"{processes.process_index}.safetensors")
    if processes.is_main_process:
        save_file(sample(Local(2)), folder / "alone.safetensors")
    processes.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
