"""The facade: graphs with the manners of a diffusers pipeline.

pipe = CGIPipeline.from_pretrained("sd-tiny")
wide = pipe.panorama(["a red sphere on sand", "a blue cube on sand"], width=256, blend=True)
layers = pipe(load_scene("background-and-object.toml")).beside
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast, final

import torch
from torch import Tensor

from compose_cgi.graph import Graph
from compose_cgi.inference import Inference
from compose_cgi.method import CGIMethod
from compose_cgi.options import Options
from compose_cgi.tasks import surround
from compose_cgi.voices import Voices
from compose_core.errors import UsageError
from compose_core.method import Beside, Method, Plan
from compose_core.noise import Generators
from compose_core.pipeline import ComposePipeline, ComposePipelineOutput
from compose_core.scene import Scene, build
from compose_core.views import View

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["CGIPipeline"]

MARGIN = 4
"""Cells around each face of a cube that it is decoded with."""


@final
class CGIPipeline(ComposePipeline):
    """A text-to-image model asked about views of canvases; see `ComposePipeline`."""

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | Scene | None = None,
        *,
        method: str | Method = "cgi",
        **options: Any,
    ) -> ComposePipelineOutput | tuple[Any, ...]:
        """Make pictures of prompts, or of a scene.

        Args:
            prompt: A scene becomes a graph, see `CGIMethod`; prompts are drawn plainly.
            method: One with options of its own, such as `CGIMethod(kappa=1)`.
            **options: The other arguments of `ComposePipeline`.

        Raises:
            SceneError, UsageError: The scene does not fit the model or the options.
        """
        return super().__call__(prompt, method=_own(method), **options)

    def panorama(
        self,
        prompts: str | Sequence[str],
        *,
        width: int,
        height: int | None = None,
        wrap: bool = False,
        negative: str = "",
        blend: bool = False,
        method: str | CGIMethod = "cgi",
        **options: Any,
    ) -> ComposePipelineOutput | tuple[Any, ...]:
        """Make a picture larger than the model was trained on.

        Args:
            prompts: One for all views; one for each, in reading order; with `blend` any number.
            width: In pixels.
            height: Likewise; default what the model was trained on.
            wrap: Whether the right edge continues at the left one.
            negative: What it should not become.
            blend: Whether the prompts change gradually along the longer side.
            method: More options; its own prompts are not used.
            **options: The other arguments of `ComposePipeline`.

        Raises:
            UsageError: The number of prompts fits neither one nor the views.
            SceneError: The size does not fit the model.
        """
        given = [prompts] if isinstance(prompts, str) else list(cast("Any", prompts) or ())
        if not given or not all(isinstance(one, str) for one in given):
            raise UsageError("a panorama needs prompts", got=repr(prompts), expected="words")
        if blend and len(given) < 2:
            raise UsageError(
                "there is nothing to blend", got=f"{len(given)} prompts", expected="two or more"
            )
        model = self.model
        usual = model.sample_size[0] * model.codec.factor
        scene = {
            "version": 1,
            "canvas": (width, usual if height is None else height),
            "prompt": given[0],
            "wrap": wrap,
            "layers": [{"name": "everywhere", "prompt": given[0]}],
            **({"negative": negative} if negative else {}),
        }
        how = _own(method)
        if not isinstance(how, CGIMethod):
            raise UsageError(
                "a panorama by another method",
                got=repr(method),
                expected="a CGIMethod",
                remedy="write a scene and call the pipeline with it",
            )
        how = how.saying(given[0] if len(given) == 1 else tuple(given), blend=blend)
        return super().__call__(build(scene), method=how, **options)

    def cube(
        self,
        prompts: str | Sequence[str],
        *,
        side: int | None = None,
        negative: str = "",
        guidance_scale: float = 5.0,
        options: Options | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Make what surrounds a place: six pictures that close to a cube, seen from inside.

        Args:
            prompts: One, or one for each of `compose_cgi.cube.FACES`.
            side: Of a face in pixels; default what the model was trained on.
            negative: What it should not become.
            guidance_scale: 1 asks no unconditional question.
            options: How the graph is solved.
            **more: The other arguments of `infer`.

        Returns:
            Pictures by the name of their face.

        Raises:
            UsageError: The number of prompts is neither one nor six, or a side has odd cells or
                parts of cells.
        """
        factor = self.model.codec.factor
        if side is not None and (side < 1 or side % (2 * factor)):
            raise UsageError(
                "the faces of a cube cannot have this side",
                got=f"{side} pixels",
                expected=f"a multiple of {2 * factor}",
            )
        n = self.model.sample_size[0] if side is None else side // factor
        margin = min(MARGIN, n)
        made = surround.from_prompts(
            self.voices(guidance_scale), n, prompts, negative, margin=margin
        )
        views = {name: one.view for name, one in made.beside.items()}
        more["return_dict"] = True
        out = self.infer(made.graph, made.picture, beside=views, options=options, **more)
        beside = cast("dict[str, Any]", cast(ComposePipelineOutput, out).beside)
        scale = 1 if more.get("output_type") == "latent" else factor
        return {name: _inner(found, margin * scale) for name, found in beside.items()}

    def voices(self, guidance_scale: float = 5.0) -> Voices:
        """The model under prompts, for observations of a graph of your own.

        Args:
            guidance_scale: 1 asks no unconditional question.
        """
        return Voices(self.model, guidance_scale, self._execution_device)

    @torch.no_grad()
    def infer(
        self,
        graph: Graph,
        picture: View,
        *,
        beside: Mapping[str, View] | None = None,
        options: Options | None = None,
        start: Callable[[Tensor], Tensor] | None = None,
        num_inference_steps: int = 30,
        generator: Generators | None = None,
        **more: Any,
    ) -> ComposePipelineOutput | tuple[Any, ...]:
        """Walk a graph of your own.

        Args:
            graph: Canvases and observations, with denoisers of `voices`.
            picture: How the picture (B, C, h, w) is seen in the sheet; see `Graph.view_of`.
            beside: More pictures, by name.
            options: How it is solved.
            start: What becomes of the first noise.
            num_inference_steps: Steps of the sampler.
            generator: The only source of randomness.
            **more: The other arguments of `ComposePipeline` that are not about prompts.

        Raises:
            UsageError: Guidance is given here, where it could do nothing.
        """
        if "guidance_scale" in more:
            raise UsageError(
                "the models of a graph bring their guidance",
                got=f"guidance_scale={more['guidance_scale']}",
                remedy="give it to voices(guidance_scale)",
            )
        plan = Plan(
            denoiser=Inference(graph, options),
            shape=(self.model.channels, *graph.spatial),
            picture=picture,
            beside={name: Beside(view=view) for name, view in (beside or {}).items()},
            start=start,
        )
        words = {
            "version": 1,
            "canvas": [side * self.model.codec.factor for side in reversed(plan.cells)],
            "prompt": "a graph",
            "layers": [{"name": "everywhere", "prompt": "a graph"}],
        }
        return super().__call__(
            build(words),
            method=_Planned(plan),
            num_inference_steps=num_inference_steps,
            generator=generator,
            **more,
        )


@final
class _Planned(Method):
    """A method that has its plan already."""

    name = "cgi"
    summary = "a graph that was made in Python"
    accepts = CGIMethod.accepts

    def __init__(self, made: Plan) -> None:
        self.made = made

    def plan(self, scene: Scene, model: Any, **rest: Any) -> Plan:
        """The plan."""
        return self.made


def _inner(pictures: Any, margin: int) -> Any:
    """Pictures, in any form, without what lies around them."""
    if isinstance(pictures, list):
        cut = (margin, margin)
        return [
            p.crop((*cut, p.width - margin, p.height - margin))
            for p in cast("list[Image.Image]", pictures)
        ]
    inside = slice(margin, -margin or None)
    if isinstance(pictures, Tensor):
        return pictures[..., inside, inside]
    return pictures[:, inside, inside]


def _own(method: str | Method) -> str | Method:
    return CGIMethod() if method == "cgi" else method
