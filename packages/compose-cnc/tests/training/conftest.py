"""A network to train, and samples to train it with."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import pytest
import torch
from torch import LongTensor, Tensor

from compose_cnc.model import GlobalFuser, LocalFuser
from compose_cnc.network import CnCNetwork
from compose_cnc.testing import EMBEDDING, SIZES, TOKENS, awake, draw
from compose_cnc.training import DisentanglementTask, Dropout
from compose_core.testing.folders import TEXT_WIDTH

SAMPLES, CAPTIONS = 8, 3


@dataclass
class Drawn:
    """Random samples with every condition, several captions each."""

    length: int
    without: tuple[str, ...] = ()
    values: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mask = torch.zeros(SAMPLES, 1, 64, 64)
        mask[..., 16:40, 20:44] = 1
        dice = torch.Generator().manual_seed(5)
        tokens = torch.randint(3, 40, (SAMPLES, CAPTIONS, self.length), generator=dice)
        made = {
            "latent": draw(SAMPLES, 4, 16, 16, seed=1),
            "tokens": tokens,
            "depth_fg": draw(SAMPLES, 3, 64, 64, seed=2, uniform=True) * mask,
            "depth_bg": draw(SAMPLES, 3, 64, 64, seed=3, uniform=True),
            "mask": mask,
            "embedding_fg": draw(SAMPLES, EMBEDDING, seed=4),
            "embedding_bg": draw(SAMPLES, EMBEDDING, seed=6),
        }
        self.values = {k: v for k, v in made.items() if k not in self.without}

    def __len__(self) -> int:
        return SAMPLES

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        return {name: value[indices] for name, value in self.values.items()}


@pytest.fixture
def empty(base):
    ids = base.text.tokenizer(
        "", padding="max_length", max_length=base.text.length, return_tensors="pt"
    )
    return ids.input_ids[0]


@pytest.fixture
def make_task(base, empty):
    """A task on networks of its own."""

    def make(stage="joint", *, prediction="epsilon", guidance="mask", without=(), **options):
        unet = copy.deepcopy(base.network.unet)
        network = CnCNetwork(
            unet,
            base.schedule,
            prediction,
            local_fuser=awake(LocalFuser.from_unet(unet, SIZES)),
            global_fuser=GlobalFuser.fresh(EMBEDDING, TEXT_WIDTH, TOKENS),
            soft_guidance=guidance,
        )
        samples = Drawn(len(empty), without)
        options = {"dropout": Dropout.all(0.0), **options}
        text = copy.deepcopy(base.text.text_encoder)
        return DisentanglementTask(network, text, empty, samples, stage, **options)

    return make
