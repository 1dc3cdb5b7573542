"""Fixtures of every test of this package."""

from compose_core.testing.devices import device  # noqa: F401
