"""Cells of a trial on the disk: what was measured once is not measured again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from compose_benchmarks import stored
from compose_benchmarks.trials.trial import Entry

__all__ = ["Cells"]


@final
@dataclass(frozen=True)
class Cells:
    """A folder of cells that were measured under the same conditions.

    Several processes may fill one folder, each with methods of its own.

    Attributes:
        folder: Where it is.
    """

    folder: Path

    @classmethod
    def below(cls, out: Path, trial: str, conditions: Mapping[str, Any]) -> Cells:
        """Those of a trial, in a folder that is named by the hash of its conditions.

        Args:
            out: Folder of trials.
            trial: Name.
            conditions: Everything that numbers depend on, besides method and setting; JSON.
        """
        text = json.dumps(dict(conditions), sort_keys=True)
        return cls(out / f"{trial}-{hashlib.sha256(text.encode()).hexdigest()[:16]}")

    def get(self, method: str, setting: str) -> Entry | None:
        """A cell, if it is there.

        Raises:
            ComposeError: A file is no cell.
        """
        path = self._path(method, setting)
        if not path.is_file():
            return None
        again = "compose bench trial"
        return stored.read(Entry, path, what="a cell of a trial", version=1, again=again)

    def put(self, entry: Entry) -> None:
        """Keep a cell.

        Raises:
            ComposeError: The folder cannot be written.
        """
        path = self._path(entry.method, entry.setting)
        path.parent.mkdir(parents=True, exist_ok=True)
        stored.write(entry, path)

    def _path(self, method: str, setting: str) -> Path:
        return self.folder / f"{method}-{setting}.json"
