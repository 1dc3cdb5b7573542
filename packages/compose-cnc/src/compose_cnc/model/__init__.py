"""The networks that Compose and Conquer adds to a frozen UNet."""

from compose_cnc.model.fdn import FDN, Coefficients, LocalResnet, Modulation, ResnetModulation
from compose_cnc.model.local import LocalFuser, Residuals
from compose_cnc.model.sizes import SD15, TINY, Sizes
from compose_cnc.model.streams import DepthStreams
from compose_cnc.model.tokens import GlobalFuser, Stream

__all__ = [
    "FDN",
    "SD15",
    "TINY",
    "Coefficients",
    "DepthStreams",
    "GlobalFuser",
    "LocalFuser",
    "LocalResnet",
    "Modulation",
    "Residuals",
    "ResnetModulation",
    "Sizes",
    "Stream",
]
