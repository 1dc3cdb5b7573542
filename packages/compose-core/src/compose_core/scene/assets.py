"""The files that a scene names, held as bytes.

They come from the scene's folder, never from outside it unless that is allowed, or from inside a
picture that carries its own scene.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from compose_core.errors import SceneError
from compose_core.images import read_bytes

MAX_TOTAL = 32 * 2**20
"""Largest sum of the files of a scene, in bytes: they travel inside each picture made."""


class Assets(Mapping[str, bytes]):
    """Immutable mapping from the names in a scene to the bytes of the files."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self._files = MappingProxyType(dict(files or {}))

    def __getitem__(self, name: str) -> bytes:
        return self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def encoded(self) -> dict[str, str]:
        """Names and base64 texts, for a JSON file."""
        return {name: base64.b64encode(data).decode("ascii") for name, data in self.items()}

    @classmethod
    def decoded(cls, texts: Mapping[str, object]) -> Assets:
        """The inverse of `encoded`.

        Raises:
            SceneError: a value is not base64.
        """
        try:
            return cls(
                {name: base64.b64decode(str(text), validate=True) for name, text in texts.items()}
            )
        except (binascii.Error, ValueError) as error:
            raise SceneError("an embedded file is damaged", got=error) from error

    @classmethod
    def read(cls, names: Iterable[str], folder: Path, *, allow_outside: bool = False) -> Assets:
        """Read files relative to ``folder``.

        Raises:
            SceneError: a file is missing, too large, or leaves the folder without permission.
        """
        files: dict[str, bytes] = {}
        for name in names:
            path = locate(name, folder, allow_outside=allow_outside)
            files[name] = read_bytes(path, f"the file {name!r} that the scene names")
            if sum(map(len, files.values())) > MAX_TOTAL:
                raise SceneError(
                    "the files of the scene are too large together",
                    got=f"more than {MAX_TOTAL // 2**20} MiB up to {name!r}",
                    expected=f"at most {MAX_TOTAL // 2**20} MiB",
                    remedy="scale the pictures down",
                )
        return cls(files)


def locate(name: str, folder: Path, *, allow_outside: bool = False) -> Path:
    """The path of ``name`` seen from ``folder``, with links followed.

    Raises:
        SceneError: the path leaves the folder, through ``..``, a link or a root, and
            ``allow_outside`` is not given; or it cannot be a path at all.
    """
    try:
        home = folder.resolve()
        path = (home / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # NUL bytes, loops of links
        raise SceneError("a path in the scene is not usable", got=f"{name!r}: {error}") from error
    if not allow_outside and not path.is_relative_to(home):
        raise SceneError(
            "a path leaves the folder of the scene",
            got=f"{name!r}, which is {path}",
            expected=f"a file inside {home}",
            remedy="copy the file beside the scene, or allow it with --allow-outside",
        )
    return path
