"""The package imports nothing heavy until a name is asked for."""

import ast
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import compose_cnc


def test_importing_the_package_stays_light():
    code = "import sys, compose_cnc; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "diffusers", "transformers"} & set(done.stdout.split())


def test_the_lazy_table_is_what_type_checkers_see():
    tree = ast.parse(Path(str(compose_cnc.__file__)).read_text("utf-8"))
    (block,) = (x for x in tree.body if isinstance(x, ast.If))
    seen = {
        node.module.partition(".")[2]: tuple(alias.name for alias in node.names)
        for node in block.body
    }
    assert seen == compose_cnc._HOME
    assert set(compose_cnc.__all__) == {*compose_cnc._MODULE_OF, "__version__"}
    assert all(a < b for a, b in pairwise(compose_cnc._HOME))


def test_every_public_name_exists():
    assert all(getattr(compose_cnc, name) is not None for name in compose_cnc.__all__)
    with pytest.raises(AttributeError):
        _ = compose_cnc.nothing_of_this_name
