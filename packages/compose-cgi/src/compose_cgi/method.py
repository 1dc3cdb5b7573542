"""`compose run SCENE --method cgi`: a scene becomes a graph of canvases and views.

Which task a scene asks for follows from what it holds: keypoints make a figure with details, a
canvas larger than the model or closed makes a panorama, places make a scene of background and
objects, and words alone a panorama of one view.
"""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, ClassVar, Literal, cast, final, get_args

import torch
from torch import Tensor

from compose_cgi.collage import Collage
from compose_cgi.inference import Inference
from compose_cgi.options import KAPPA, Options, Solver
from compose_cgi.tasks import figure, panorama
from compose_cgi.tasks import scene as layered
from compose_cgi.tasks.layout import Composition, Space
from compose_cgi.voices import Voices
from compose_core import zoo
from compose_core.controls import Style, draw_control
from compose_core.denoiser import Denoiser
from compose_core.errors import SceneError, UsageError
from compose_core.method import Method, Plan, latent_shape, too_long
from compose_core.noise import Generators
from compose_core.scene import Scene
from compose_core.scene.remarks import doubled
from compose_core.views import Profile

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["CONTROL", "CGIMethod", "Merge", "Task"]

CONTROL = "controlnet-tiny-keypoints"
"""What leads figures of `sd-tiny`, the model that `compose run` takes by default."""

Task = Literal["auto", "panorama", "scene", "figure"]
Merge = Literal["average", "factor"]
"""`"average"`: least squares over the views. `"factor"`: views minus overlaps (DiffCollage)."""


