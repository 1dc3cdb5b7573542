"""Pictures with objects at several places, and large pictures of large maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast, final

import torch
from torch import Tensor

from compose_core.errors import UsageError
from compose_core.noise import Generators
from compose_dde.folder import Subject
from compose_dde.pipeline.checks import check_chart
from compose_dde.pipeline.walk import DDEPipeline
from compose_dde.subjects import maps, positions

__all__ = ["MapsPipeline", "PositionsPipeline"]


@final
class PositionsPipeline(DDEPipeline):
    """Pictures with an object at each of several positions; see `DDEPipeline`."""

    subject: ClassVar[Subject] = "positions"

    @torch.no_grad()
    def __call__(
        self,
        places: Sequence[tuple[float, float]],
        *,
        generator: Generators,
        num: int = 1,
    ) -> Tensor:
        """Make pictures.

        Args:
            places: (x, y) of each object as fractions of the picture, x to the right and y down;
                without any the picture is free.
            generator: The only source of randomness; a list has one for each picture.
            num: How many pictures.

        Returns:
            `(B, C, H, W)`, about -1 to 1.

        Raises:
            UsageError: A position lies outside, or two are closer than the model can tell apart.
        """
        if isinstance(cast(object, places), torch.Tensor):
            places = cast(torch.Tensor, places).tolist()
        apart = float(self.expansion.facts.get("apart", 0.0))
        positions.check_positions(places, apart)
        size = self.expansion.window
        given = torch.tensor([list(places)] if places else [[(positions.NOWHERE,) * 2]])
        denoiser = positions.expand(
            self.expansion.base,
            self.coordinator,
            given,
            size,
            w=self.walk.w if places else 0.0,
        )
        shape = (num, self.expansion.channels, *size)
        return self.run(denoiser.to(self.device), shape, generator)


@final
class MapsPipeline(DDEPipeline):
    """Large pictures of large maps; see `DDEPipeline`."""

    subject: ClassVar[Subject] = "maps"

    @torch.no_grad()
    def __call__(self, chart: Tensor, *, generator: Generators, num: int = 1) -> Tensor:
        """Make pictures.

        Args:
            chart: The map, `(E, H, W)` in [-1, 1], at least as large as a part.
            generator: The only source of randomness; a list has one for each picture.
            num: How many pictures.

        Returns:
            `(B, C, H, W)`, about -1 to 1.

        Raises:
            ShapeError: The map has other channels, or values outside its range.
            UsageError: It is smaller than a part, or no whole number of tokens; or guidance, and
                the base model was not trained for it.
        """
        chart = check_chart(chart, int(self.expansion.facts.get("map_channels", 3)))
        if self.walk.w and not self.expansion.facts.get("unconditional"):
            raise UsageError(
                "this model of maps was never asked without a map: there is no guidance",
                got=f"w = {self.walk.w:g}",
                expected="w = 0, a guidance of 1",
                remedy="leave guidance out; a folder whose base model knows the empty map says "
                "so in its facts (`unconditional = true`)",
            )
        grain = self.grain
        if any(side % grain for side in chart.shape[1:]):
            near = [max(round(side / grain), 1) * grain for side in chart.shape[1:]]
            raise UsageError(
                "the sides of a map do not fit the model",
                got=f"{chart.shape[2]} x {chart.shape[1]}",
                expected=f"multiples of {grain}",
                remedy=f"make it {near[1]} x {near[0]}",
            )
        window, stride = self.expansion.window[0], self.stride[0]
        denoiser = maps.expand(
            self.expansion.base,
            self.coordinator,
            chart[None].to(self.device),
            window,
            stride,
            w=self.walk.w,
        )
        return self.run(denoiser, (num, self.expansion.channels, *chart.shape[1:]), generator)
