"""The package's public names, and what importing it costs."""

import subprocess
import sys

import pytest

import compose_worlds


def test_importing_it_does_not_import_torch():
    code = "import sys, compose_worlds, compose_worlds.primitives; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_public_names_are_there():
    for name in compose_worlds.__all__:
        assert getattr(compose_worlds, name) is not None
        assert name in dir(compose_worlds)
    with pytest.raises(AttributeError, match="nothing"):
        _ = compose_worlds.nothing
