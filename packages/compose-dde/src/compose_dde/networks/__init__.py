"""Base models: what is known about parts, before anything is coordinated."""

from compose_dde.networks.adapted import Adapted, from_diffusers
from compose_dde.networks.edm import Backbone, EDMNetwork
from compose_dde.networks.mapunet import MapUNet
from compose_dde.networks.spectral import SpectralTransformer
from compose_dde.networks.unet1d import UNet1d
from compose_dde.networks.unet2d import PositionUNet

__all__ = [
    "Adapted",
    "Backbone",
    "EDMNetwork",
    "MapUNet",
    "PositionUNet",
    "SpectralTransformer",
    "UNet1d",
    "from_diffusers",
]
