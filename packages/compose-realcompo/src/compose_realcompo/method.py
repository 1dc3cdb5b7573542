"""`compose run SCENE --method realcompo`: a scene with places becomes a balance of two models.

The fidelity model is the base model of the run and hears the prompt; the spatially aware one also
hears where things are. Both are asked at every step once the spatial one has laid out the picture,
and the balancer decides pixel by pixel whom to believe.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast, final

import torch
from torch import nn

from compose_core.controls import CONTROLS, Control
from compose_core.denoiser import Bound, Denoiser, Guided
from compose_core.errors import UsageError
from compose_core.method import Method, Plan, latent_shape, too_long
from compose_core.noise import Generators
from compose_core.scene import Scene
from compose_core.scene.remarks import doubled
from compose_realcompo.balancer import Balancer, Branch
from compose_realcompo.guidance import STRENGTH
from compose_realcompo.options import RATE, Options
from compose_realcompo.planner import Told, branch, told
from compose_realcompo.regions import Shape
from compose_realcompo.sides import GUIDANCE, Side, check_same_latents, load_fidelity, load_spatial
from compose_realcompo.tokens import Absent
from compose_realcompo.variant import Name, Variant
from compose_realcompo.variant import variant as variant_of

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["LAYOUT", "Parts", "RealCompoMethod"]

LAYOUT = "gligen-tiny"
"""The gated layers of `sd-tiny`, the model that `compose run` takes by default."""

Weights = str | os.PathLike[str]


@final
class RealCompoMethod(Method):
    """RealCompo over the layers of a scene.

    Args:
        layout: The spatially aware model: an id of the zoo or a folder, with gated layers for a
            base model, a whole GLIGEN model, or a ControlNet for the model of the run. Or
            `"guidance"`: the model of the run itself, its attention pulled into the places.
        fidelity: More text-to-image models beside that of the run, or instead of it with
            `instead=True`.
        instead: Whether the model of the run has no part of its own.
        variant: What the paper or the published code does; see `compose_realcompo.variant`.
        rate: Updating rate of the shares per latent pixel; see `Options`.
        start: Share of the steps (t0) during which the spatial model is alone.
        dynamic: Whether shares move; without, every model keeps its equal share.
        update_every: See `Options`.
        lagged: See `Options`.
        guided_lookahead: See `Options`.
        absent: What becomes of a phrase that the prompt of the scene does not hold.
        control: What the ControlNet follows, where the spatial model is one; default what
            `control.json` beside its weights says, else keypoints.
        shape: Whether segments are heard as their bounding boxes or as they are.
        padding: Around groups of keypoints, as a share of the canvas.
        factor: How many times coarser than the latents the attention is that is listened to.
        gates: Of GLIGEN, when boxes are heard: fully during the first share of the walk, then
            ever less during the second; see `GatedUNet`.
        steer: Of layout guidance, its strength and the share of the walk that it lasts.

    The weight of a layer multiplies its part of the loss; 0 takes it out of the scene.

    Raises:
        UsageError: An option makes no sense.
    """

    name: ClassVar[str] = "realcompo"
    summary: ClassVar[str] = "realistic and spatially aware models balanced by pixel (RealCompo)"
    accepts: ClassVar[frozenset[str]] = frozenset(
        {"prompt", "negative", "box", "mask", "keypoints", "segments", "depth", "z", "weight"}
    )

    def __init__(
        self,
        layout: Weights = LAYOUT,
        fidelity: Sequence[Weights] = (),
        *,
        instead: bool = False,
        variant: Name | Variant = "paper",
        rate: float = RATE,
        start: float = 0.4,
        dynamic: bool = True,
        update_every: int = 1,
        lagged: bool = False,
        guided_lookahead: bool = False,
        absent: Absent = "append",
        control: Control | None = None,
        shape: Shape = "box",
        padding: float = 0.0,
        factor: int | None = None,
        gates: tuple[float, float] = (1.0, 0.0),
        steer: tuple[float, float] = (STRENGTH, 0.5),
    ) -> None:
        if control is not None:
            _one_of("control", control, CONTROLS)
        _one_of("shape", shape, ("box", "true"))
        _one_of("absent", absent, ("append", "refuse"))
        if not 0 <= padding <= 1:
            raise UsageError("padding is a share of the canvas", got=padding, expected="0 to 1")
        if instead and not fidelity:
            raise UsageError(
                "nobody is left for fidelity", got="instead=True", expected="a fidelity model"
            )
        self.layout, self.fidelity, self.instead = layout, tuple(fidelity), instead
        self.options = Options(
            variant=variant_of(variant),
            rate=rate,
            start=start,
            dynamic=dynamic,
            update_every=update_every,
            lagged=lagged,
            guided_lookahead=guided_lookahead,
        )
        self.absent: Absent = absent
        self.control: Control | None = control
        self.shape: Shape = shape
        self.padding, self.factor, self.gates, self.steer = padding, factor, gates, steer
        self._held: _Held | None = None

    @property
    def adapters(self) -> tuple[Weights, ...]:
        """The spatial model, and the fidelity models beside that of the run."""
        own = () if self.layout == GUIDANCE else (self.layout,)
        return (*own, *self.fidelity)

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
            SceneError: The canvas does not fit the model.
            UsageError: There are too many boxes, or a phrase is not in the prompt and that is to
                be refused.
            WeightsError: A model is missing, damaged, or speaks of other latents.
        """
        shape = latent_shape(scene, model)
        said = told(scene, absent=self.absent, padding=self.padding)
        remarks = [*said.remarks, *doubled(scene)]
        if not said.regions:
            remarks.append("no layer says where it is: the text-to-image model draws alone")
            alone = load_fidelity(self.fidelity[0], model, device) if self.instead else model
            remarks += too_long((said.prompt, said.negative), alone.text)
            denoiser = _text_alone(alone, said, guidance, device)
        else:
            parts = self.parts(said, model, shape[1:], device=device, guidance=guidance)
            remarks += parts.remarks
            denoiser = Balancer(parts.branches, self.options)
        return Plan(denoiser=denoiser, shape=shape, warnings=tuple(dict.fromkeys(remarks)))

    @torch.no_grad()
    def parts(
        self,
        said: Told,
        model: Model,
        spatial: tuple[int, int],
        *,
        device: torch.device | str,
        guidance: float,
    ) -> Parts:
        """The branches of a balance, the spatial one last: also for other rules to blend them.

        Args:
            said: A scene in words and places, with at least one region.
            model: The model of the run.
            spatial: (h, w) of the latents.
            device: Where tensors go.
            guidance: Scale of classifier-free guidance.

        Raises:
            UsageError, WeightsError: See `plan`.
        """
        found = [
            branch(
                side,
                said,
                spatial,
                guidance=guidance,
                variant=self.options.variant,
                control=self.control,
                shape=self.shape,
                padding=self.padding,
                factor=self.factor,
                steer=self.steer,
                device=device,
            )
            for side in self._sides(model, device)
        ]
        remarks = [line for heard in found for line in heard.remarks]
        for side in self._sides(model, device):
            remarks += too_long((said.prompt, said.negative), side.model.text)
        return Parts(tuple(heard.branch for heard in found), tuple(remarks))

    def _sides(self, model: Model, device: torch.device | str) -> tuple[Side, ...]:
        """The models, the spatial one last; the same objects for every scene."""
        unet = cast(nn.Module, model.components["unet"])
        kept = self._held
        where = (torch.device(device), next(unet.parameters()).dtype)
        if kept is None or kept.unet is not unet or kept.where != where:
            sides: list[Side] = [] if self.instead else [Side("text", model, "text")]
            for n, given in enumerate(self.fidelity, 2 - self.instead):
                name = "text" if n == 1 else f"text {n}"
                sides.append(Side(name, load_fidelity(given, model, device), "text"))
            spatial = load_spatial(self.layout, model, device, gates=self.gates)
            sides.append(spatial)
            for side in sides[:-1]:
                check_same_latents(side.model, spatial.model, (side.name, "layout"))
            kept = _Held(unet, where, tuple(sides))
            self._held = kept
        return kept.sides


class Parts(NamedTuple):
    """Branches, and what could not be done as asked, each a sentence."""

    branches: tuple[Branch, ...]
    remarks: tuple[str, ...]


class _Held(NamedTuple):
    """What was loaded last, and for what."""

    unet: nn.Module
    where: tuple[torch.device, torch.dtype]
    sides: tuple[Side, ...]


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"unknown {what}", got=repr(value), expected=" or ".join(known))


def _text_alone(model: Model, said: Told, guidance: float, device: torch.device | str) -> Denoiser:
    cond, uncond = (
        Bound(model.network, model.text.encode(text).to(device))
        for text in (said.prompt, said.negative)
    )
    return cond if guidance == 1 else Guided(cond, uncond, guidance)
