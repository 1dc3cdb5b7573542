"""RealCompo: a realistic model and a spatially aware one, balanced pixel by pixel."""

from compose_realcompo._version import __version__

__all__ = ["__version__"]
