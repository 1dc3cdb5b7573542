import subprocess
import sys
from itertools import chain

import pytest

import compose_metrics


def test_importing_the_package_does_not_import_torch():
    code = "import sys, compose_metrics; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_exists():
    assert set(compose_metrics.__all__) == {*chain(*compose_metrics._HOME.values()), "__version__"}
    for name in compose_metrics.__all__:
        assert getattr(compose_metrics, name) is not None
    with pytest.raises(AttributeError):
        _ = compose_metrics.nothing_of_this_name
