"""Signals that end a process politely: what Ctrl-C keeps, SIGTERM keeps too."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """Raised for SIGTERM, as Python raises KeyboardInterrupt for SIGINT."""


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Raise `Terminated` for SIGTERM while the block runs, unless the signal is ignored."""
    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_code(stopped: KeyboardInterrupt) -> int:
    """The exit code that shells expect after an interruption: 128 and the number of the signal."""
    terminated = isinstance(stopped, Terminated) or isinstance(stopped.__cause__, Terminated)
    return 128 + (signal.SIGTERM if terminated else signal.SIGINT)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
