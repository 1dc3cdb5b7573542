"""The method `plain`: the model alone, with the prompt of the scene and nothing else.

It is what every composition is measured against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import torch

from compose_core.denoiser import Bound, Guided
from compose_core.method import Method, Plan, latent_shape
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
        sides = [scene.prompt] if guidance == 1 else [scene.prompt, scene.negative]
        bound = [Bound(model.network, model.text.encode(side).to(device)) for side in sides]
        denoiser = Guided(bound[0], bound[1], guidance) if len(bound) == 2 else bound[0]
        cuts = [cut for side in sides if (cut := model.text.cut(side))]
        lines = tuple(f"a prompt is too long; its end is not seen: {cut!r}" for cut in cuts)
        return Plan(denoiser=denoiser, shape=shape, warnings=lines)
