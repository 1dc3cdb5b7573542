"""Settings for every test of the repository."""

import os

from hypothesis import settings

# No deadlines: nothing here asserts a time, and shared machines pause at will. The gate draws the
# same cases every time; elsewhere new ones are tried.
settings.register_profile("compose", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("compose")
