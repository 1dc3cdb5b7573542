"""The scene file: what should be where, described once for any method.

A scene is TOML or JSON with a version, a canvas, a prompt and layers; see `Scene` and `Layer` for
the keys. `load_scene` reads it together with every file that it names, `check` compares it with
what a method understands.
"""

from compose_core.scene.assets import Assets
from compose_core.scene.capability import check
from compose_core.scene.layer import Camera, Layer, Proxy
from compose_core.scene.load import build, load_scene, parse_scene, schema
from compose_core.scene.model import Scene, visible
from compose_core.scene.resolve import ProxyResolver

__all__ = [
    "Assets",
    "Camera",
    "Layer",
    "Proxy",
    "ProxyResolver",
    "Scene",
    "build",
    "check",
    "load_scene",
    "parse_scene",
    "schema",
    "visible",
]
