"""Errors carry four parts, print the ones that are there, and survive pickling."""

import pickle

import pytest

from compose_core import errors


def test_message_has_one_line_per_part():
    error = errors.ComposeError("mask is empty", got=0, expected="> 0 cells", remedy="draw one")
    assert str(error) == "mask is empty\n  got: 0\n  expected: > 0 cells\n  try: draw one"


def test_absent_parts_leave_no_line():
    assert str(errors.ComposeError("no layers")) == "no layers"
    assert str(errors.ComposeError("x", got=0)) == "x\n  got: 0"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.SceneError, 1),
        (errors.ShapeError, 1),
        (errors.ScheduleError, 1),
        (errors.WeightsError, 1),
        (errors.UsageError, 2),
        (errors.InterruptedRun, 130),
    ],
)
def test_kinds_and_exit_codes(kind: type[errors.ComposeError], code: int):
    with pytest.raises(errors.ComposeError):
        raise kind("what")
    assert kind("what").exit_code == code


def test_pickle_keeps_every_part():
    error = errors.UsageError("what", got="a", expected="b", remedy="c")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.UsageError and str(again) == str(error)
