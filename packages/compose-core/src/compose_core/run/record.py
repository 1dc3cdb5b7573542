"""The record inside every picture: all that is needed to make it again.

It is JSON in the PNG text chunk ``compose``: the scene with the bytes of its files, the method,
the model and the adapters of the method with the hashes of their weights, the settings, the
versions and the number of threads. There is no time and no name of a machine in it, so the same
work gives the same bytes.
"""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from types import NoneType
from typing import Any, cast

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from compose_core._version import __version__
from compose_core.errors import SceneError
from compose_core.images import open_picture, read_bytes
from compose_core.method import methods
from compose_core.run import flac
from compose_core.scene import Assets, Scene, build

CHUNK = "compose"
BESIDE = "compose.beside"
FORMAT = 1
MAX_PICTURE = 512 * 2**20
"""Largest picture file that is searched for a record, in bytes."""

MAX_BATCH = 64
"""Rows of one network call unless something else is asked for; bytes depend on it, a little."""

_PACKAGES = (
    "torch", "diffusers", "transformers", "tokenizers", "safetensors", "numpy", "pillow",
)  # fmt: skip

_ONLOOKERS = ("compose-benchmarks", "compose-metrics")
"""Packages of this project that look at pictures and have no part in making them."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a scene was or will be run.

    Attributes:
        method: name of the method.
        model: id of the model in the zoo, or the absolute path of a folder.
        seed: seed of the noise of this one picture.
        steps: number of steps of the sampler.
        guidance: scale of classifier-free guidance; 1 means none.
        device: where it runs: cpu, cuda, cuda:1, mps.
        max_batch: the most rows of one network call.
    """

    method: str
    model: str
    seed: int
    steps: int
    guidance: float
    device: str
    max_batch: int = MAX_BATCH


@dataclass(frozen=True, kw_only=True)
class Record:
    """A scene, its settings and the circumstances.

    Attributes:
        scene: the scene with its files.
        settings: how it was run.
        weights: sha256 over the files of the model.
        versions: of Python and the packages that matter for the bytes.
        threads: number of threads of torch on the CPU.
        tile: side of the tiles in which it is decoded, in latent cells; None: decoded at once.
        adapters: sha256 over the files of each adapter that the method adds to the model, by its
            id in the zoo or the absolute path of its folder.
    """

    scene: Scene
    settings: Settings
    weights: str
    versions: Mapping[str, str]
    threads: int
    tile: int | None = None
    adapters: Mapping[str, str] = field(default_factory=dict[str, str])

    def changes(self, other: Record) -> list[str]:
        """What differs in the circumstances: reasons why bytes may differ too."""
        pairs = {
            "weights": (self.weights, other.weights),
            "threads": (self.threads, other.threads),
            "tile": (self.tile, other.tile),
            **_pairs("adapter ", self.adapters, other.adapters),
            **_pairs("", self.versions, other.versions),
        }
        return [f"{name}: {a} then, {b} now" for name, (a, b) in pairs.items() if a != b]


