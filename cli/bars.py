"""One progress bar for all commands, on stderr: a bar on a terminal, a few lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from grmp_plugin.progress import Progress, ProgressCallback

from .output import messages, note

_LINES = 10  # approximate number of lines without a terminal
_QUIET = 10.0  # seconds before the first one


class ProgressBar:
    """Shows each stage's progress; call it with a `Progress`.

    On a terminal it is one line, removed at the end; elsewhere a line for each tenth of a long stage.
    """

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task = TaskID(0)
        self._stage = ""
        self._started = 0.0
        self._next_line = 0.0

    def __call__(self, progress: Progress) -> None:
        """Show how far the work is."""
        if not messages.is_terminal:
            self._print_line(progress)
            return
        if self._bar is None or progress.stage != self._stage:
            self.close()
            self._open(progress)
        elapsed = max(1e-9, time.monotonic() - self._started)
        detail = progress.detail or f"{progress.done / elapsed:.1f}/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=progress.done, total=progress.total, detail=detail)

    def _print_line(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage:
            self._stage, self._started, self._next_line = progress.stage, now, 0.0
        elapsed = now - self._started
        share = progress.done / max(1, progress.total)
        if elapsed < _QUIET or share < self._next_line or not 0 < progress.done < progress.total:
            return
        self._next_line = next_line(share)
        left = duration(elapsed * (progress.total / progress.done - 1))
        note(f"{progress.stage}: {progress.done} of {progress.total}, {left} left")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _open(self, progress: Progress) -> None:
        described, counted = len(progress.stage), len(f"{progress.total}/{progress.total}")
        columns = (
            TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=described)),
            BarColumn(bar_width=12, table_column=Column(min_width=12)),
            MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=counted)),
            TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
            # Takes whatever room is left.
            TextColumn("{task.fields[detail]}", table_column=Column(no_wrap=True, ratio=1)),
        )
        # Rows may go to the same terminal; the bar must not take hold of stdout.
        self._bar = RichProgress(*columns, console=messages, transient=True, redirect_stdout=False)
        self._bar.start()
        self._task = self._bar.add_task(progress.stage, total=progress.total, detail="")
        self._stage, self._started = progress.stage, time.monotonic()


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """A callback that shows progress while the block runs."""
    bar = ProgressBar()
    try:
        yield bar
    finally:
        bar.close()


def next_line(share: float) -> float:
    """Share of the work at which the next line is due off a terminal: at each tenth.

    Args:
        share: Share that is done.
    """
    return (int(share * _LINES) + 1) / _LINES


def duration(seconds: float) -> str:
    """A duration in words, as precise as an estimate deserves."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
