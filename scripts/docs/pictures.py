"""Draw the pictures of the site with the models of the zoo; takes a few minutes.

Usage: ``python scripts/docs/pictures.py [PART...]``, with parts ``start``, ``tutorials`` and the
ids of checkpoints; all of them by default. Run it again when a checkpoint changes, then
``generate.py``, and commit what both write.
"""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import T2IAdapter
from PIL import Image, ImageDraw
from torch import Tensor
from workspace import DOCS, ROOT

from compose_core import DDIM, Bound, Encoded, Guided, zoo
from compose_core.backbones import Model, load_model
from compose_core.conditions import Box
from compose_core.run import run_scene
from compose_core.scene import load_scene
from compose_worlds import labels, picture, stack
from compose_worlds.primitives import cache, draw
from compose_worlds.primitives.apart import front, take_apart
from compose_worlds.primitives.labels import relative_depth
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS, World
from compose_zoo.recipes import gligen_layouts
from compose_zoo.recipes.painters import PLANS

HELD_OUT = 10_000_000
SIDE, STEPS, GUIDANCE, COUNT = 64, 30, 5.0, 8
PICTURES = DOCS / "assets" / "pictures"
SAMPLES = DOCS / "zoo" / "samples"


def start() -> None:
    """The first example, for the first page."""
    scene = load_scene(ROOT / "examples" / "toys.toml")
    with tempfile.TemporaryDirectory() as folder:
        (path,) = run_scene(scene, out=folder, name="toys", device="cpu")
        with Image.open(path) as opened:
            _enlarged(opened.convert("RGB"), 6).save(PICTURES / "toys.png", optimize=True)


def tutorials() -> None:
    """What the programs of the tutorials draw, with the steps that they ask for."""
    for name, files in {
        "regions": ("regions",),
        "panorama": ("panorama",),
        "look_inside": ("trace",),
    }.items():
        with tempfile.TemporaryDirectory() as folder, _inside(Path(folder)):
            runpy.run_path(str(ROOT / "docs_src" / f"{name}.py"))
            for file in files:
                with Image.open(f"{file}.png") as opened:
                    whole = opened.convert("RGB")
                factor = 1 if file == "trace" else 3
                _enlarged(whole, factor).save(PICTURES / f"{file}.png", optimize=True)


def of_captions(name: str = "sd-tiny") -> None:
    """Held-out captions, and what a model makes of them."""
    model = load_model(zoo.resolve(name), id=name)
    captions = [_drawn(number)[1] for number in range(COUNT)]
    nothing = model.text.encode("")
    found = [
        _sample(model, model.text.encode(words), nothing, i) for i, words in enumerate(captions)
    ]
    _save(name, list(zip(found, captions, strict=True)))


