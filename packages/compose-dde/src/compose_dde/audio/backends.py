"""Whether torchaudio can be used: found out once, when it is first needed."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any, Literal, get_args

from compose_core.errors import ComposeError, UsageError

Backend = Literal["auto", "torchaudio", "torch"]
"""Who changes rates and makes mel bands; ``auto`` takes torchaudio where it imports."""


@functools.cache
def _torchaudio() -> tuple[Any, str]:
    """The module's functional part, or the reason why there is none."""
    try:
        return import_module("torchaudio.functional"), ""
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        # RuntimeError: made for another CUDA than torch; OSError: a library does not load.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return None, reason


def backend(wanted: Backend = "auto") -> Literal["torchaudio", "torch"]:
    """The backend that is used.

    Raises:
        UsageError: There is no such backend.
        ComposeError: torchaudio is asked for by name and cannot be imported.
    """
    if wanted not in get_args(Backend):
        raise UsageError("unknown backend", got=wanted, expected=", ".join(get_args(Backend)))
    if wanted == "torch":
        return "torch"
    module, reason = _torchaudio()
    if module is None and wanted == "torchaudio":
        raise ComposeError(
            "torchaudio cannot be used",
            got=reason,
            expected="a torchaudio of the same version, and for the same CUDA, as torch",
            remedy="install the matching torchaudio, or leave the backend to `auto`, which "
            "needs none",
        )
    return "torch" if module is None else "torchaudio"


def functional() -> Any:
    """`torchaudio.functional`; ask `backend` first."""
    return _torchaudio()[0]
