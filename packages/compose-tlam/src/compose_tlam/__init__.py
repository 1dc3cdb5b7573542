"""Pictures from any set of dense labels, any of them missing anywhere.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_tlam`` does not import torch.
"""

from typing import TYPE_CHECKING

from compose_core import lazy
from compose_tlam._version import __version__

if TYPE_CHECKING:
    from compose_tlam.labels import Label, LabelSet
    from compose_tlam.merge import TLAM
    from compose_tlam.method import TLAMMethod
    from compose_tlam.model import Painter
    from compose_tlam.pipeline import TLAMPipeline
    from compose_tlam.stack import LabelStack

_HOME = {
    "labels": ("Label", "LabelSet"),
    "merge": ("TLAM",),
    "method": ("TLAMMethod",),
    "model": ("Painter",),
    "pipeline": ("TLAMPipeline",),
    "stack": ("LabelStack",),
}

__all__ = [
    "TLAM",
    "Label",
    "LabelSet",
    "LabelStack",
    "Painter",
    "TLAMMethod",
    "TLAMPipeline",
    "__version__",
]

__getattr__, __dir__ = lazy.attach(__name__, _HOME)
