"""What all baselines share: an adapter, the scene's prompt, and what it is told besides."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn

from compose_benchmarks.baselines.merged import Merge, check_merge
from compose_core import zoo
from compose_core.denoiser import Bound, Guided, Network
from compose_core.encoded import Encoded
from compose_core.errors import WeightsError
from compose_core.method import Method, Plan, latent_shape, too_long
from compose_core.noise import Generators
from compose_core.scene import Scene
from compose_core.scene.remarks import doubled

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["Steered", "Told", "load_part", "refuse_base"]

Told = Mapping[str, Tensor]
"""What a network hears besides the text, by name, (1, ...) each."""


class Steered(Method):
    """The scene's prompt under guidance, with a network that an adapter steers.

    Args:
        adapter: Id in the zoo, or a folder; loaded once for each model.
        merge: How the depths of layers become one map; see `Merge`.

    Raises:
        UsageError: There is no such way to merge.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"prompt", "negative", "box", "mask", "z"})
    needs: ClassVar[frozenset[str]] = frozenset({"depth"})
    usual: ClassVar[str]
    """Id of the adapter unless another is asked for."""

    def __init__(
        self, adapter: str | os.PathLike[str] | None = None, merge: Merge = "nearest"
    ) -> None:
        check_merge(merge)
        self.adapter = self.usual if adapter is None else adapter
        self.merge: Merge = merge
        self._held: tuple[nn.Module, str, Network] | None = None

    @property
    def adapters(self) -> tuple[str | os.PathLike[str], ...]:
        """The one adapter."""
        return (self.adapter,)

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
            UsageError, WeightsError: The adapter is not there, is damaged, or was made for another
                base model.
        """
        shape = latent_shape(scene, model)
        network = self._network(model, device)
        sides = [scene.prompt] if guidance == 1 else [scene.prompt, scene.negative]
        told = self.told(network, scene, device)[: len(sides)]
        given = [
            Encoded({"text": model.text.encode(text)["text"].to(device), **heard})
            for text, heard in zip(sides, told, strict=True)
        ]
        bound = [Bound(network, x) for x in self.prepared(network, given, shape[1:])]
        denoiser = Guided(bound[0], bound[1], guidance) if len(bound) == 2 else bound[0]
        lines = too_long(sides, model.text)
        return Plan(denoiser=denoiser, shape=shape, warnings=(*lines, *doubled(scene)))

    @abstractmethod
    def build(self, folder: Path, model: Model, device: torch.device | str) -> Network:
        """The network, with the adapter of a folder.

        Raises:
            WeightsError: It is damaged, or was made for another base model.
        """

    @abstractmethod
    def told(
        self, network: Network, scene: Scene, device: torch.device | str
    ) -> tuple[Told, Told]:
        """What the network hears on the conditional and on the unconditional side."""

    def prepared(
        self, network: Network, conditions: list[Encoded], spatial: tuple[int, int]
    ) -> list[Encoded]:
        """Conditions of both sides with all work done that is constant over a walk.

        Args:
            network: What will hear them.
            conditions: Text and what it was told.
            spatial: (h, w) of the latents.
        """
        return conditions

    def _network(self, model: Model, device: torch.device | str) -> Network:
        """One network for all scenes, so that their questions share calls."""
        unet = cast(nn.Module, model.components["unet"])
        if self._held is None or self._held[0] is not unet or self._held[1] != str(device):
            folder = zoo.resolve(self.adapter)
            self._held = (unet, str(device), self.build(folder, model, device).eval())
        return self._held[2]


def load_part(kind: Any, folder: Path, dtype: torch.dtype, device: torch.device | str) -> Any:
    """A model of diffusers: from safetensors, nothing downloaded, every weight accounted for.

    Args:
        kind: Its class.
        folder: With its config and weights.
        dtype: What it computes in.
        device: Where it goes.

    Raises:
        WeightsError: It is missing or damaged, or weights do not fit.
    """

    def load() -> Any:
        return kind.from_pretrained(
            folder,
            torch_dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )

    made, info = _guarded(load, kind.__name__, folder)
    wrong = {key: info[key] for key in _MISFITS if info.get(key)}
    if wrong:
        raise WeightsError(
            f"the weights of the {kind.__name__} do not fit its configuration",
            got=", ".join(f"{len(v)} {k.replace('_', ' ')}" for k, v in wrong.items()),
            expected="exactly the tensors that its config describes",
            remedy=f"check {folder}",
        )
    return made.to(device).eval().requires_grad_(False)


_MISFITS = ("missing_keys", "unexpected_keys", "mismatched_keys")


def _guarded(load: Callable[[], Any], name: str, folder: Path) -> Any:
    try:
        return load()
    except Exception as error:  # the library raises nearly anything on damaged files
        first = str(error).splitlines()[0] if str(error) else ""
        raise WeightsError(
            f"the {name} cannot be loaded",
            got=f"{type(error).__name__}: {first}",
            expected=f"config and safetensors in {folder}",
        ) from error


def refuse_base(found: Mapping[str, object], expected: Mapping[str, object], name: str) -> None:
    """Refuse an adapter whose settings are not those of the base model.

    Raises:
        WeightsError: Some differ.
    """
    wrong = [key for key, value in expected.items() if _plain(found[key]) != _plain(value)]
    if wrong:
        raise WeightsError(
            f"the {name} was made for another base model",
            got=", ".join(f"{key} = {found[key]}" for key in wrong),
            expected=", ".join(f"{key} = {expected[key]}" for key in wrong),
        )


def _plain(value: object) -> object:
    return tuple(cast("list[object]", value)) if isinstance(value, list) else value
