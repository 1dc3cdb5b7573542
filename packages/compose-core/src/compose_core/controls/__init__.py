"""Pictures that tell a ControlNet where things are, drawn from a scene."""

from compose_core.controls.draw import draw_control
from compose_core.controls.palette import Palette
from compose_core.controls.skeleton import OPENPOSE, Limb, Skeleton
from compose_core.controls.style import CONTROLS, FILE, Control, Style, read_style, write_style

__all__ = [
    "CONTROLS",
    "FILE",
    "OPENPOSE",
    "Control",
    "Limb",
    "Palette",
    "Skeleton",
    "Style",
    "draw_control",
    "read_style",
    "write_style",
]
