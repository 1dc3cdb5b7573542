"""What a method is: a scene and a model in, a denoiser out; and how methods are found.

Packages announce their methods under the entry point group `compose.methods`. Each method says
which keys of a scene it understands, so that nothing that a scene asks for is dropped in silence.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from compose_core.codec import Codec, Wrap
from compose_core.denoiser import Bound, Denoiser, Guided
from compose_core.errors import ComposeError, SceneError, UsageError
from compose_core.noise import Generators
from compose_core.scene import Scene
from compose_core.views import View, Whole

if TYPE_CHECKING:
    from compose_core.backbones import Model, TextEncoder

__all__ = [
    "GROUP",
    "Beside",
    "Maker",
    "Method",
    "Plan",
    "by_name",
    "capabilities",
    "find",
    "latent_shape",
    "methods",
    "plan_prompts",
    "too_long",
]

GROUP = "compose.methods"
"""The entry point group: `name = "package.module:Class"`."""

_BUILT_IN = EntryPoint("regional", "compose_core.regional:RegionalMethod", GROUP)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a method makes of one scene.

    Attributes:
        denoiser: What the sampler will ask.
        shape: (C, *spatial) of one sample; (C, h, w) unless `picture` says otherwise.
        wrap: Axes (rows, columns) that are closed, for decoding.
        warnings: What could not be done as asked, each a sentence.
        picture: How the latents (B, C, h, w) of the picture are seen in a sample.
        beside: More pictures that the same sample holds, by their names.
        start: What becomes of the noise that was drawn, before the walk; by default nothing.
        codec: What decodes the sample, where it is not the model's.
    """

    denoiser: Denoiser
    shape: tuple[int, ...]
    wrap: Wrap = (False, False)
    warnings: tuple[str, ...] = ()
    picture: View = Whole()
    beside: Mapping[str, Beside] = field(default_factory=dict[str, "Beside"])
    start: Callable[[Tensor], Tensor] | None = None
    codec: Codec | None = None

    @property
    def cells(self) -> tuple[int, int]:
        """(h, w) of the latents of the picture."""
        height, width = self.picture.observe(torch.empty(1, *self.shape)).shape[-2:]
        return height, width


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    """A picture beside the one that was asked for.

    Attributes:
        view: How its latents (B, C, h, w) are seen in a sample.
        alpha: Where it counts, (H, W) in [0, 1] in pixels; None for everywhere.
    """

    view: View
    alpha: Tensor | None = None


class Maker(Protocol):
    """Turns scenes into files for a method whose models are not diffusers' pictures.

    Attributes:
        suffix: Of the files, such as ".flac".
    """

    suffix: str

    def model(self) -> str:
        """The model that the scene is made with unless another one is asked for."""
        ...

    def load(self, folder: Path, device: str) -> None:
        """Load a model, and refuse a scene that does not fit it.

        Raises:
            SceneError: The scene does not fit the model, or the memory.
            WeightsError: The folder holds no model of this kind.
        """
        ...

    def beside(self) -> Sequence[str]:
        """Names of the files that `encode` puts beside the one asked for; after `load`."""
        ...

    def usual(self) -> tuple[int, float]:
        """Steps and guidance of the loaded model unless others are asked for."""
        ...

    def make(
        self, settings: Any, report: Callable[[str], None], tick: Callable[[int, int], None]
    ) -> Any:
        """Make one thing.

        Args:
            settings: A `compose_core.run.record.Settings`: seed, steps, guidance, `max_batch`.
            report: Receives each warning as one line of text.
            tick: Hears of every step: its number, from 1, and how many there are.
        """
        ...

    def encode(self, made: Any, record: str) -> tuple[bytes, Mapping[str, bytes]]:
        """The bytes of the file, which carry the record, and of files beside it, by name.

        Args:
            made: From `make`.
            record: JSON text, from which it can be made again.
        """
        ...