def _pairs(
    kind: str, then: Mapping[str, str], now: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    return {f"{kind}{name}": (then.get(name), now.get(name)) for name in sorted({*then, *now})}


def circumstances(method: str | None = None) -> dict[str, str]:
    """Versions of Python and of the packages that matter for the bytes of a picture.

    They are the libraries below, the packages of this project, one of which renders proxies, and
    the package that brings ``method``.
    """
    found = {"python": platform.python_version(), **_installed(), "compose-core": __version__}
    entry = methods().get(method) if method is not None else None
    if entry is not None and entry.dist is not None:
        found[entry.dist.name] = entry.dist.version
    return found


@cache  # reads the metadata of everything that is installed; called for every picture
def _installed() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a frozen application may carry no metadata
            found[name] = "unknown"
    own = {d.name for d in distributions() if d.name.startswith("compose-")}
    return found | {name: version(name) for name in sorted(own.difference(_ONLOOKERS))}


def content(record: Record) -> dict[str, Any]:
    """A record as JSON has it, without the bytes of the scene's files."""
    scene = record.scene.model_dump(mode="json", exclude_unset=True)
    return {
        "format": FORMAT,
        "scene": {"version": record.scene.version, **scene},
        **asdict(record.settings),
        "weights": record.weights,
        "versions": dict(record.versions),
        "threads": record.threads,
        "tile": record.tile,
        "adapters": dict(record.adapters),
    }


def to_text(record: Record) -> str:
    """A record as the JSON text that a file carries."""
    whole = {**content(record), "files": record.scene.assets.encoded()}
    return json.dumps(whole, ensure_ascii=True, sort_keys=True)


def to_png(picture: Image.Image, record: Record, beside: str | None = None) -> bytes:
    """PNG bytes of a picture that carries its record.

    Args:
        picture: the picture.
        record: how it was made.
        beside: the name of what it shows, if it is not the picture itself but one beside it.
    """
    info = PngInfo()
    info.add_text(CHUNK, to_text(record))
    if beside is not None:
        info.add_text(BESIDE, json.dumps(beside))
    stream = io.BytesIO()
    picture.save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def is_beside(path: str | Path) -> bool:
    """Whether a picture stands beside the one that its record makes.

    Raises:
        SceneError: it is not a picture.
    """
    data = read_bytes(Path(path), "the picture", MAX_PICTURE)
    if data.startswith(flac.MARK):
        return flac.read_comment(data, BESIDE) is not None
    return BESIDE in open_picture(data, f"the picture {str(path)!r}").info


def load_record(path: str | Path) -> Record:
    """The record inside a picture that ``compose run`` wrote.

    Raises:
        SceneError: it is not a picture, carries no record, or the record is damaged.
    """
    data = read_bytes(Path(path), "the picture", MAX_PICTURE)
    if data.startswith(flac.MARK):
        text = flac.read_comment(data, CHUNK)
        if text is None:
            raise SceneError(
                "the sound carries no scene",
                got=str(path),
                expected=f"a FLAC file that `compose run` wrote, with a comment {CHUNK!r}",
                remedy="give the scene file; a stream has none, only a note of how it was made",
            )
        return parse_record(text, str(path))
    text = open_picture(data, f"the picture {str(path)!r}").info.get(CHUNK)
    if not isinstance(text, str):
        raise SceneError(
            "the picture carries no scene",
            got=str(path),
            expected=f"a PNG that `compose run` wrote, with a text chunk {CHUNK!r}",
            remedy="give the scene file; programs that save pictures again often drop the text",
        )
    return parse_record(text, str(path))


def parse_record(text: str, source: str) -> Record:
    """`Record` from the JSON text of a picture named ``source``.

    Raises:
        SceneError: the text is not a record.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(source, error) from error
    if not isinstance(read, dict) or cast("dict[str, Any]", read).get("format") != FORMAT:
        raise _damaged(source, f"no record of format {FORMAT}")
    # Pictures made before these three were recorded.
    found: dict[str, Any] = {"max_batch": MAX_BATCH, "tile": None, "adapters": {}, **read}
    parts = {
        "scene": dict, "files": dict, "method": str, "model": str, "seed": int, "steps": int,
        "guidance": (int, float), "device": str, "weights": str, "versions": dict, "threads": int,
        "max_batch": int, "tile": (int, NoneType), "adapters": dict,
    }  # fmt: skip
    for key, kind in parts.items():
        if not isinstance(found.get(key), kind):
            raise _damaged(source, f"`{key}` is {type(found.get(key)).__name__}")
    settings = {key: found[key] for key in Settings.__dataclass_fields__}
    return Record(
        scene=build(found["scene"]).with_assets(Assets.decoded(found["files"])),
        settings=Settings(**settings),
        weights=found["weights"],
        versions=found["versions"],
        threads=found["threads"],
        tile=found["tile"],
        adapters=found["adapters"],
    )


def _damaged(source: str, reason: object) -> SceneError:
    return SceneError(
        "the scene inside the picture is damaged",
        got=f"{source}: {reason}",
        remedy="use the scene file, or an untouched copy of the picture",
    )
