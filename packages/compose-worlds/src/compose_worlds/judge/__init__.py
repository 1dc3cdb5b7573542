"""The eye of the tiny benchmarks: reads objects, colours, shapes, depth and normals in pictures.

The judge shares its world with the tiny generators, so its scores say nothing of photographs.
"""

from compose_worlds.judge.network import JudgeNet, Readings
from compose_worlds.judge.reading import Found, objects, overlap, read
from compose_worlds.judge.verdict import Verdict, verdict

__all__ = ["Found", "JudgeNet", "Readings", "Verdict", "objects", "overlap", "read", "verdict"]
