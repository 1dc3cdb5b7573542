"""SIGTERM and SIGINT become a wish to stop, granted after a whole step."""

import signal
import threading
from types import FrameType, TracebackType


class Stopping:
    """While active, the first SIGTERM or SIGINT is only noted; a second one acts as usual.

    Signals belong to the main thread; in any other thread this does nothing.
    """

    def __init__(self) -> None:
        """Nothing is caught before ``with``."""
        self.caught: str | None = None
        self._before: dict[int, signal.Handlers | object] = {}

    def __enter__(self) -> "Stopping":
        """Catch signals from here on."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.caught = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}
