"""Every failure that a user can meet, as one clear message.

An error says what went wrong, what was found, what was expected and what to try. The command line
prints exactly this text and nothing else; library users read the parts from the attributes.
"""


class ComposeError(Exception):
    """A failure explained in four parts.

    Attributes:
        what: one sentence naming the thing that failed.
        got: what was found, or ``None``.
        expected: what would have been accepted, or ``None``.
        remedy: what to try next, or ``None``.
        exit_code: the status of the ``compose`` command when this error ends it.
    """

    exit_code: int = 1

    def __init__(
        self,
        what: str,
        *,
        got: object = None,
        expected: object = None,
        remedy: str | None = None,
    ) -> None:
        """Store the parts; any of them but ``what`` may be left out."""
        super().__init__(what)
        self.what = what
        self.got = got
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        """The message: one line for each part that is present."""
        parts = (("got", self.got), ("expected", self.expected), ("try", self.remedy))
        lines = [f"  {name}: {part}" for name, part in parts if part is not None]
        return "\n".join([self.what, *lines])

    def __reduce__(self) -> tuple[object, ...]:
        """Keep every part when the error crosses a process boundary (keywords are not in args)."""
        return _restore, (type(self), self.what, self.got, self.expected, self.remedy)


def _restore(
    kind: type[ComposeError], what: str, got: object, expected: object, remedy: str | None
) -> ComposeError:
    return kind(what, got=got, expected=expected, remedy=remedy)


class SceneError(ComposeError):
    """A scene file, or a file that it names, cannot be used."""


class ShapeError(ComposeError):
    """A tensor or picture has the wrong shape, dtype or range of values."""


class ScheduleError(ComposeError):
    """A noise schedule, noise level or list of levels makes no sense."""


class WeightsError(ComposeError):
    """A checkpoint is missing, damaged or not the one that was pinned."""


class UsageError(ComposeError):
    """The command or function was called wrongly (exit code 2)."""

    exit_code = 2


class InterruptedRun(ComposeError):
    """The run was stopped from outside before it finished (Ctrl-C, SIGTERM)."""

    exit_code = 130
