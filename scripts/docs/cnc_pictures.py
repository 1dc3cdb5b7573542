"""Draw the grids of the page of Compose and Conquer; takes some minutes.

Usage: ``python scripts/docs/cnc_pictures.py [--adapter ID] [PART...]``, with the parts of `PARTS`;
all of them by default. Run it again when the adapter changes or a study was published, and commit
what it writes: `docs/assets/pictures/cnc-*.png` and `docs_src/cnc-studies.md`.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from workspace import DOCS, ROOT

from compose_benchmarks.studies.chart import grid, tile
from compose_benchmarks.studies.record import StudyRecord, load
from compose_cnc import CnCPipeline
from compose_core import DDIM, Bound, Encoded, Guided, zoo
from compose_core.backbones import load_model
from compose_worlds import Scene, Setting, Solid, labels, picture, relative_depth, stack, toy
from compose_worlds.judge import JudgeNet

SIDE, STEPS, GUIDANCE = 64, 30, 5.0
CFG = "drop_exemplar"
"""Exemplars are amplified as text is; the published code amplifies text alone."""

PICTURES = DOCS / "assets" / "pictures"
FRAGMENT = ROOT / "docs_src" / "cnc-studies.md"
STUDIES = ROOT / "benchmarks" / "results" / "studies"
LAMBDAS = (0.0, 0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Layers:
    """A drawn scene taken apart at its first object.

    Attributes:
        scene: The scene.
        words: What stands there.
    """

    scene: Scene
    words: str

    @cached_property
    def whole(self) -> Tensor:
        """The picture (3, H, W) in [0, 1]."""
        return picture(stack([self.scene]), (SIDE, SIDE))[0]

    @cached_property
    def mask(self) -> Tensor:
        """Where the object is, (H, W)."""
        return labels(stack([self.scene]), (SIDE, SIDE)).amodal[0, 0].float()

    @cached_property
    def near(self) -> Tensor:
        """Depth of the object alone, (H, W) in [0, 1], near is 1."""
        return _stretched(1 / labels(stack([self.scene]), (SIDE, SIDE)).object_depth[0, 0])

    @cached_property
    def far(self) -> Tensor:
        """Depth of the scene without it."""
        world = stack([self.scene])
        gone = torch.zeros(1, world.objects, dtype=torch.bool)
        gone[0, 0] = True
        return _stretched(labels(world.without(gone), (SIDE, SIDE)).inverse_depth[0, 0])

    @cached_property
    def depth(self) -> Tensor:
        """Depth of all of it."""
        return _stretched(labels(stack([self.scene]), (SIDE, SIDE)).inverse_depth[0, 0])

    @property
    def turned(self) -> Layers:
        """The same, taken apart at its second object."""
        return Layers(_scene(*self.scene.solids[::-1], place=self.scene.setting), self.words)


def _scene(*solids: Solid, place: Setting | str = "grass") -> Scene:
    given = place if isinstance(place, Setting) else Setting(environment=place)
    return Scene(solids=solids, setting=given)


PAIRS = (
    Layers(
        _scene(
            toy("sphere", "red", -0.25, 3.4), toy("cube", "blue", 0.45, 4.4, size=0.75, yaw=25)
        ),
        "a red sphere and a blue cube on grass",
    ),
    Layers(
        _scene(
            toy("cylinder", "yellow", 0.35, 3.5, size=0.62),
            toy("cone", "purple", -0.3, 4.3, size=0.8),
            place="snow",
        ),
        "a yellow cylinder and a purple cone on snow",
    ),
    Layers(
        _scene(
            toy("cone", "green", 0.1, 3.4, size=0.6),
            toy("cylinder", "orange", 0.4, 4.4, size=0.85),
            place="sand",
        ),
        "a green cone and an orange cylinder on sand",
    ),
)
"""Two objects each that overlap; the first is nearer."""

LAVA = _scene(toy("sphere", "red", 0.0, 3.2, size=0.8), place="sand")
SNOW = _scene(toy("cube", "white", 0.3, 3.8, size=0.8, yaw=25), place="snow")
GRASS = _scene(toy("cone", "green", -0.1, 3.3, size=0.8), place="grass")
DUSK = _scene(toy("cylinder", "purple", 0.0, 3.4, size=0.8), place="dusk")
LOOKS = ((LAVA, SNOW), (GRASS, DUSK), (DUSK, GRASS))
"""Exemplars that contradict each other, of the foreground and of the background."""

BLOCKS = tuple(
    Layers(_scene(toy(shape, "white", 0.05, 3.3, size=0.8, yaw=20)), f"a {shape}")
    for shape in ("cube", "sphere", "cylinder")
)
"""Shapes that take their looks from exemplars."""


class Studio:
    """The models, loaded once.

    Args:
        model: Id in the zoo, or a folder.
        adapter: Likewise.
    """

    def __init__(self, model: str = "sd-tiny", adapter: str = "cnc-tiny") -> None:
        self.base = model
        self.pipe: Any = CnCPipeline.from_pretrained(zoo.resolve(model), zoo.resolve(adapter))
        self.pipe.set_progress_bar_config(disable=True)

    def draw(self, prompt: str, seeds: Sequence[int], **conditions: Any) -> list[Tensor]:
        """A picture (3, H, W) in [0, 1] for each seed; conditions as of `CnCPipeline`."""
        given = {
            "guidance_scale": GUIDANCE,
            "num_inference_steps": STEPS,
            "cfg": CFG,
            **conditions,
        }
        dice = [torch.Generator().manual_seed(seed) for seed in seeds]
        prompts = [prompt] * len(seeds)
        made = self.pipe(
            prompts, generator=dice, output_type="pt", warn=lambda _: None, height=SIDE,
            width=SIDE, **given,
        )  # fmt: skip
        return list(made.images.cpu().float())

    @cached_property
    def judge(self) -> JudgeNet:
        """Estimates depth."""
        return JudgeNet.load(zoo.resolve("judge-tiny"))

    @torch.no_grad()
    def estimate(self, rgb: Tensor) -> Tensor:
        """Depth (H, W) in [0, 1] that is read in a picture (3, H, W) in [0, 1]."""
        return _stretched(self.judge(rgb[None] * 2 - 1).depth[0, 0].clamp_min(0))

    @cached_property
    def controlled(self) -> Any:
        """The base model with a ControlNet for one depth map."""
        control = zoo.resolve("controlnet-tiny-depth")
        return load_model(zoo.resolve(self.base), controlnet=control, id=self.base)

    @torch.no_grad()
    def merged(self, prompt: str, seed: int, depth: Tensor) -> Tensor:
        """What ControlNet draws of one depth map."""
        model = self.controlled
        hint = {"control": _three(depth)[None]}
        sides = [
            Bound(model.network, Encoded({**model.text.encode(x), **hint})) for x in (prompt, "")
        ]
        sampler = DDIM(model.schedule.levels(STEPS))
        shape = (1, model.channels, *model.sample_size)
        noise = sampler.initial(shape, [torch.Generator().manual_seed(seed)])
        return (
            model.codec.decode(sampler.sample(Guided(sides[0], sides[1], GUIDANCE), noise))[0] / 2
            + 0.5
        )


def capabilities(studio: Studio) -> Image.Image:
    """Figure 1: order in depth, looks in regions, both together."""
    one, seeds = PAIRS[0], (0, 1, 2)
    block = BLOCKS[0]
    lava, snow = _looks((LAVA, SNOW))
    depth = {"depth_fg": one.near, "depth_bg": one.far, "mask": one.mask}
    looks = {"exemplar_fg": lava, "exemplar_bg": snow}
    rows = [
        [_t(one.near), _t(one.far), None, None, *map(_t, studio.draw(one.words, seeds, **depth))],
        [None, _t(block.mask), _t(lava), _t(snow),
         *map(_t, studio.draw("a toy", seeds, mask=block.mask, **looks))],
        [_t(one.near), _t(one.far), _t(lava), _t(snow),
         *map(_t, studio.draw("a sphere and a cube", seeds, **depth, **looks))],
    ]  # fmt: skip
    heads = ["depth,\nforeground", "depth or\nmask", "exemplar,\nforeground", "exemplar,\nrest"]
    return grid(rows, [*heads, *["" for _ in seeds]], ["order", "looks", "both"], after=(3,))


def order(studio: Studio) -> Image.Image:
    """Figure 3: which of two objects is in front; one merged map cannot say."""
    rows: list[list[Image.Image | None]] = []
    for number, one in enumerate(PAIRS):
        other = one.turned
        drawn = [
            studio.draw(one.words, [number], depth_fg=x.near, depth_bg=x.far, mask=x.mask)[0]
            for x in (one, other)
        ]
        merged = studio.merged(one.words, number, one.depth)
        rows.append([_t(one.near), _t(other.near), *map(_t, drawn), _t(one.depth), _t(merged)])
    heads = ["A", "B", "A before B", "B before A", "merged", "ControlNet"]
    return grid(rows, heads, after=(1, 3))


def louder(studio: Studio) -> Image.Image:
    """Figure 7: lambda of the background grows; the same depth for both streams."""
    rows: list[list[Image.Image | None]] = []
    for number, (block, pair) in enumerate(zip(BLOCKS, LOOKS, strict=True)):
        fg, bg = _looks(pair)
        drawn = _weighed(studio, block, (fg, bg), number, [(1.0, x) for x in LAMBDAS])
        rows.append([_t(block.depth), _t(fg), _t(bg), *map(_t, drawn)])
    heads = ["depth", "fore-\nground", "back-\nground", *(f"lambda_bg\n{x:g}" for x in LAMBDAS)]
    return grid(rows, heads, [block.words for block in BLOCKS], after=(2,))


def lambdas(studio: Studio) -> Image.Image:
    """Figure 15: every lambda with every other, for a thing like lava in the snow."""
    looks = _looks((LAVA, SNOW))
    rows = [
        list(map(_t, _weighed(studio, BLOCKS[0], looks, 3, [(fg, bg) for bg in LAMBDAS])))
        for fg in LAMBDAS
    ]
    names = [f"lambda_fg\n{x:g}" for x in LAMBDAS]
    return grid(rows, [f"lambda_bg\n{x:g}" for x in LAMBDAS], names)


def versions(studio: Studio) -> Image.Image:
    """Figure 17: the foreground's depth read in the picture, or in the cut picture, or cut."""
    rows: list[list[Image.Image | None]] = []
    for number, one in enumerate(PAIRS):
        cut = studio.estimate(one.whole * one.mask)
        maps = [one.near, studio.estimate(one.whole), cut, cut * one.mask]
        drawn = [studio.draw(one.words, [number], depth_fg=x, depth_bg=one.far)[0] for x in maps]
        pairs = [(_t(x), _t(y)) for x, y in zip(maps, drawn, strict=True)]
        rows.append([_t(one.whole), _t(one.far), *(each for pair in pairs for each in pair)])
    heads = ["picture", "depth,\nbackground"]
    for name in ("exact", "1: of the\npicture", "2: of the\ncut picture", "3: cut again"):
        heads += [name, ""]
    return grid(rows, heads, after=(1, 3, 5, 7))