@final
class CGIMethod(Method):
    """Compositional generative inference over the layers of a scene.

    Args:
        task: What the scene asks for; `"auto"`: what it holds decides.
        solver: See `Options`.
        kappa: See `Options`.
        clamp: See `Options`.
        iterations: See `Options`.
        merge: How views become a canvas; `"factor"` for panoramas only.
        shift: Whether the windows of a panorama stand side by side and move between steps.
        overlap: Share of a window that it has in common with the next; 0 to below 1.
        weights: How the trust in a view falls towards its edge.
        prompts: For panoramas, in the place of the layers' prompts: one for each view, or with
            `blend` any number.
        blend: Whether `prompts` change gradually along the picture.
        noise: Whether the canvases of a scene start from the same noise.
        control: The ControlNet that leads figures: an id of the zoo or a folder; None for none.

    The weight of a layer is `1 / psi^2`, the trust in its views; 0 takes it out of the scene.

    Raises:
        UsageError: An option makes no sense.
    """

    name: ClassVar[str] = "cgi"
    summary: ClassVar[str] = "canvases that agree with the models of their views (CGI)"
    accepts: ClassVar[frozenset[str]] = frozenset(
        {"prompt", "negative", "box", "mask", "keypoints", "depth", "z", "weight", "wrap"}
    )

    def __init__(
        self,
        task: Task = "auto",
        *,
        solver: Solver = "closed",
        kappa: float = KAPPA,
        clamp: tuple[float, float] = (0.9, 1.1),
        iterations: int = 20,
        merge: Merge = "average",
        shift: bool = False,
        overlap: float = 0.5,
        weights: Profile = "mean",
        prompts: str | tuple[str, ...] | None = None,
        blend: bool = False,
        noise: layered.Noise = "independent",
        control: str | os.PathLike[str] | None = CONTROL,
    ) -> None:
        for what, value, known in (
            ("task", task, Task),
            ("merge", merge, Merge),
            ("weights", weights, Profile),
            ("noise", noise, layered.Noise),
        ):
            if value not in get_args(known):
                expected = ", ".join(get_args(known))
                raise UsageError(f"unknown {what}", got=repr(value), expected=expected)
        if not 0 <= overlap < 1:
            raise UsageError("overlap is a share", got=overlap, expected="0 to below 1")
        if merge == "factor":
            _refuse_of_factor(shift, solver, kappa, weights)
        self.task: Task = task
        self.merge: Merge = merge
        self.noise: layered.Noise = noise
        self.options = Options(solver=solver, kappa=kappa, clamp=clamp, iterations=iterations)
        self.weights: Profile = weights
        self.shift, self.overlap = shift, overlap
        self.prompts, self.blend, self.control = prompts, blend, control
        self._led: tuple[object, Model, Style | None] | None = None

    def saying(self, prompts: str | tuple[str, ...], *, blend: bool = False) -> CGIMethod:
        """The same method for a panorama under these prompts."""
        made = copy.copy(self)
        made.task, made.prompts, made.blend = "panorama", prompts, blend
        return made

    @property
    def adapters(self) -> tuple[str | os.PathLike[str], ...]:
        """The ControlNet, where it is there."""
        there = self.control is not None and (
            self.control in zoo.known() or os.path.isdir(self.control)
        )
        return (cast(str, self.control),) if there else ()

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
            SceneError: The canvas does not fit the model, or a detail has no place.
            UsageError: The options do not fit the task.
            WeightsError: The ControlNet is missing, damaged, or made for another model.
        """
        made = self.composition(scene, model, device=device, guidance=guidance)
        return Plan(
            denoiser=self._denoiser(made),
            shape=(model.channels, *made.graph.spatial),
            wrap=(False, scene.wrap),
            warnings=tuple(
                dict.fromkeys((*too_long(scene, model.text), *made.remarks, *doubled(scene)))
            ),
            picture=made.picture,
            beside=made.beside,
            start=made.start,
        )

    def composition(
        self, scene: Scene, model: Model, *, device: torch.device | str, guidance: float
    ) -> Composition:
        """The graph that a scene becomes, and what of it is shown; for other rules over it.

        Raises:
            SceneError, UsageError, WeightsError: As `plan`.
        """
        _, height, width = latent_shape(scene, model)
        space = Space(
            size=(height, width),
            trained=model.sample_size,
            wrap=(False, scene.wrap),
            overlap=self.overlap,
            weights=self.weights,
            moving=self.shift,
        )
        task = self._task(scene, space)
        return self._composed(task, scene, model, space, guidance, device)

    def _task(self, scene: Scene, space: Space) -> Task:
        if self.task != "auto":
            return self.task
        if any("keypoints" in layer.used for layer in scene.layers):
            return "figure"
        placed = any({"box", "mask", "proxy"} & layer.used for layer in scene.layers)
        alone = self.prompts is not None or self.shift or self.merge == "factor"
        return "scene" if placed and space.fits and not alone else "panorama"

    def _composed(
        self,
        task: Task,
        scene: Scene,
        model: Model,
        space: Space,
        guidance: float,
        device: torch.device | str,
    ) -> Composition:
        if task != "panorama" and (self.merge == "factor" or self.shift):
            raise UsageError(
                "views minus overlaps, and windows that move, are for panoramas",
                got=f"task={task!r}",
            )
        if task != "panorama" and self.prompts is not None:
            raise UsageError(
                "prompts in the place of those of layers are for panoramas",
                got=f"task={task!r}",
                remedy="write them into the layers of the scene",
            )
        if task == "figure":
            if scene.wrap:
                raise SceneError(
                    "the edges of a figure do not meet", got="wrap = true", remedy="leave it out"
                )
            model, style = self._controlled(scene, model, device)
            control = None if style is None else draw_control(scene, style).to(device)
            return figure.from_scene(
                Voices(model, guidance, device), space, scene, _useful(control), _grain(model)
            )
        voices = Voices(model, guidance, device)
        if task == "scene":
            return layered.from_scene(voices, space, scene, noise=self.noise)
        if self.prompts is None:
            return panorama.from_scene(voices, space, scene)
        return panorama.from_prompts(voices, space, self.prompts, scene.negative, blend=self.blend)

    def _denoiser(self, made: Composition) -> Denoiser:
        if self.merge == "factor":
            return Collage(made.graph)
        return Inference(made.graph, self.options, made.shift)

    def _controlled(
        self, scene: Scene, model: Model, device: torch.device | str
    ) -> tuple[Model, Style | None]:
        """The model with its ControlNet, the same objects for every scene; how it is told."""
        if self.control is None:
            return model, None
        unet = model.components["unet"]
        if self._led is None or self._led[0] is not unet:
            from compose_core.backbones.control import add_controlnet  # imports diffusers

            made = add_controlnet(model, zoo.resolve(self.control), device)
            self._led = (unet, made.model, made.style)
        _, led, style = self._led
        return led, style or _style_of(scene)


def _refuse_of_factor(shift: bool, solver: Solver, kappa: float, weights: Profile) -> None:
    """Counting overlaps once is no least-squares problem: nothing is solved or weighed."""
    if shift:
        raise UsageError("windows side by side have no overlaps to take out", got="shift=True")
    asked = {"solver": (solver, "closed"), "kappa": (kappa, KAPPA), "weights": (weights, "mean")}
    for name, (given, usual) in asked.items():
        if given != usual:
            raise UsageError(
                'merge="factor" does not solve for the canvas',
                got=f"{name}={given!r}",
                remedy=f"leave out {name}",
            )


def _style_of(scene: Scene) -> Style:
    """What a ControlNet is told whose folder does not say what it follows."""
    given = scene.used
    return Style("depth" if given & {"depth", "proxy"} else "keypoints")


def _useful(control: Tensor | None) -> Tensor | None:
    """A picture that says nothing leads nobody."""
    return None if control is None or not bool(control.any()) else control


def _grain(model: Model) -> int:
    """Cells that the network halves evenly: it halves them between two widths."""
    unet = model.components["unet"]
    widths = cast("tuple[int, ...]", getattr(unet, "config").block_out_channels)  # noqa: B009
    return 2 ** (len(widths) - 1)
