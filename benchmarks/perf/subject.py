"""The model that the scripts time: `sd-tiny`, or random weights where it is missing."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from compose_core import zoo
from compose_core.backbones import load_model
from compose_core.denoiser import Network
from compose_core.encoded import Encoded
from compose_core.errors import ComposeError
from compose_core.schedule import Schedule
from compose_core.testing.folders import tiny_stable_diffusion


@dataclass(frozen=True)
class Subject:
    """A text-to-image model with two prompts already encoded."""

    name: str
    network: Network
    unet: Any
    schedule: Schedule
    prompt: Encoded
    empty: Encoded
    prediction_type: str

    def eps(self, x_t: Tensor, out: Tensor, alpha: float, sigma: float) -> Tensor:
        """Read the UNet's output as the noise."""
        return alpha * out + sigma * x_t if self.prediction_type == "v_prediction" else out


def subject() -> Subject:
    """Load the model and encode a prompt."""
    with tempfile.TemporaryDirectory() as folder:
        name, path = _where(Path(folder))
        model: Any = load_model(path)
        network = model.network
        return Subject(
            name=name,
            network=network,
            unet=network.unet,
            schedule=model.schedule,
            prompt=model.text.encode(["a red sphere on grass"]),
            empty=model.text.encode([""]),
            prediction_type=network.prediction_type,
        )


def _where(spare: Path) -> tuple[str, Path]:
    try:
        return "sd-tiny", zoo.resolve("sd-tiny")
    except ComposeError:
        return "random weights", tiny_stable_diffusion(spare / "model")