def controlnet_tiny_depth() -> None:
    """Depth maps of held-out scenes, and pictures that follow them."""
    control = zoo.resolve("controlnet-tiny-depth")
    model = load_model(zoo.resolve("sd-tiny"), controlnet=control, id="sd-tiny")
    tiles: list[tuple[Tensor, str]] = []
    for number in range(COUNT // 2):
        world, words = _drawn(number)
        near = labels(world, (SIDE, SIDE)).inverse_depth
        near = (
            (near / near.amax((-2, -1), keepdim=True))
            .reshape(1, 1, SIDE, SIDE)
            .expand(-1, 3, -1, -1)
        )
        sides = [Encoded({**model.text.encode(text), "control": near}) for text in (words, "")]
        tiles.append((near[0] * 2 - 1, "depth, near is bright"))
        tiles.append((_sample(model, sides[0], sides[1], number), words))
    _save("controlnet-tiny-depth", tiles)


def controlnet_tiny_keypoints() -> None:
    """Keypoints of held-out scenes, and pictures that follow them."""
    from compose_zoo.recipes.controlnet_tiny_keypoints import condition

    _followed("controlnet-tiny-keypoints", "keypoints", lambda seen: condition(seen.instance))


def controlnet_tiny_segments() -> None:
    """Segmentations of held-out scenes, and pictures that follow them."""
    from compose_zoo.recipes.controlnet_tiny_segments import segmentation

    _followed("controlnet-tiny-segments", "segments", lambda seen: segmentation(seen.semantics))


def _followed(name: str, called: str, drawn: Callable[[Any], Tensor]) -> None:
    model = load_model(zoo.resolve("sd-tiny"), controlnet=zoo.resolve(name), id="sd-tiny")
    tiles: list[tuple[Tensor, str]] = []
    for number in range(COUNT // 2):
        world, words = _drawn(number)
        shown = drawn(labels(world, (SIDE, SIDE)))
        sides = [Encoded({**model.text.encode(text), "control": shown}) for text in (words, "")]
        tiles.append((shown[0] * 2 - 1, called))
        tiles.append((_sample(model, sides[0], sides[1], number), words))
    _save(name, tiles)


@torch.no_grad()
def painted(name: str) -> None:
    """Semantics of held-out scenes, and pictures painted of all their labels."""
    from compose_benchmarks.suites.painted import labels_of
    from compose_tlam.model import Painter
    from compose_zoo.recipes.controlnet_tiny_segments import segmentation

    painter = Painter.load(zoo.resolve(name))
    called = ", ".join(painter.labels.names)
    tiles: list[tuple[Tensor, str]] = []
    for number in range(COUNT // 2):
        scene, _ = draw.scene(HELD_OUT + number)
        seen = labels(stack([scene]), (SIDE, SIDE))
        tiles.append((segmentation(seen.semantics)[0] * 2 - 1, "semantics"))
        tiles.append((painter(labels_of(scene, seen).under(painter.labels))[0], called))
    _save(name, tiles)


def judge_tiny() -> None:
    """Held-out renders, and the depth that the judge reads in them."""
    from compose_worlds.judge import JudgeNet, objects

    judge = JudgeNet.load(zoo.resolve("judge-tiny"))
    tiles: list[tuple[Tensor, str]] = []
    for number in range(COUNT // 2):
        rgb = picture(_drawn(number)[0], (SIDE, SIDE)) * 2 - 1
        with torch.no_grad():
            readings = judge(rgb)
        names = ", ".join(f"{found.color} {found.shape}" for found in objects(readings))
        near = readings.depth[0] / readings.depth[0].amax().clamp_min(1e-6)
        tiles.append((rgb[0], f"reads: {names or 'nothing'}"))
        tiles.append((near.clamp(0, 1).expand(3, -1, -1) * 2 - 1, "its depth, near is bright"))
    _save("judge-tiny", tiles)


def clip_tiny() -> None:
    """Held-out renders, and which of 64 captions the towers choose for each."""
    from compose_benchmarks.judges import Clip

    towers = Clip.load()
    drawn = [_drawn(number) for number in range(64)]
    rgb = torch.cat([picture(world, (SIDE, SIDE)) for world, _ in drawn]) * 2 - 1
    texts = [words for _, words in drawn]
    seen = torch.nn.functional.normalize(towers.encode_pictures(rgb), dim=1)
    read = torch.nn.functional.normalize(towers.encode_texts(texts).embeddings, dim=1)
    cosine = seen @ read.T
    tiles: list[tuple[Tensor, str]] = []
    for row in range(COUNT):
        best = int(cosine[row].argmax())
        right = "its own" if texts[best] == texts[row] else "another's"
        tiles.append((rgb[row], f"chosen of 64, {right}: {texts[best]} ({cosine[row, best]:.2f})"))
    _save("clip-tiny", tiles)


def cnc_tiny() -> None:
    """Two depth maps of held-out scenes, an exemplar of their foreground, and a picture."""
    from compose_cnc import CnCPipeline

    pipe = CnCPipeline.from_pretrained("sd-tiny", adapter="cnc-tiny")
    pipe.set_progress_bar_config(disable=True)
    tiles: list[tuple[Tensor, str]] = []
    for number in (3, 4):
        scene, _ = draw.scene(HELD_OUT + number)
        found = take_apart([scene], [front(scene, HELD_OUT + number)])
        mask = found.mask[0].float()
        near, far = relative_depth(found.whole)[0] * mask, relative_depth(found.behind)[0]
        words = _drawn(number)[1]
        made: Any = pipe(
            words,
            depth_fg=near,
            depth_bg=far,
            mask=mask,
            generator=torch.Generator().manual_seed(number),
            output_type="pt",
        )
        tiles.append((near.expand(3, -1, -1) * 2 - 1, "depth of the foreground"))
        tiles.append((far.expand(3, -1, -1) * 2 - 1, "depth of what lies behind"))
        tiles.append((made.images[0] * 2 - 1, words))
    _save("cnc-tiny", tiles)


def t2i_adapter_tiny() -> None:
    """Depth maps of held-out scenes, and pictures that follow them."""
    from compose_benchmarks.baselines.t2i_adapter import AdaptedUNet

    model = load_model(zoo.resolve("sd-tiny"), id="sd-tiny")
    adapter = T2IAdapter.from_pretrained(zoo.resolve("t2i-adapter-tiny")).float().eval()
    network = AdaptedUNet(model.components["unet"], adapter, model.schedule, "epsilon")
    tiles: list[tuple[Tensor, str]] = []
    for number in range(COUNT // 2):
        world, words = _drawn(number)
        near = relative_depth(labels(world, (SIDE, SIDE)).inverse_depth).expand(-1, 3, -1, -1)
        added = network.features(near)
        text, empty = (Encoded({**model.text.encode(x), **added}) for x in (words, ""))
        tiles.append((near[0] * 2 - 1, "depth, near is bright"))
        tiles.append((_sample(replace(model, network=network), text, empty, number), words))
    _save("t2i-adapter-tiny", tiles)


def gligen_tiny() -> None:
    """Boxes of held-out scenes with their phrases, and pictures that obey them."""
    from compose_realcompo.gated import add_gates
    from compose_realcompo.grounding import embed_phrases, grounded

    base = load_model(zoo.resolve("sd-tiny"), id="sd-tiny")
    model = add_gates(base, zoo.resolve("gligen-tiny"))
    network: Any = model.network
    tiles: list[tuple[Tensor, str]] = []
    for number in range(4 * COUNT):
        if len(tiles) == COUNT:
            break
        words = _drawn(number)[1]
        seen = cache.make(range(HELD_OUT + number, HELD_OUT + number + 1), (SIDE, SIDE))
        found = gligen_layouts.layouts(seen["instance"], seen["semantics"], seen["color"])
        kinds = [int(kind) for kind in found.kinds[0] if kind >= 0]
        phrases = [f"{_color(kind)} {_shape(kind)}" for kind in kinds]
        if not phrases or not all(phrase in words for phrase in phrases):
            continue  # a caption may leave an object out
        boxes = [Box(*map(float, box)) for box in found.boxes[0][: len(kinds)]]
        heard, silent = grounded(boxes, embed_phrases(model.text, phrases), "cpu", network.room)
        text, empty = (
            Encoded({**model.text.encode(said), **told})
            for said, told in ((words, heard), ("", silent))
        )
        tiles.append((_outlined(boxes), ", ".join(phrases)))
        tiles.append((_sample(model, text, empty, number), words))
    _save("gligen-tiny", tiles)


def _shape(kind: int) -> str:
    return SHAPES[kind // len(COLORS)]


def _color(kind: int) -> str:
    return list(COLORS)[kind % len(COLORS)]


def _outlined(boxes: Sequence[Box]) -> Tensor:
    """The edges of boxes, (3, SIDE, SIDE) in [-1, 1], dark on light."""
    image = Image.new("RGB", (SIDE, SIDE), (240, 240, 240))
    pen = ImageDraw.Draw(image)
    for box in boxes:
        pen.rectangle([SIDE * v for v in (box.x0, box.y0, box.x1, box.y1)], outline=(40, 60, 120))
    return (
        torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        .reshape(SIDE, SIDE, 3)
        .permute(2, 0, 1)
        / 127.5
        - 1
    )


PARTS: dict[str, Callable[[], None]] = {
    "start": start,
    "tutorials": tutorials,
    "sd-tiny": of_captions,
    "sd-tiny-crayon": partial(of_captions, "sd-tiny-crayon"),
    "sd-tiny-second": partial(of_captions, "sd-tiny-second"),
    "judge-tiny": judge_tiny,
    "clip-tiny": clip_tiny,
    "controlnet-tiny-depth": controlnet_tiny_depth,
    "controlnet-tiny-keypoints": controlnet_tiny_keypoints,
    "controlnet-tiny-segments": controlnet_tiny_segments,
    "cnc-tiny": cnc_tiny,
    "t2i-adapter-tiny": t2i_adapter_tiny,
    "gligen-tiny": gligen_tiny,
    **{name: partial(painted, name) for name in PLANS},
}


def _drawn(number: int) -> tuple[World, str]:
    """Held-out scene and its caption."""
    scene, claims = draw.scene(HELD_OUT + number)
    return stack([scene]), draw.caption(scene, claims, seed=HELD_OUT + number).text


@torch.no_grad()
def _sample(model: Model, text: Encoded, nothing: Encoded, seed: int) -> Tensor:
    """One picture (3, H, W) in [-1, 1]."""
    denoiser = Guided(Bound(model.network, text), Bound(model.network, nothing), GUIDANCE)
    sampler = DDIM(model.schedule.levels(STEPS))
    shape = (1, model.channels, *model.sample_size)
    noise = sampler.initial(shape, torch.Generator().manual_seed(seed))
    return model.codec.decode(sampler.sample(denoiser, noise))[0].clamp(-1, 1)


def _save(model_id: str, tiles: list[tuple[Tensor, str]]) -> None:
    folder = SAMPLES / model_id
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    lines: list[str] = []
    for number, (values, caption) in enumerate(tiles):
        pixels = ((values + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
        image = Image.fromarray(pixels.contiguous().numpy())
        _enlarged(image, 3).save(folder / f"{number}.png", optimize=True)
        lines.append(f"{number}.png: {caption}")
    (folder / "captions.txt").write_text("\n".join(lines) + "\n", "utf-8")


def _enlarged(image: Image.Image, factor: int) -> Image.Image:
    size = (image.width * factor, image.height * factor)
    return image.resize(size, Image.Resampling.BICUBIC)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[1:] or PARTS:
        print(part)
        PARTS[part]()
