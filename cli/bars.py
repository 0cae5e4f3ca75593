"""One progress bar for all commands, on stderr: a bar on a terminal, nothing elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from grmp_plugin.progress import Progress, ProgressCallback

from .output import messages


class ProgressBar:
    """Shows each stage's progress in one line, removed at the end; call it with a `Progress`."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task = TaskID(0)
        self._stage = ""
        self._started = 0.0

    def __call__(self, progress: Progress) -> None:
        """Show how far the work is."""
        if not messages.is_terminal:
            return
        if self._bar is None or progress.stage != self._stage:
            self.close()
            self._open(progress)
        elapsed = max(1e-9, time.monotonic() - self._started)
        detail = progress.detail or f"{progress.done / elapsed:.1f}/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=progress.done, total=progress.total, detail=detail)

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
