"""The published checkpoint of Compose and Conquer, in the names of diffusers."""

from compose_cnc.convert.checkpoint import Conversion, convert, verify

__all__ = ["Conversion", "convert", "verify"]
