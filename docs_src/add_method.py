"""A method of one's own: all phrases of a scene at once, as a product."""
# ruff: noqa: E402 (imports stand where they are first needed)

# --8<-- [start:method]
from typing import TYPE_CHECKING, ClassVar, final

import torch

from compose_core import Bound, Method, Plan, Product, Scene
from compose_core.method import latent_shape
from compose_core.noise import Generators

if TYPE_CHECKING:
    from compose_core.backbones import Model


@final
class AllAtOnce(Method):
    """Every phrase pulls everywhere; places are not looked at.

    Args:
        strength: Of each phrase, shared among them.
    """

    name: ClassVar[str] = "all-at-once"
    summary: ClassVar[str] = "a product of all phrases"
    accepts: ClassVar[frozenset[str]] = frozenset({"prompt", "negative", "weight"})

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength

    def plan(
        self,
        scene: Scene,
        model: "Model",
        *,
        device: torch.device | str,
        generator: Generators,
        guidance: float,
        steps: int,
    ) -> Plan:
        """See `Method.plan`."""

        def under(text: str) -> Bound:
            return Bound(model.network, model.text.encode(text).to(device))

        phrases = [layer for layer in scene.ordered if layer.prompt]
        total = sum(layer.weight for layer in phrases) or 1.0
        weights = [self.strength * guidance * layer.weight / total for layer in phrases]
        parts = [under(scene.negative), *(under(layer.prompt or "") for layer in phrases)]
        return Plan(denoiser=Product(parts, weights), shape=latent_shape(scene, model))


# --8<-- [end:method]

# --8<-- [start:try]
from compose_core import DDIM, zoo
from compose_core.backbones import load_model
from compose_core.scene import Layer

scene = Scene(
    canvas=(64, 64),
    prompt="grass",
    layers=(Layer(name="ball", prompt="a red sphere on grass"),),
)
model = load_model(zoo.resolve("sd-tiny"))
generator = torch.Generator().manual_seed(0)
plan = AllAtOnce().plan(scene, model, device="cpu", generator=generator, guidance=5.0, steps=6)
sampler = DDIM(model.schedule.levels(6))
noise = sampler.initial((1, *plan.shape), generator)
latents = sampler.sample(plan.denoiser, noise, generator=generator)
assert latents.shape == (1, *plan.shape)
# --8<-- [end:try]
