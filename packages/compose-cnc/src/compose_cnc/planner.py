"""From a scene, or what is left of it, to the network, its conditions and a denoiser."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from compose_cnc import looks, prompts, regions, streams
from compose_cnc.attention import SoftGuidance
from compose_cnc.folder import Adapter, load_adapter
from compose_cnc.guidance import guided
from compose_cnc.network import CnCNetwork
from compose_cnc.options import Options
from compose_cnc.regions import Resize
from compose_core import zoo
from compose_core.compose import Regional
from compose_core.conditions import Depth, Exemplar
from compose_core.denoiser import Bound, Denoiser, Switched
from compose_core.encoded import Encoded
from compose_core.errors import UsageError
from compose_core.images import Array
from compose_core.scene import Scene, visible
from compose_core.scene.remarks import contradicted

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["Planner", "adapter_for", "network_for", "ready"]


def adapter_for(
    adapter: str | os.PathLike[str] | Adapter, model: Model, device: torch.device | str
) -> Adapter:
    """The adapter, loaded in the dtype of a model and checked against it.

    Raises:
        UsageError: A loaded one computes in another dtype or elsewhere than the model.
        WeightsError: It is missing, damaged, or belongs to another base model.
    """
    unet = cast(nn.Module, model.components["unet"])
    weight = next(unet.parameters())
    if not isinstance(adapter, Adapter):
        adapter = load_adapter(zoo.resolve(adapter), weight.dtype, device)
    adapter.check_base(unet, model.codec.factor)
    _check_place(adapter, weight.dtype, torch.device(device))
    return adapter


def _check_place(adapter: Adapter, dtype: torch.dtype, device: torch.device) -> None:
    """The fusers work between layers of the UNet; the picture encoder goes its own way."""
    for name in ("local_fuser", "global_fuser"):
        part = cast("nn.Module | None", getattr(adapter, name))
        weight = next(part.parameters()) if part is not None else None
        if weight is None or (weight.dtype, weight.device.type) == (dtype, device.type):
            continue
        raise UsageError(
            "the adapter is not where the model is",
            got=f"{name} in {weight.dtype} on {weight.device.type}",
            expected=f"{dtype} on {device.type}",
            remedy="load it with load_adapter(folder, dtype, device), or give its folder",
        )


def network_for(
    model: Model, adapter: Adapter, soft_guidance: SoftGuidance, resize: Resize
) -> CnCNetwork:
    """The base model's UNet with an adapter."""
    return CnCNetwork(
        model.components["unet"],
        model.schedule,
        cast(Any, model.network).prediction_type,
        local_fuser=adapter.local_fuser,
        global_fuser=adapter.global_fuser,
        soft_guidance=soft_guidance,
        resize=resize,
    ).eval()


def ready(
    network: CnCNetwork, conditions: list[Encoded], spatial: tuple[int, int]
) -> list[Encoded]:
    """Conditions with all constant work done; as they are where the UNet is offloaded.

    Hooks bring the weights of an offloaded UNet when the whole is called, not when a layer of it
    is asked for keys and values.
    """
    if any(hasattr(module, "_hf_hook") for module in network.unet.modules()):
        return conditions
    return network.prepare_all(conditions, spatial)


