"""Models whose answers are written down."""

from dataclasses import dataclass, field

import pytest
import torch

from compose_metrics.compbench import Detections
from compose_metrics.result import Source


def seen(*things):
    """Detections of (label, confidence, box)."""
    return Detections(
        torch.tensor([list(map(float, box)) for _, _, box in things]).reshape(-1, 4),
        tuple(label for label, _, _ in things),
        torch.tensor([float(sure) for _, sure, _ in things]),
    )


@dataclass
class Eye:
    """A detector that has made up its mind: picture number b of a call shows found[b]."""

    found: list
    labels: tuple = ("cat", "dog", "sofa", "person", "traffic light", "tv", "boat")
    source: Source = Source("eye", "11", False)

    def detect(self, pictures):
        return self.found[: len(pictures)]


@dataclass
class Oracle:
    """Answers by looking up the question; remembers what it was asked."""

    known: dict
    source: Source = Source("oracle", "22", False)
    asked: list = field(default_factory=list)

    def answer(self, pictures, questions):
        assert len(pictures) == len(questions)
        self.asked += questions
        return torch.tensor([self.known.get(q, 1.0) for q in questions])


@dataclass
class Flat:
    """A depth estimator that returns a given map."""

    depth: torch.Tensor
    source: Source = Source("flat", "33", False)

    def nearness(self, pictures):
        return self.depth.expand(len(pictures), -1, -1)


@dataclass
class Ear:
    """A text-image scorer that returns given cosines and remembers the texts."""

    value: float = 0.3
    source: Source = Source("ear", "44", False)
    heard: list = field(default_factory=list)

    def cosine(self, pictures, texts):
        self.heard += texts
        return torch.full((len(texts),), self.value)


@pytest.fixture
def models():
    """The classes above, by name."""
    return {"seen": seen, "Eye": Eye, "Oracle": Oracle, "Flat": Flat, "Ear": Ear}


@pytest.fixture
def pictures():
    """Makes n blank pictures of 512 x 512, or of any size."""

    def make(n, height=512, width=512):
        return torch.zeros(1, 3, height, width).expand(n, -1, -1, -1)

    return make
