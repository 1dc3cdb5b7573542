"""The method `plain`: the model alone, with the prompt of the scene and nothing else.

It is what every composition is measured against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import torch

from compose_core.method import Method, Plan, latent_shape, plan_prompts
from compose_core.noise import Generators
from compose_core.scene import Scene

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["PlainMethod"]


@final
class PlainMethod(Method):
    """The scene's prompt under classifier-free guidance; layers are not looked at."""

    name: ClassVar[str] = "plain"
    summary: ClassVar[str] = "the scene's prompt alone, without its layers"
    accepts: ClassVar[frozenset[str]] = frozenset({"prompt", "negative"})

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
        """See `Method.plan`."""
        shape = latent_shape(scene, model)
        return plan_prompts(model, [(scene.prompt, scene.negative)], shape, guidance, device)
