"""Checkpoints that ship with the repository: data, found by `compose_core.zoo`.

``manifests/<id>.toml`` says what a checkpoint is, ``weights/<id>/`` holds its files and
``recipes/<id>.py`` is how it was made. Nothing is imported or loaded from here until asked for.
"""

from compose_zoo._version import __version__

__all__ = ["__version__"]
