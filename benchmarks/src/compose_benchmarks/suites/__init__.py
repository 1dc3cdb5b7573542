"""The suites of this package: each module is one configuration, called `SUITE`.

All draw held-out scenes of the primitives world, each from a range of scene numbers of its own.
"""
