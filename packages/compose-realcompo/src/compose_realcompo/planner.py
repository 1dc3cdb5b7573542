"""From a scene and models to the branches of a balance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from compose_core.conditions import Box, Condition, Depth, Keypoints, Mask, Segments
from compose_core.controls import Control, Style, draw_control
from compose_core.denoiser import Bound, Denoiser, Guided
from compose_core.encoded import Encoded
from compose_core.errors import UsageError
from compose_core.scene import Scene
from compose_realcompo import regions, tokens
from compose_realcompo.balancer import Branch
from compose_realcompo.grounding import GatedUNet, embed_phrases, grounded
from compose_realcompo.guidance import Guidance
from compose_realcompo.hearing import ears
from compose_realcompo.lookahead import Listener
from compose_realcompo.regions import Shape
from compose_realcompo.sides import Side
from compose_realcompo.variant import Variant

__all__ = ["Region", "Told", "branch", "told"]

_PLACES: dict[type[Condition], str] = {
    Mask: "a mask",
    Segments: "segments",
    Keypoints: "keypoints",
    Box: "a box",
}
"""What says where a layer is; the first of them rules, see `regions.surrounding`."""


class Region(NamedTuple):
    """A layer with words and a place.

    Attributes:
        name: Of the layer.
        phrase: Its words, as they stand in the prompt.
        box: Where it is.
        conditions: All that the layer asks for.
        weight: Its share in the loss.
    """

    name: str
    phrase: str
    box: Box
    conditions: tuple[Condition, ...]
    weight: float


class Told(NamedTuple):
    """What all branches are told of a scene.

    Attributes:
        prompt: With every phrase in it.
        negative: What there should not be.
        regions: In the order of the file, which is that of equal phrases in the prompt.
        scene: Whose it is.
        remarks: What could not be done as asked, each a sentence.
    """

    prompt: str
    negative: str
    regions: tuple[Region, ...]
    scene: Scene
    remarks: tuple[str, ...]


def told(scene: Scene, *, absent: tokens.Absent, padding: float) -> Told:
    """Words and places of a scene.

    Raises:
        UsageError: A phrase is not in the prompt and that is to be refused.
    """
    found: list[Region] = []
    remarks: list[str] = []
    conditions = scene.conditions() if scene.layers else {}
    for layer in scene.layers:
        own = conditions[layer.name]
        box = regions.surrounding(own, padding=padding)
        phrase = " ".join((layer.prompt or "").split())
        if layer.weight == 0:
            continue
        if box is None:
            remarks.append(f"layer {layer.name!r} says nowhere where it is: it balances nothing")
        else:
            found.append(Region(layer.name, phrase, box, own, layer.weight))
        remarks += _overruled(layer.name, own)
        if box is not None and not phrase:
            remarks.append(f"layer {layer.name!r} has no prompt: nobody listens for it")
    remarks += [
        f"the negative of layer {layer.name!r} is not used: both models hear that of the scene"
        for layer in scene.layers
        if layer.negative is not None and layer.weight > 0
    ]
    spoken = [layer.prompt or "" for layer in scene.layers if layer.weight > 0]
    prompt = tokens.with_phrases(scene.prompt, spoken, absent)
    if added := prompt[len(scene.prompt) :].strip(" ,"):
        remarks.append(f"the prompt has no such words, they are appended: {added!r}")
    return Told(prompt, scene.negative, tuple(found), scene, tuple(remarks))


def _overruled(name: str, own: Sequence[Condition]) -> list[str]:
    """Places of a layer that another one overrules, where `doubled` does not say it already."""
    kinds = {type(condition) for condition in own}
    said = [word for kind, word in _PLACES.items() if kind in kinds]
    if len(said) < 2 or said == [_PLACES[Mask], _PLACES[Box]]:
        return []
    others = " and ".join(said[1:])
    return [f"layer {name!r} has {said[0]} besides {others}: only the first says where it is"]


class _Heard(NamedTuple):
    """The branch, and what could not be heard."""

    branch: Branch
    remarks: tuple[str, ...]


def branch(
    side: Side,
    said: Told,
    spatial: tuple[int, int],
    *,
    guidance: float,
    variant: Variant,
    control: Control | None,
    shape: Shape,
    padding: float,
    factor: int | None,
    steer: tuple[float, float],
    device: torch.device | str,
) -> _Heard:
    """One model under what it can hear of a scene.

    Args:
        side: The model.
        said: The scene in words and places.
        spatial: (h, w) of the latents.
        guidance: Scale of classifier-free guidance.
        variant: See `variant`.
        control: What a ControlNet was trained to follow; default what its weights say.
        shape: Whether segments count as boxes or as they are.
        padding: Around keypoints, as a share of the canvas.
        factor: At which resolution attention is heard; see `hearing.ears`.
        steer: Strength of layout guidance, and the share of the steps that it lasts.
        device: Where tensors go.
    """
    model = side.model
    style = _style(side, control)
    places, nowhere = _places(side, said, style, device)
    cond = Encoded({**model.text.encode(said.prompt).to(device), **places})
    denoiser: Denoiser = Bound(model.network, cond)
    if guidance != 1:
        negative = model.text.encode(said.negative).to(device)
        uncond = Bound(model.network, Encoded({**negative, **nowhere}))
        denoiser = Guided(denoiser, uncond, guidance)
    unet = cast(nn.Module, model.components["unet"])
    heard = ears(unet, factor)
    phrases = [region.phrase for region in said.regions]
    located = tokens.locate(model.text.tokenizer, said.prompt, phrases, model.text.length)
    spans = [span[-1:] if variant.head_word else span for span in located.spans]
    size, covered = heard.size(spatial), heard.covered(spatial)
    masks, remarks = _masks(said.regions, size, covered, shape, padding, variant)
    fidelity = side.hears == "text"
    listener = Listener(
        model.network,
        cond,
        unet,
        heard.where,
        tuple(spans),
        masks.to(device),
        weights=torch.tensor([region.weight for region in said.regions]),
        counts=variant.text_grad or not fidelity,
        half_heads=variant.half_heads and fidelity,
    )
    if side.hears == "pull":
        denoiser = Guidance(denoiser, listener, strength=steer[0], until=steer[1])
    remarks = [*located.remarks, *remarks, *_unheard(side, said, places, style)]
    return _Heard(Branch(side.name, denoiser, listener), tuple(remarks))


def _style(side: Side, control: Control | None) -> Style:
    """How the ControlNet's picture is drawn.

    Raises:
        UsageError: It is asked to follow what its weights do not.
    """
    if side.style is None:
        return Style(control or "keypoints")
    if control is not None and control != side.style.control:
        raise UsageError(
            "the ControlNet follows something else",
            got=f"control={control!r}",
            expected=repr(side.style.control),
            remedy="leave the option out, or give another ControlNet",
        )
    return side.style


def _places(
    side: Side, said: Told, style: Style, device: torch.device | str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a side hears of places, and what its unconditional half hears instead."""
    if side.hears == "boxes":
        spoken = [region for region in said.regions if region.phrase]
        embedded = embed_phrases(side.model.text, [region.phrase for region in spoken])
        room = cast(GatedUNet, side.model.network).room
        heard, without = grounded([region.box for region in spoken], embedded, device, room)
        return dict(heard), dict(without)
    if side.hears == "control":
        picture = draw_control(said.scene, style).to(device)
        return {"control": picture}, {"control": picture}
    return {}, {}


