"""The version, the same for every package of the repository."""

__version__ = "0.1.0"