class Method(ABC):
    """A way to compose a scene. Instances hold options only, never the state of a run.

    Attributes:
        name: What users call it.
        summary: One line for a table.
        accepts: Keys of scenes and layers that it understands.
        needs: Keys that at least one layer must give; `"box|mask"` asks for either.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    accepts: ClassVar[frozenset[str]]
    needs: ClassVar[frozenset[str]] = frozenset()

    @property
    def adapters(self) -> tuple[str | os.PathLike[str], ...]:
        """Weights that it adds to the model: ids in the zoo, or folders; known from its options.

        Records name them with their hashes, as they name the model.
        """
        return ()

    @classmethod
    def accepted(cls, scene: Scene) -> frozenset[str]:
        """Of `accepts`, what it uses of this scene; for methods that make several kinds."""
        return cls.accepts

    @classmethod
    def maker(cls, scene: Scene) -> Maker | None:
        """Who makes files of this scene; None where `plan` and a pipeline of diffusers do."""
        return None

    @abstractmethod
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
        """Turn a scene into a denoiser.

        Args:
            scene: Checked against `accepts` and `needs` by the caller.
            model: Network, text encoder and codec.
            device: Where tensors go.
            generator: The only source of randomness; nothing is drawn that changes with the batch.
            guidance: Scale of classifier-free guidance; 1 asks no unconditional question.
            steps: Length of the walk to come.

        Raises:
            SceneError: The scene does not fit the model.
        """


def methods() -> dict[str, EntryPoint]:
    """Every method there is, by name, not yet imported.

    Raises:
        ComposeError: Two packages announce the same name.
    """
    return by_name([_BUILT_IN, *entry_points(group=GROUP)], "method")


def by_name(found: Iterable[EntryPoint], kind: str) -> dict[str, EntryPoint]:
    """Entry points by name, sorted; `kind` says in the error what they announce.

    Raises:
        ComposeError: Two packages announce the same name.
    """
    known: dict[str, EntryPoint] = {}
    for entry in found:
        other = known.setdefault(entry.name, entry)
        # One distribution may be seen twice, as a wheel and as a source tree.
        if other.value != entry.value:
            raise ComposeError(
                f"two packages bring a {kind} called {entry.name!r}",
                got=f"{other.value} and {entry.value}",
                remedy="uninstall one of them",
            )
    return dict(sorted(known.items()))


def find(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        UsageError: There is none; the message lists those there are.
        ComposeError: Its package is broken.
    """
    known = methods()
    if name not in known:
        raise UsageError(
            f"there is no method {name!r}",
            expected=", ".join(known),
            remedy="see `compose methods`; others come with their own packages",
        )
    try:
        loaded: object = known[name].load()
    except Exception as error:  # whatever another package does while it is imported
        raise ComposeError(
            f"the method {name!r} cannot be imported",
            got=f"{type(error).__name__}: {error}",
            expected=known[name].value,
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Method)):
        raise ComposeError(
            f"the entry point {name!r} is no method", got=known[name].value, expected="a Method"
        )
    return loaded


def capabilities() -> dict[str, dict[str, str]]:
    """What each method makes of each key: `"needs"`, `"uses"`, or absent. For a table.

    A method whose package is broken is left out; `find` says what is wrong with it.
    """
    table: dict[str, dict[str, str]] = {}
    for name in methods():
        try:
            method = find(name)
        except ComposeError:
            continue
        needed = {key for need in method.needs for key in need.split("|")}
        row = {key: "uses" for key in sorted(method.accepts)}
        table[name] = row | {key: "needs" for key in sorted(needed)}
    return table


def latent_shape(scene: Scene, model: Model) -> tuple[int, int, int]:
    """(C, h, w) of the latents of a scene.

    Raises:
        SceneError: The canvas is no multiple of the model's factor; the nearest one is offered.
    """
    f = model.codec.factor
    if scene.width % f or scene.height % f:
        near = [max(round(side / f), 1) * f for side in scene.canvas]
        raise SceneError(
            "the canvas does not fit the model",
            got=f"{scene.width} x {scene.height}",
            expected=f"multiples of {f}",
            remedy=f"use canvas = [{near[0]}, {near[1]}]",
        )
    return model.channels, scene.height // f, scene.width // f


def plan_prompts(
    model: Model,
    texts: Sequence[tuple[str, str]],
    shape: tuple[int, int, int],
    guidance: float,
    device: torch.device | str,
) -> Plan:
    """The model itself under its prompts, without any composition.

    Args:
        model: Network and text encoder.
        texts: (prompt, negative) of each sample, or one pair for all.
        shape: (C, h, w) of one sample.
        guidance: Scale of classifier-free guidance; with 1, negatives are not looked at.
        device: Where tensors go.
    """
    sides = [list(side) for side in zip(*texts, strict=True)]
    used = sides if guidance != 1 else sides[:1]
    bound = [Bound(model.network, model.text.encode(side).to(device)) for side in used]
    denoiser = Guided(bound[0], bound[1], guidance) if len(bound) == 2 else bound[0]
    lines = too_long((text for side in used for text in side), model.text)
    return Plan(denoiser=denoiser, shape=shape, warnings=tuple(lines))


def too_long(said: Scene | Iterable[str], text: TextEncoder) -> Iterator[str]:
    """One sentence for each prompt that a text encoder cuts.

    Args:
        said: Prompts; or a scene, of which prompts and negatives are looked at, layer by layer.
        text: What reads them.
    """
    owned = _owned(said) if isinstance(said, Scene) else {"": said}
    for owner, prompts in owned.items():
        for cut in filter(None, dict.fromkeys(map(text.cut, prompts))):
            yield f"a prompt{owner} is too long; this end is not seen: {cut!r}"


def _owned(scene: Scene) -> Mapping[str, tuple[str, str]]:
    layers = {f" of layer {x.name!r}": (x.prompt or "", x.negative or "") for x in scene.layers}
    return {" of the scene": (scene.prompt, scene.negative), **layers}
