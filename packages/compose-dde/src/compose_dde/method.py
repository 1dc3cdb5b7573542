"""`compose run SCENE --method dde`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import torch

from compose_core.denoiser import Bound, Guided
from compose_core.method import Maker, Method, Plan, latent_shape, too_long
from compose_core.noise import Generators
from compose_core.scene import Scene

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["DDEMethod"]


@final
class DDEMethod(Method):
    """Diffusion domain expansion.

    What a scene asks for follows from what it holds: a `duration` is music (`dde-music-tiny`), a
    layer with a `map` a picture of that map (`dde-maps-tiny`), layers with a `point` a picture
    with an object at each (`dde-positions-tiny`). A scene of words alone is drawn by any model of
    text in windows that are averaged: there is no coordinator for it.
    """

    name: ClassVar[str] = "dde"
    summary: ClassVar[str] = "long music, large maps, many places, by a trained coordinator (DDE)"
    accepts: ClassVar[frozenset[str]] = frozenset(
        {"prompt", "negative", "weight", "duration", "sound", "point", "map", "wrap"}
    )

    @classmethod
    def accepted(cls, scene: Scene) -> frozenset[str]:
        """See `Method.accepted`."""
        from compose_dde.makers import maker_of

        made = maker_of(scene)
        return frozenset({"negative", "wrap"}) if made is None else made.accepts

    @classmethod
    def maker(cls, scene: Scene) -> Maker | None:
        """See `Method.maker`."""
        from compose_dde.makers import maker_of

        return maker_of(scene)

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
        """See `Method.plan`: a picture of words in windows of the model's size."""
        from compose_dde.composer import DDE
        from compose_dde.domain import Domain

        channels, *cells = latent_shape(scene, model)
        window = tuple(map(min, cells, model.sample_size))
        stride = [max(side // 2, 1) for side in window]
        domain = Domain.grid(cells, window, stride, (False, scene.wrap))
        cond = Bound(model.network, model.text.encode([scene.prompt]).to(device))
        part = cond
        if guidance != 1:
            none = Bound(model.network, model.text.encode([scene.negative]).to(device))
            part = Guided(cond, none, guidance)
        return Plan(
            denoiser=DDE(part, domain),
            shape=(channels, cells[0], cells[1]),
            wrap=(False, scene.wrap),
            warnings=tuple(too_long(scene, model.text)),
        )
