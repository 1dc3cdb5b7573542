"""Diffusion domain expansion: a learned coordinator of pretrained denoisers.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_dde`` does not import torch.
"""

from compose_dde._version import __version__

__all__ = ["__version__"]
