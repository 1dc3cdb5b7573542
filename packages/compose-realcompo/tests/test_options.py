"""Settings that make no sense are refused by name."""

import pytest

from compose_core.errors import UsageError
from compose_realcompo.options import Options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", -1.0),
        ("rate", float("nan")),
        ("start", 1.1),
        ("update_every", 0),
    ],
)
def test_numbers_without_sense_are_named(name, value):
    with pytest.raises(UsageError, match=name):
        Options(**{name: value})


@pytest.mark.parametrize("more", [{"update_every": 2}, {"guided_lookahead": True}])
def test_a_lagged_update_has_no_look_ahead_to_set(more):
    with pytest.raises(UsageError, match="lagged"):
        Options(lagged=True, **more)