def _unheard(side: Side, said: Told, places: dict[str, Tensor], style: Style) -> list[str]:
    """What of a scene the spatial model has no ear for."""
    depths = any(isinstance(x, Depth) for region in said.regions for x in region.conditions)
    remarks: list[str] = []
    if side.hears == "control" and not bool(places["control"].any()):
        remarks.append(f"the ControlNet has nothing to follow: no layer has {style.control}")
    if (
        side.hears != "text"
        and depths
        and not (side.hears == "control" and style.control == "depth")
    ):
        remarks.append("depth is not used: the spatial model does not follow it")
    return remarks


def _masks(
    found: Sequence[Region],
    size: tuple[int, int],
    covered: tuple[float, float],
    shape: Shape,
    padding: float,
    variant: Variant,
) -> tuple[Tensor, list[str]]:
    """(regions, h', w'), and a sentence for each region that is thinner than a cell."""
    masks: list[Tensor] = []
    remarks: list[str] = []
    for region in found:
        mask = regions.mask_of(
            region.conditions,
            size,
            shape=shape,
            padding=padding,
            truncate=variant.truncate,
            covered=covered,
        )
        masks.append(torch.zeros(size) if mask is None else mask)
        box = region.box
        if (box.x1 - box.x0) * size[1] < 1 or (box.y1 - box.y0) * size[0] < 1:
            cells = f"{size[1]} x {size[0]} cells"
            kept = "cut away" if variant.truncate else "as wide as a cell"
            remarks.append(
                f"layer {region.name!r} is thinner than a cell of the attention ({cells}): "
                f"there it is {kept}"
            )
        elif not variant.truncate and regions.lost(region.conditions, masks[-1], covered) > 0.5:
            remarks.append(
                f"most of the mask of layer {region.name!r} is thinner than a cell of the "
                "attention and is not seen there: a box around it may serve better"
            )
    return (torch.stack(masks) if masks else torch.zeros(0, *size)), remarks
