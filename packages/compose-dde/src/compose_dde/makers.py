"""Scenes become files: music, pictures with objects at places, pictures of maps."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast, final

import torch
from torch import Tensor

from compose_core.conditions import LabelMap
from compose_core.errors import SceneError
from compose_core.evaluate import Local
from compose_core.run.flac import with_comment
from compose_core.run.record import BESIDE, CHUNK, Settings
from compose_core.scene import Scene
from compose_dde.audio.checks import as_stems, check_sound
from compose_dde.audio.resampling import resample
from compose_dde.folder import Expansion, Subject, load_expansion
from compose_dde.pipeline.files import decode_sound, encode_sound, picture, png
from compose_dde.pipeline.music import Music, MusicPipeline
from compose_dde.pipeline.pictures import MapsPipeline, PositionsPipeline
from compose_dde.pipeline.walk import DDEPipeline

__all__ = ["MapMaker", "MusicMaker", "PositionMaker", "maker_of"]

Report = Callable[[str], None]
Tick = Callable[[int, int], None]


def maker_of(scene: Scene) -> MusicMaker | PositionMaker | MapMaker | None:
    """Who makes a scene; None for one of words alone."""
    if scene.duration is not None:
        return MusicMaker(scene)
    if any(layer.map is not None for layer in scene.layers):
        return MapMaker(scene)
    if any(layer.point is not None for layer in scene.layers):
        return PositionMaker(scene)
    return None


class _Maker(ABC):
    """A `compose_core.method.Maker`.

    Args:
        scene: What is made.
    """

    suffix: str = ".png"
    accepts: ClassVar[frozenset[str]]
    """Keys of the scene that it uses."""
    subject: ClassVar[Subject]
    usual_model: ClassVar[str]
    kind: ClassVar[type[DDEPipeline]]

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._expansion: Expansion | None = None

    def model(self) -> str:
        """The model of the zoo."""
        return self.usual_model

    def load(self, folder: Path, device: str) -> None:
        """Load it, and compare it with the scene."""
        self._expansion = load_expansion(folder, device)
        self.kind(self._expansion)  # says if the folder is for something else
        self.fit()

    @abstractmethod
    def fit(self) -> None:
        """Refuse a scene that the model cannot make.

        Raises:
            SceneError: With what would fit.
        """

    @property
    def expansion(self) -> Expansion:
        """The model."""
        assert self._expansion is not None, "load comes first"
        return self._expansion

    def beside(self) -> Sequence[str]:
        """None."""
        return ()

    def usual(self) -> tuple[int, float]:
        """Steps and guidance of the folder; guidance as core counts it, `1 + w`."""
        return self.expansion.walk.steps, 1 + self.expansion.walk.w

    def pipeline(self, settings: Settings, tick: Tick) -> Any:
        """The pipeline with these settings."""
        walk = replace(self.expansion.walk, steps=settings.steps, w=settings.guidance - 1)
        return self.kind(
            self.expansion,
            walk=walk,
            evaluator=Local(settings.max_batch),
            tick=tick,
            warn=lambda _: None,  # what is given was looked at file by file
        )

    @abstractmethod
    def make(self, settings: Settings, report: Report, tick: Tick) -> Any:
        """Make one thing."""

    def encode(self, made: Any, record: str) -> tuple[bytes, Mapping[str, bytes]]:
        """A PNG that carries its record."""
        return png(picture(made), CHUNK, record), {}

    def _require_canvas(self, width: int, height: int) -> None:
        if self.scene.canvas != (width, height):
            raise SceneError(
                "the canvas does not fit the model",
                got=list(self.scene.canvas),
                expected=[width, height],
                remedy=f"write canvas = [{width}, {height}]",
            )


@final
class MusicMaker(_Maker):
    """A duration: the mix, and beside it each stem. Layers named like stems set their loudness."""

    suffix = ".flac"
    accepts = frozenset({"prompt", "weight", "duration", "sound", "wrap"})
    subject = "music"
    usual_model = "dde-music-tiny"
    kind = MusicPipeline

    def fit(self) -> None:
        """See `_Maker.fit`; sounds that are continued must have the stems of the model."""
        self._before()

    def beside(self) -> Sequence[str]:
        """The stems."""
        return [f"{name}.flac" for name in self.expansion.facts["stems"]]

    def make(self, settings: Settings, report: Report, tick: Tick) -> Music:
        """Make one."""
        pipe = cast(MusicPipeline, self.pipeline(settings, tick))
        generator = [torch.Generator().manual_seed(settings.seed)]
        assert self.scene.duration is not None
        before, remarks = self._before()
        for line in (*remarks, *self._unheard(settings)):
            report(line)
        made = pipe(self.scene.duration, generator=generator, loop=self.scene.wrap, before=before)
        gains = {layer.name: layer.weight for layer in self.scene.layers}
        scale = torch.tensor([gains.get(name, 1.0) for name in made.names])[:, None]
        stems = made.stems[0] * scale
        peak = float(stems.sum(0).abs().max())
        if peak > 1:
            report(f"the mix was too loud (peak {peak:.2f}); everything was turned down by that")
            stems = stems / peak
        return Music(stems[None], made.sample_rate, made.names)

    def encode(self, made: Any, record: str) -> tuple[bytes, Mapping[str, bytes]]:
        """FLACs, which carry the record; stems say that they are beside it."""
        music = cast(Music, made)
        title, rate = self.scene.prompt, music.sample_rate
        mix = encode_sound(music.mix[0], rate, title=title)
        stems = {
            f"{name}.flac": encode_sound(one, rate, title=f"{title}: {name}")
            for name, one in zip(music.names, music.stems[0], strict=True)
        }
        for file, data in stems.items():
            marked = with_comment(data, BESIDE, json.dumps(file.removesuffix(".flac")))
            stems[file] = with_comment(marked, CHUNK, record)
        return with_comment(mix, CHUNK, record), stems

    def _unheard(self, settings: Settings) -> Iterator[str]:
        """What was asked for and changes nothing."""
        if settings.guidance != self.usual()[1]:
            yield "music knows no conditions: guidance changes nothing"
        names = list(self.expansion.facts["stems"])
        for layer in self.scene.layers:
            if layer.sound is None and layer.name not in names:
                yield (
                    f"the layer {layer.name!r} changes nothing: it has no sound and is none of "
                    f"the stems ({', '.join(names)})"
                )

    def _before(self) -> tuple[Tensor | None, list[str]]:
        """What is continued, `(S, T)`: one file of all stems, or one for each of some; remarks."""
        given = {x.name: x.sound for x in self.scene.layers if x.sound is not None}
        if not given:
            return None, []
        facts = self.expansion.facts
        names, rate = list(facts["stems"]), int(facts["sample_rate"])
        found: dict[str, Tensor] = {}
        remarks: list[str] = []
        for name, file in given.items():
            what = f"the sound {file!r} of layer {name!r}"
            values, has = decode_sound(self.scene.assets[file], what)
            remarks += check_sound(values, has, what=what).warnings
            if has != rate:
                remarks.append(f"{what} was resampled from {has} to {rate} Hz")
                values = resample(values, has, rate)
            if name in names and values.shape[0] == 1:
                found[name] = values[0]
            elif values.shape[0] == len(names):
                found |= dict(zip(names, values, strict=True))
            else:
                raise SceneError(
                    f"{what} has not the stems of the model",
                    got=f"{values.shape[0]} channels",
                    expected=f"{len(names)} channels ({', '.join(names)}), or one in a layer "
                    "named like a stem",
                )
        return as_stems(found, names), remarks


@final
class PositionMaker(_Maker):
    """Points: a picture with an object at each."""

    accepts = frozenset({"point"})
    subject = "positions"
    usual_model = "dde-positions-tiny"
    kind = PositionsPipeline

    @property
    def places(self) -> list[tuple[float, float]]:
        """The points."""
        return [layer.point for layer in self.scene.layers if layer.point is not None]

    def fit(self) -> None:
        """See `_Maker.fit`."""
        height, width = self.expansion.window
        self._require_canvas(width, height)

    def make(self, settings: Settings, report: Report, tick: Tick) -> Tensor:
        """Make one."""
        pipe = cast(PositionsPipeline, self.pipeline(settings, tick))
        generator = [torch.Generator().manual_seed(settings.seed)]
        return pipe(self.places, generator=generator)[0]


@final
class MapMaker(_Maker):
    """A schematic map: a picture of it."""

    accepts = frozenset({"map"})
    subject = "maps"
    usual_model = "dde-maps-tiny"
    kind = MapsPipeline

    @property
    def chart(self) -> Tensor:
        """The map `(3, H, W)` in [-1, 1]; the first layer that has one."""
        for conditions in self.scene.conditions().values():
            for one in conditions:
                if isinstance(one, LabelMap) and one.task == "map":
                    return torch.from_numpy(one.values.copy()).movedim(2, 0) * 2 - 1
        raise SceneError("the scene has no map", remedy='write map = "map.png" in a layer')

    def fit(self) -> None:
        """See `_Maker.fit`."""
        grain = self.kind(self.expansion).grain
        window = self.expansion.window
        sides = [self.scene.width, self.scene.height]
        near = [
            max(round(side / grain) * grain, least)
            for side, least in zip(sides, reversed(window), strict=True)
        ]
        if near != sides:
            self._require_canvas(near[0], near[1])

    def make(self, settings: Settings, report: Report, tick: Tick) -> Tensor:
        """Make one."""
        pipe = cast(MapsPipeline, self.pipeline(settings, tick))
        generator = [torch.Generator().manual_seed(settings.seed)]
        return pipe(self.chart, generator=generator)[0]
