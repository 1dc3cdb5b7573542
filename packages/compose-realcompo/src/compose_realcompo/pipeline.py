"""The facade: RealCompo with the manners of a diffusers pipeline.

pipe = RealCompoPipeline.from_pretrained("sd-tiny", layout="gligen-tiny")
picture = pipe(
    "a red sphere and a blue cube on grass",
    phrases=["red sphere", "blue cube"],
    boxes=[(0.1, 0.4, 0.45, 0.8), (0.55, 0.4, 0.95, 0.8)],
).images[0]
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self, final

import torch

from compose_core.errors import UsageError
from compose_core.method import Method
from compose_core.pipeline import ComposePipeline, ComposePipelineOutput
from compose_core.scene import Scene, build
from compose_realcompo.method import LAYOUT, RealCompoMethod

__all__ = ["RealCompoPipeline"]

Box = tuple[float, float, float, float]


@final
class RealCompoPipeline(ComposePipeline):
    """A text-to-image model balanced with a spatially aware one; see `ComposePipeline`."""

    _method: RealCompoMethod | None = None

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        layout: str | os.PathLike[str] = LAYOUT,
        **kwargs: Any,
    ) -> Self:
        """Load the text-to-image model; the spatial one is loaded at the first call.

        Args:
            pretrained_model_name_or_path: The fidelity model: a local folder, or an id of the zoo.
            layout: The spatially aware model; see `RealCompoMethod`.
            **kwargs: See `ComposePipeline.from_pretrained`.

        Raises:
            WeightsError: A part is missing or does not fit.
            UsageError: An argument is unknown.
        """
        pipe = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        pipe._method = RealCompoMethod(layout)
        return pipe

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | Scene | None = None,
        *,
        phrases: Sequence[str] | None = None,
        boxes: Sequence[Box] | None = None,
        method: str | Method = "realcompo",
        height: int | None = None,
        width: int | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        **options: Any,
    ) -> ComposePipelineOutput | tuple[Any, ...]:
        """Make pictures.

        Args:
            prompt: What there should be; or a scene, which has everything of its own.
            phrases: What is in each box, in the words of the prompt; appended where it lacks them.
            boxes: Left, top, right and bottom of each as fractions of the canvas.
            method: One with options of its own, such as `RealCompoMethod(start=0.2)`.
            height: In pixels; default what the model was trained on.
            width: Likewise.
            negative_prompt: What there should not be.
            **options: The other arguments of `ComposePipeline`.

        Raises:
            UsageError: Phrases and boxes do not pair, or are given beside a scene.
            SceneError: A box leaves the canvas, or the canvas does not fit the model.
        """
        if method == "realcompo":
            self._method = method = self._method or RealCompoMethod()
        if phrases is None and boxes is None:
            return super().__call__(
                prompt,
                method=method,
                height=height,
                width=width,
                negative_prompt=negative_prompt,
                **options,
            )
        phrases, boxes = phrases or (), boxes or ()
        for name, text in (("prompt", prompt), ("negative_prompt", negative_prompt or "")):
            if not isinstance(text, str):
                raise UsageError(
                    "phrases and boxes belong to one prompt",
                    got=f"{name} of type {type(text).__name__}",
                    expected="a text; a scene has boxes of its own",
                    remedy="make several pictures of it with num_images_per_prompt",
                )
        if len(phrases) != len(boxes):
            raise UsageError(
                "every box needs a phrase",
                got=f"{len(phrases)} phrases and {len(boxes)} boxes",
                expected="as many of one as of the other",
            )
        scene = self._scene(str(prompt), phrases, boxes, height, width, str(negative_prompt or ""))
        return super().__call__(scene, method=method, **options)

    def _scene(
        self,
        prompt: str,
        phrases: Sequence[str],
        boxes: Sequence[Box],
        height: int | None,
        width: int | None,
        negative: str,
    ) -> Scene:
        model = self.model
        usual = [side * model.codec.factor for side in model.sample_size]
        layers = [
            {"name": f"{n} {phrase}"[:100], "prompt": phrase, "box": tuple(box)}
            for n, (phrase, box) in enumerate(zip(phrases, boxes, strict=True), 1)
        ]
        given: dict[str, Any] = {
            "version": 1,
            "canvas": (width or usual[1], height or usual[0]),
            "prompt": prompt,
            "layers": layers,
        }
        return build({**given, "negative": negative} if negative else given)
