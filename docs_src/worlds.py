"""A procedural scene, its picture, and everything that is known about it."""
# ruff: noqa: E402 (imports stand where they are first needed)

# --8<-- [start:scene]
from compose_worlds import Scene, Setting, labels, picture, stack, toy

ball = toy("sphere", "red", x=-0.5, z=3.6)
block = toy("cube", "blue", x=0.4, z=4.6, yaw=30.0)
world = stack([Scene(solids=(ball, block), setting=Setting(environment="grass"))])
# --8<-- [end:scene]

# --8<-- [start:labels]
rgb = picture(world, (64, 64))  # (1, 3, 64, 64)
known = labels(world, (64, 64))

hidden = known.amodal[0] & ~known.visible[0]
assert known.amodal.shape == (1, 2, 64, 64)
assert int(hidden[1].sum()) > 0  # the ball stands in front of the block
# --8<-- [end:labels]

# --8<-- [start:caption]
from compose_worlds.primitives import draw

scene, claims = draw.scene(7)
caption = draw.caption(scene, claims, seed=7)
assert caption.text and caption.claims
# --8<-- [end:caption]
