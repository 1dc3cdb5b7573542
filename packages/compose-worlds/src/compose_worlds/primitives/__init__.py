"""Scenes of solids on a ground, ray-cast with exact labels.

The modules are `world` (what a scene is), `draw` and `captions` (scenes by number, and what can be
said of them), `render` and `labels` (pictures and what is known of each pixel), `figure` and
`poses` (an articulated figure), `camera`, `cast`, `solids` and `environments` (how it is done).
`compose_worlds` offers their public names.
"""
