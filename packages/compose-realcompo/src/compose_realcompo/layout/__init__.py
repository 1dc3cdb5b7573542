"""Layouts: where the objects of a prompt are, found without a model or by asking one.

    layout = plan_offline("a red ball to the left of a blue cube")
    write_scene(layout, "scene.toml", canvas=(512, 512))

Names are looked up on first use, so that importing this costs nothing.
"""

from typing import TYPE_CHECKING

from compose_core import lazy

if TYPE_CHECKING:
    from compose_realcompo.layout.endpoint import Endpoint
    from compose_realcompo.layout.llm import plan_llm
    from compose_realcompo.layout.model import Layout, Placed
    from compose_realcompo.layout.offline import plan_offline
    from compose_realcompo.layout.scenes import to_scene, write_scene

_HOME = {
    "endpoint": ("Endpoint",),
    "llm": ("plan_llm",),
    "model": ("Layout", "Placed"),
    "offline": ("plan_offline",),
    "scenes": ("to_scene", "write_scene"),
}

__all__ = [
    "Endpoint",
    "Layout",
    "Placed",
    "plan_llm",
    "plan_offline",
    "to_scene",
    "write_scene",
]

__getattr__, __dir__ = lazy.attach(__name__, _HOME)
