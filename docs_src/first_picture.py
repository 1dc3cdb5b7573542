"""A scene in Python, a picture on disk that remembers its scene."""
# ruff: noqa: E402 (imports stand where they are first needed)

from pathlib import Path

# --8<-- [start:scene]
from compose_core.scene import Layer, Scene

scene = Scene(
    canvas=(64, 64),
    prompt="grass",
    seed=5,
    layers=(
        Layer(name="ball", prompt="a red sphere on grass", box=(0.06, 0.35, 0.48, 0.88)),
        Layer(name="block", prompt="a blue cube on grass", box=(0.52, 0.35, 0.94, 0.88)),
    ),
)
# --8<-- [end:scene]

# --8<-- [start:run]
from compose_core.run import run_scene

out = Path("pictures")
(path,) = run_scene(scene, steps=10, out=out, name="toys")
# --8<-- [end:run]

# --8<-- [start:again]
from compose_core.run import load_record

record = load_record(path)
assert record.scene == scene
assert record.settings.seed == 5
# --8<-- [end:again]

# --8<-- [start:compare]
for method in ("regional", "plain"):
    (path,) = run_scene(scene, method=method, steps=10, out=out, name=method)
# --8<-- [end:compare]