class Planner:
    """Makes denoisers of a scene and of what is left of it; texts are encoded once."""

    def __init__(
        self,
        options: Options,
        model: Model,
        adapter: Adapter,
        network: CnCNetwork,
        shape: tuple[int, int, int],
        device: torch.device | str,
        guidance: float,
    ) -> None:
        self.options, self.model, self.adapter = options, model, adapter
        self.spatial, self.device, self.guidance = shape[1:], device, guidance
        self.network = network
        self.remarks: list[str] = []
        self._texts: dict[str, Tensor] = {}

    def denoiser(self, scene: Scene) -> Denoiser:
        """A scene under guidance, whoever takes part in it."""
        areas = scene.regions(scene.height, scene.width) if scene.layers else {}
        hidden = _hidden(scene, areas)
        self.remarks += hidden.values()
        self.remarks += contradicted(scene, areas)
        hearing, deaf = self._conditions(scene, areas)
        options = self.options
        said = prompts.prompts(
            scene,
            areas,
            self.spatial,
            apart=options.apart > 0,
            blur=options.soften,
            base_share=options.base_share,
        )
        self.remarks += _silent(said, hidden)
        said = [x for x in said if bool((x.share > prompts.VISIBLE).any())]
        bound = self._bound(said, hearing, deaf)
        parts = [self._part(x, bound) for x in said]
        if len(parts) == 1:
            return parts[0]
        return Regional(parts, torch.stack([x.share for x in said]).to(self.device))

    def _part(self, said: prompts.Said, bound: Mapping[tuple[str, bool], Bound]) -> Denoiser:
        """A prompt under guidance, at first also away from its rivals."""

        def away(negative: str) -> Denoiser:
            return guided(
                bound[said.prompt, True],
                bound[negative, True],
                bound[negative, False],
                self.guidance,
                self.options.cfg,
                self.options.exemplar_guidance,
            )

        share = self.options.apart
        if said.rivals == said.negative or not share or self.guidance == 1:
            return away(said.negative)
        if share == 1:
            return away(said.rivals)
        return Switched([away(said.rivals), away(said.negative)], [0.0, share])

    def _bound(
        self, said: list[prompts.Said], hearing: Encoded, deaf: Encoded
    ) -> dict[tuple[str, bool], Bound]:
        """Every text with the exemplars (True) and without them; equal ones are one."""
        texts = dict.fromkeys(t for x in said for t in (x.prompt, x.negative, x.rivals))
        conditions = [Encoded({"text": self._text(x), **hearing}) for x in texts]
        if deaf is not hearing:
            conditions += [Encoded({"text": self._text(x), **deaf}) for x in texts]
        made = [Bound(self.network, x) for x in ready(self.network, conditions, self.spatial)]
        heard, unheard = made[: len(texts)], made[-len(texts) :]
        found = {(text, True): x for text, x in zip(texts, heard, strict=True)}
        return found | {(text, False): x for text, x in zip(texts, unheard, strict=True)}

    def _conditions(self, scene: Scene, areas: Mapping[str, Array]) -> tuple[Encoded, Encoded]:
        """All but the text: with the exemplars, and with every exemplar missing."""
        depths, pictures = self._given(scene)
        found = streams.take_streams(scene, depths, areas, cut=self.options.cut)
        self.remarks += found.remarks
        maps = {"depth_fg": found.fg, "depth_bg": found.bg, "strength": found.strength}
        shared = {name: x.to(self.device) for name, x in maps.items() if x is not None}
        always = self.options.always_tokens and self.adapter.global_fuser is not None
        if not pictures and not always:
            alone = Encoded(shared)
            return alone, alone
        look = looks.take_looks(
            scene,
            pictures,
            areas,
            streams.sides(scene, list(depths)),
            self.network,
            self.adapter.exemplars,
            lambdas=self.options.lambdas,
            device=self.device,
        )
        self.remarks += self._unheard(scene, pictures, look.region)
        shared["region"] = look.region
        hearing = Encoded({**shared, "tokens": look.tokens})
        if not pictures:
            return hearing, hearing
        return hearing, Encoded({**shared, "tokens": look.without})

    def _unheard(
        self, scene: Scene, pictures: Mapping[str, Array], region: Tensor
    ) -> Iterator[str]:
        """One sentence for each exemplar whose region, hidden or not, holds no cell."""
        if self.options.soft_guidance == "off":
            return
        alone = [
            regions.at_size(x[None, None], self.spatial, self.options.resize) for x in region[0]
        ]
        for layer, seen in zip(scene.ordered[::-1], alone, strict=False):
            if layer.name in pictures and not bool((seen > 0).any()):
                yield (
                    f"the exemplar of layer {layer.name!r} goes unheard: its region is smaller "
                    "than a cell of the latents"
                )

    def _given(self, scene: Scene) -> tuple[dict[str, Array], dict[str, Array]]:
        """Depths and exemplars of the layers, as far as the adapter can see them."""
        conditions = scene.conditions() if scene.layers else {}
        depths = {k: x.values for k, v in conditions.items() for x in v if isinstance(x, Depth)}
        pictures = {
            k: x.values for k, v in conditions.items() for x in v if isinstance(x, Exemplar)
        }
        if depths and self.adapter.local_fuser is None:
            self.remarks.append("the adapter has no local fuser: depth is not used")
            depths = {}
        if pictures and (self.adapter.global_fuser is None or self.adapter.exemplars is None):
            self.remarks.append(
                "the adapter has no global fuser with a picture encoder: exemplars are not used"
            )
            pictures = {}
        return depths, pictures

    def _text(self, prompt: str) -> Tensor:
        if prompt not in self._texts:
            self._texts[prompt] = self.model.text.encode(prompt)["text"].to(self.device)
        return self._texts[prompt]


def _silent(said: Sequence[prompts.Said], hidden: Collection[str]) -> Iterator[str]:
    """One sentence for each prompt that is seen, but has no say in any cell of the latents."""
    for x in said:
        if x.layer and x.layer not in hidden and not bool((x.share > prompts.VISIBLE).any()):
            yield (
                f"the prompt of layer {x.layer!r} goes unheard: its region is smaller than a cell "
                "of the latents"
            )


def _hidden(scene: Scene, areas: Mapping[str, Array]) -> dict[str, str]:
    """One sentence for each layer that nearer ones cover entirely, by its name."""
    if not areas:
        return {}
    seen = visible({layer.name: areas[layer.name] for layer in scene.ordered})
    remarks: dict[str, str] = {}
    for layer in scene.ordered[:-1]:
        if not (seen[layer.name] > prompts.VISIBLE).any():
            what = ", its exemplar goes unheard" if layer.exemplar is not None else ""
            remarks[layer.name] = (
                f"layer {layer.name!r} is nowhere visible: nearer ones cover it{what}"
            )
    return remarks
