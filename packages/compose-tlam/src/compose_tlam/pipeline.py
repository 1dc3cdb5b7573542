"""The facade: labels in, pictures out.

pipe = TLAMPipeline.from_pretrained("tlam-tiny")
picture = pipe(load_scene("examples/room.toml")).images[0]
picture = pipe(read_folder(Path("labels"), pipe.labels), drop=["depth"]).images[0]
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, final, get_args

import torch
from PIL import Image
from torch import Tensor

from compose_core import zoo
from compose_core.errors import UsageError
from compose_core.scene import Scene
from compose_tlam.checks import check_stack, contradictions
from compose_tlam.concept import looked_at, principal
from compose_tlam.labels import LabelSet
from compose_tlam.merge import TLAM, Strength
from compose_tlam.method import MODEL
from compose_tlam.model import Painter
from compose_tlam.scene import from_scene
from compose_tlam.stack import LabelStack

__all__ = ["TLAMOutput", "TLAMPipeline"]

OutputType = Literal["pil", "pt", "np"]


@final
@dataclass(frozen=True, eq=False)
class TLAMOutput:
    """What a call returns.

    Attributes:
        images: A list of PIL pictures; or numpy (B, H, W, 3), or torch (B, 3, H, W), in [0, 1].
        labels: What the pictures were made of.
        concept: The concept tensor (B, d, H, W).
        noise: What a noise token was given (B, channels), if there is one.
    """

    images: Any
    labels: LabelStack
    concept: Tensor
    noise: Tensor | None = None


@final
class TLAMPipeline:
    """A painter with the manners of a pipeline.

    Args:
        painter: In evaluation mode.
    """

    def __init__(self, painter: Painter) -> None:
        self.painter = painter.eval()

    @classmethod
    def from_pretrained(cls, model: str | os.PathLike[str] = MODEL) -> Self:
        """Load a model of the zoo by its id, or a folder.

        Raises:
            UsageError, WeightsError: There is none, or it is damaged.
        """
        return cls(Painter.load(Path(zoo.resolve(model))))

    @property
    def labels(self) -> LabelSet:
        """What the painter understands."""
        return self.painter.labels

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        self.painter.to(device)
        return self

    @torch.no_grad()
    def __call__(
        self,
        labels: LabelStack | Scene | Mapping[str, Tensor],
        *,
        strength: Strength | None = None,
        drop: Sequence[str] = (),
        num_images: int = 1,
        generator: torch.Generator | None = None,
        output_type: OutputType = "pil",
        warn: Callable[[str], None] | None = None,
    ) -> TLAMOutput:
        """Paint.

        Args:
            labels: A stack; a scene; or values by name, valid everywhere.
            strength: How much labels count.
            drop: Labels to leave out.
            num_images: Pictures of each stack; they differ if the painter takes noise.
            generator: Of that noise; None: the same noise at every call.
            output_type: `"pil"`, `"pt"` or `"np"`.
            warn: Receives each warning as a sentence; default `warnings.warn`.

        Raises:
            UsageError: A label is unknown, or an argument makes no sense.
            SceneError: Values that a label cannot have.
            ShapeError: Maps of the wrong shape, or of different sizes.
        """
        if output_type not in get_args(OutputType) or num_images < 1:
            raise UsageError(
                "this cannot be made", got=f"{output_type!r}, {num_images} pictures",
                expected="pil, pt or np; 1 picture or more",
            )  # fmt: skip
        stack, remarks = self._stack(labels)
        stack = stack.without(*drop)
        channels = self.painter.noise_channels
        if stack.empty:
            remarks.append("no label is given: the picture is what the model paints without any")
        if num_images > 1 and not channels:
            remarks.append("this painter takes no noise: its pictures of one stack are the same")
        for line in dict.fromkeys(remarks):
            (warn or _warn)(line)
        if num_images > 1:
            stack = LabelStack.cat([stack] * num_images)
        device = next(self.painter.parameters()).device
        stack = stack.to(device)
        noise = None
        if channels:
            dice = generator or torch.Generator().manual_seed(0)
            noise = torch.randn(stack.shape[0], channels, generator=dice, device=dice.device)
        concept = self.painter.merger(stack, strength, noise)
        pictures = (self.painter.generator(concept).float() / 2 + 0.5).clamp(0, 1)
        return TLAMOutput(_presented(pictures, output_type), stack, concept, noise)

    def concept_picture(self, output: TLAMOutput) -> list[Image.Image]:
        """The concept tensor in three colours (figure 7)."""
        return _presented(principal(output.concept), "pil")

    def attention(self, output: TLAMOutput, strength: Strength | None = None) -> Tensor:
        """How much each label is looked at, (B, N, H, W), sums of 1.

        Raises:
            UsageError: The merger has no attention.
        """
        if not isinstance(self.painter.merger, TLAM):
            raise UsageError("this merger has no attention", got=self.painter.config.merger)
        return looked_at(self.painter.merger, output.labels, strength, output.noise)

    def _stack(
        self, labels: LabelStack | Scene | Mapping[str, Tensor]
    ) -> tuple[LabelStack, list[str]]:
        if isinstance(labels, Scene):
            stack, remarks = from_scene(labels, self.labels)
            return stack, list(remarks)
        if not isinstance(labels, LabelStack):
            labels = LabelStack.of(self.labels, labels)
        gone = [name for name in labels.layers if name not in self.labels.names]
        remarks = [f"the painter does not know the label {name!r}" for name in gone]
        for name in labels.layers:
            own = labels.labels.named(name)
            if name in self.labels.names and self.labels.named(name) != own:
                meant, said = self.labels.named(name).meaning or "?", own.meaning or "?"
                remarks.append(
                    f"the label {name!r} means something else to the painter ({meant}) than in "
                    f"these labels ({said})"
                )
        stack = check_stack(labels.under(self.labels))
        return stack, [*remarks, *contradictions(stack)]


def _presented(pictures: Tensor, kind: OutputType) -> Any:
    if kind == "pt":
        return pictures
    rows = pictures.permute(0, 2, 3, 1).cpu().numpy()
    if kind == "np":
        return rows
    levels = (rows * 255).round().astype("uint8")
    return [Image.fromarray(one) for one in levels]


def _warn(line: str) -> None:
    warnings.warn(line, UserWarning, stacklevel=3)