def studies() -> None:
    """Figures of published studies, and a table of their numbers."""
    lines: list[str] = []
    for path in sorted(STUDIES.glob("*.json")):
        shutil.copyfile(path.with_suffix(".png"), PICTURES / f"{path.stem}.png")
        record = load(path)
        lines += [f"![{record.task.summary}](../assets/pictures/{path.stem}.png)", ""]
        lines += _told(record)
    if lines:
        FRAGMENT.write_text("\n".join(lines) + "\n", "utf-8")


GRIDS: dict[str, Callable[[Studio], Image.Image]] = {
    "capabilities": capabilities,
    "order": order,
    "louder": louder,
    "lambdas": lambdas,
    "versions": versions,
}
PARTS = (*GRIDS, "studies")


def main(given: Sequence[str] | None = None) -> None:
    """Draw what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--model", default="sd-tiny", help="base model: id of the zoo or folder")
    parser.add_argument("--adapter", default="cnc-tiny", help="likewise")
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder of the grids")
    args = parser.parse_args(given)
    asked = args.parts or PARTS
    if unknown := set(asked) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    args.out.mkdir(parents=True, exist_ok=True)
    studio = Studio(args.model, args.adapter) if set(asked) & set(GRIDS) else None
    for part in asked:
        print(part)
        if part == "studies":
            studies()
        elif studio is not None:
            GRIDS[part](studio).save(args.out / f"cnc-{part}.png", optimize=True)


def _weighed(
    studio: Studio,
    block: Layers,
    looks: tuple[Tensor, Tensor],
    seed: int,
    factors: Sequence[tuple[float, float]],
) -> list[Tensor]:
    """A picture for each pair of lambdas, all of one seed."""
    return studio.draw(
        block.words,
        [seed] * len(factors),
        depth_fg=block.depth,
        depth_bg=block.depth,
        mask=block.mask,
        exemplar_fg=looks[0],
        exemplar_bg=looks[1],
        lambda_fg=[fg for fg, _ in factors],
        lambda_bg=[bg for _, bg in factors],
    )


def _told(record: StudyRecord) -> list[str]:
    """The series of a study as a table in Markdown."""
    first = record.series[0].metrics
    found = ["| " + " | ".join([record.task.name, *(f"`{m.id}`" for m in first)]) + " |"]
    found.append("|---" + "|---:" * len(first) + "|")
    for one in record.series:
        cells = [
            f"{m.value:.3f}"
            + (f" [{m.interval.low:.3f}, {m.interval.high:.3f}]" if m.interval else "")
            for m in one.metrics
        ]
        found.append("| " + " | ".join([one.id, *cells]) + " |")
    return [*found, "", f"`{record.command}`, n = {record.task.n} pairs.", ""]


def _looks(pair: tuple[Scene, Scene]) -> tuple[Tensor, Tensor]:
    fg, bg = picture(stack(pair), (SIDE, SIDE))
    return fg, bg


def _stretched(values: Tensor) -> Tensor:
    return relative_depth(values[None, None])[0, 0]


def _three(values: Tensor) -> Tensor:
    return values.expand(3, -1, -1) if values.dim() == 2 else values


def _t(values: Tensor) -> Image.Image:
    return tile(_three(values), 88)


if __name__ == "__main__":
    main()
