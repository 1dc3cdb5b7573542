"""Make the sounds and figures of the page of DDE; takes some minutes.

Usage: ``python scripts/docs/dde_pictures.py [PART...]``, with the parts of `PARTS`; all of them by
default. Run it again when the models change and commit what it writes:
`docs/assets/pictures/dde-*.png` and `docs/assets/audio/dde-*.flac`.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence

import soundfile
import torch
from PIL import Image
from torch import Tensor
from workspace import DOCS, ROOT

from compose_benchmarks.studies.chart import grid, tile
from compose_benchmarks.trials.dde_positions import GUIDANCE, asked, draw
from compose_core.scene import load_scene
from compose_dde.audio.mel import log_mel
from compose_dde.audio.resampling import resample
from compose_dde.baselines import concat
from compose_dde.domain import span
from compose_dde.makers import MapMaker
from compose_dde.pipeline import MapsPipeline, MusicPipeline, PositionsPipeline
from compose_worlds.stems import cache

PICTURES, SOUNDS = DOCS / "assets" / "pictures", DOCS / "assets" / "audio"
WINDOWS = 13
"""As many as in the longer table of the paper; coordinators learnt on 5."""

HEARD = 16_000
"""Hertz of the files, because not every browser plays 4 kHz."""

SET = 0
"""Which places of the benchmark are shown: the first, not chosen."""


def music() -> Image.Image:
    """Spectrograms of one noise by each method, over that of a song of the world."""
    pipe = MusicPipeline.from_pretrained("dde-music-tiny")
    window, rate = pipe.window, pipe.sample_rate
    frames = span(WINDOWS, window, pipe.expansion.stride[0])
    song = cache.stretch(cache.HELD_OUT + 1_000, rate, frames).sum(0)
    found = {
        "song": song,
        "dde": _sung("local", frames),
        "multidiffusion": _sung("none", frames),
        "concat": _end_to_end(frames),
    }
    for name, one in found.items():
        _write(f"dde-music-{name}", one, rate)
    rows = [[_spectrogram(one, rate)] for one in found.values()]
    heads = ["a song of\nthe world", "DDE", "MultiDiffusion", "Concat"]
    whole = grid(rows, [f"{frames / rate:.0f} seconds, 30 Hz to 2 kHz"], heads)
    return whole.quantize(128)


def _sung(coordinator: str, frames: int) -> Tensor:
    pipe = MusicPipeline.from_pretrained("dde-music-tiny", coordinator=coordinator)
    dice = torch.Generator().manual_seed(0)
    x = pipe.run(pipe.denoiser(frames), (1, pipe.expansion.channels, frames), [dice])
    return x[0].sum(0) / pipe.gain


def _end_to_end(frames: int) -> Tensor:
    pipe = MusicPipeline.from_pretrained("dde-music-tiny", coordinator="none")
    size = -(-frames // pipe.window) * pipe.window
    denoiser = concat(pipe.expansion.base, size, pipe.window)
    x = pipe.run(denoiser, (1, pipe.expansion.channels, size), [torch.Generator().manual_seed(0)])
    return x[0, :, :frames].sum(0) / pipe.gain


def _write(name: str, sound: Tensor, rate: int) -> None:
    fine = resample(sound[None], rate, HEARD)[0]
    fine = fine / max(float(fine.abs().max()), 1.0)
    stream = io.BytesIO()
    soundfile.write(stream, fine.numpy(), HEARD, "PCM_16", format="FLAC")
    SOUNDS.mkdir(parents=True, exist_ok=True)
    (SOUNDS / f"{name}.flac").write_bytes(stream.getvalue())


def _spectrogram(sound: Tensor, rate: int) -> Image.Image:
    """From dark blue over green to yellow, low notes below."""
    values = log_mel(sound, rate, window=512, hop=250, bands=96).flip(0)
    x = ((values - values.max() + 9) / 9).clamp(0, 1)
    rgb = torch.stack([0.13 + 0.87 * x**1.5, 0.1 + 0.82 * x, 0.4 + 0.2 * x - 0.45 * x**2])
    return tile(rgb, 110)


def positions() -> Image.Image:
    """One to five places, each with a noise of its own that is the same for all methods."""
    pipe = PositionsPipeline.from_pretrained("dde-positions-tiny")
    rows: list[list[Image.Image | None]] = []
    counts = range(1, 6)
    names = {"dde": "DDE", "multidiffusion": "Multi-\nDiffusion", "rrr": "RRR"}
    for method in names:
        rows.append([_placed(pipe, method, asked(count, SET + 1)[-1:]) for count in counts])
    heads = ["1 place", *(f"{count} places" for count in counts[1:])]
    return grid(rows, heads, list(names.values()))


def _placed(pipe: PositionsPipeline, method: str, given: Tensor) -> Image.Image:
    """A picture, with a cross at each place."""
    x = draw(pipe, method, given, len(given[0]), GUIDANCE[method])
    fine = torch.nn.functional.interpolate((x + 1) / 2, scale_factor=4, mode="nearest")[0]
    fine = fine.clamp(0, 1)
    for u, v in given[0].tolist():
        column, row = round(u * fine.shape[2]), round(v * fine.shape[1])
        for arm, thick, shade in ((6, 1, 0.0), (5, 0, 1.0)):
            for down, right in ((arm, thick), (thick, arm)):
                rows = slice(max(row - down, 0), row + down + 1)
                fine[:, rows, max(column - right, 0) : column + right + 1] = shade
    return tile(fine, 128)


def maps() -> Image.Image:
    """The map of `examples/coast.toml`, and pictures of it by the same noise."""
    scene = load_scene(ROOT / "examples" / "coast.toml")
    chart = MapMaker(scene).chart
    made: list[Image.Image | None] = [tile((chart + 1) / 2, 192)]
    for coordinator in ("full", "none"):
        pipe = MapsPipeline.from_pretrained("dde-maps-tiny", coordinator=coordinator)
        dice = torch.Generator().manual_seed(scene.seed)
        made.append(tile((pipe(chart, generator=[dice])[0] + 1) / 2, 192))
    return grid([made], ["the map", "DDE", "MultiDiffusion"])


PARTS: dict[str, Callable[[], Image.Image]] = {
    "music": music,
    "positions": positions,
    "maps": maps,
}


def main(given: Sequence[str] | None = None) -> None:
    """Make what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parts = parser.parse_args(given).parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for part in parts:
        print(part)
        PARTS[part]().save(PICTURES / f"dde-{part}.png", optimize=True)


if __name__ == "__main__":
    main()
