"""Merged labels as what a ControlNet follows: TLAM for users of diffusion models.

The concept tensor takes the place of the control picture; merger and ControlNet learn together,
the diffusion model rests. A folder holds ``merger.json``, ``merger.safetensors`` and the
diffusers folder ``controlnet``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast, final

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from compose_core import zoo
from compose_core.backbones.control import add_controlnet
from compose_core.denoiser import Bound, Guided
from compose_core.encoded import Encoded
from compose_core.errors import WeightsError
from compose_core.method import Method, Plan, latent_shape, too_long
from compose_core.noise import Generators
from compose_core.scene import Scene
from compose_tlam.labels import LabelSet
from compose_tlam.merge import Merger, Strength
from compose_tlam.model import MERGERS
from compose_tlam.scene import KEYS, from_scene
from compose_tlam.stack import LabelStack

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["MODEL", "LabelControl", "TLAMControlMethod"]

MODEL = "tlam-control-tiny"
"""The control of `sd-tiny` that is taken by default."""

_CONFIG, _WEIGHTS, _CONTROL = "merger.json", "merger.safetensors", "controlnet"


@final
class LabelControl(nn.Module):
    """A merger and the ControlNet that sees its concepts.

    Args:
        merger: Makes concepts of labels.
        controlnet: Takes them instead of a control picture.
        made_of: Kind and options of the merger, for its folder.
    """

    def __init__(
        self, merger: Merger, controlnet: ControlNetModel, made_of: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.merger, self.controlnet = merger, controlnet
        self.made_of = dict(made_of)

    @classmethod
    def from_unet(
        cls,
        labels: LabelSet,
        unet: Any,
        *,
        embedding: tuple[int, ...] = (16, 32, 64),
        kind: str = "tlam",
        **merging: Any,
    ) -> Self:
        """A fresh one beside a diffusers UNet: it changes nothing before it has learned.

        Args:
            labels: The registry.
            unet: Whose encoder the ControlNet copies.
            embedding: Channels of the layers that bring concepts to the size of latents; each
                after the first halves it.
            kind: A name of `compose_tlam.model.MERGERS`.
            **merging: Options of the merger.
        """
        merger = MERGERS[kind](labels, **merging)
        control = ControlNetModel.from_unet(
            unet,
            conditioning_channels=merger.width,
            conditioning_embedding_out_channels=embedding,
        )
        return cls(merger, control, {"kind": kind, **merging})

    def forward(
        self, x_t: Tensor, t: Tensor, words: Tensor, stack: LabelStack
    ) -> tuple[list[Tensor], Tensor]:
        """What the ControlNet adds to the UNet: residuals of its way down, and of its middle."""
        concept = self.merger(stack)
        down, middle = cast(Any, self.controlnet)(x_t, t, words, concept, return_dict=False)
        return list(down), middle

    def save(self, folder: Path) -> None:
        """Write the folder, weights in half precision."""
        folder.mkdir(parents=True, exist_ok=True)
        said = {"labels": self.merger.labels.to_json(), "merger": self.made_of}
        (folder / _CONFIG).write_text(json.dumps(said, indent=2) + "\n", "utf-8")
        state = self.merger.state_dict()
        save_file(
            {k: v.detach().half().cpu().contiguous() for k, v in state.items()}, folder / _WEIGHTS
        )
        kept = {k: v.detach().clone() for k, v in self.controlnet.state_dict().items()}
        cast(Any, self.controlnet).half().save_pretrained(
            folder / _CONTROL, safe_serialization=True
        )
        self.controlnet.float().load_state_dict(kept)


def load_merger(folder: Path) -> Merger:
    """The merger of a folder, in single precision.

    Raises:
        WeightsError: It is missing or damaged.
    """
    try:
        said = json.loads((folder / _CONFIG).read_text("utf-8"))
        options = dict(said["merger"])
        kind = MERGERS[options.pop("kind")]
        with torch.random.fork_rng(devices=[]):
            merger = kind(LabelSet.from_json(said["labels"]), **options)
        weights = load_file(folder / _WEIGHTS)
        merger.load_state_dict({k: v.float() for k, v in weights.items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            "a merger of labels cannot be read",
            got=f"{folder}: {error}",
            expected=f"{_CONFIG} and {_WEIGHTS}",
        ) from error
    return merger.eval()


@final
class TLAMControlMethod(Method):
    """The scene's prompt, and a ControlNet that sees its merged labels.

    Args:
        control: A model of the zoo or a folder.
        strength: How much labels count.
    """

    name: ClassVar[str] = "tlam-control"
    summary: ClassVar[str] = "dense labels, merged by TLAM, lead the model by a ControlNet"
    accepts: ClassVar[frozenset[str]] = KEYS | {"prompt", "negative"}

    def __init__(
        self, control: str | os.PathLike[str] = MODEL, *, strength: Strength | None = None
    ) -> None:
        self.control, self.strength = control, strength
        self._kept: tuple[object, Merger, Model] | None = None

    @property
    def adapters(self) -> tuple[str | os.PathLike[str], ...]:
        """Merger and ControlNet."""
        return (self.control,)

    @torch.no_grad()
    def plan(
        self,
        scene: Scene,
        model: Model,
        *,
        device: torch.device | str,
        generator: Generators,
        guidance: float,
        steps: int,
    ) -> Plan:
        """See `Method.plan`.

        Raises:
            SceneError: The scene does not fit the model, or its labels the merger.
            WeightsError: The control is missing, damaged, or made for another model.
        """
        merger, led = self._led(model, device)
        stack, remarks = from_scene(scene, merger.labels)
        concept = merger(stack.to(device), self.strength)
        texts = [scene.prompt, scene.negative] if guidance != 1 else [scene.prompt]
        sides = [
            Bound(
                led.network,
                Encoded({"text": led.text.encode([text])["text"].to(device), "control": concept}),
            )
            for text in texts
        ]
        denoiser = Guided(sides[0], sides[1], guidance) if len(sides) == 2 else sides[0]
        return Plan(
            denoiser=denoiser,
            shape=latent_shape(scene, model),
            warnings=(*too_long(scene, model.text), *remarks),
        )

    def _led(self, model: Model, device: torch.device | str) -> tuple[Merger, Model]:
        unet = model.components["unet"]
        if self._kept is None or self._kept[0] is not unet:
            folder = Path(zoo.resolve(cast(str, self.control)))
            merger = load_merger(folder).to(device)
            self._kept = (unet, merger, add_controlnet(model, folder / _CONTROL, device).model)
        return self._kept[1], self._kept[2]
