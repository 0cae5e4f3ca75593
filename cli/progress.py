"""What a training says while it runs, on stderr: a bar on a terminal, lines elsewhere; TensorBoard too."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from grmp_plugin.errors import TrainingInterrupted
from grmp_plugin.training.loop import Step
from grmp_plugin.training.watch import Watch

from .output import messages, note

_LINES = 10  # about so many, where there is no terminal
# How a trainer's numbers are told.
_TOLD = {
    "l_quality": "quality loss {:.3f}",
    "l_semantic": "semantic loss {:.3f}",
    "l_support": "support loss {:.3f}",
    "l_query": "query loss {:.3f}",
    "angle": "angle {:.1f}°",
    "projected": "projected {:.0%}",
    "moved": "prompts moved {:.1%}",
}
_WORTH_SAYING = 20.0  # seconds


class ShownProgress(Watch):
    """Shows a training's progress; the first Ctrl-C lets it end the step, the second ends it at once.

    Args:
        device: for the words of the estimate.
        tensorboard: folder for TensorBoard's logs.
        unit: what is counted, epochs or tasks.
    """

    def __init__(self, device: str, tensorboard: Path | None, unit: str = "epoch") -> None:
        self._device = device
        self._unit = unit
        self._stop = False
        self._bar: Progress | None = None
        self._task: Any = None
        self._what = ""
        self._said_estimate = False
        self._next_line = 0.0
        self._writer: Any = None
        if tensorboard is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(tensorboard))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show progress, and take Ctrl-C for a wish to stop, while the block runs."""
        before = signal.signal(signal.SIGINT, self._interrupted)
        try:
            yield
        except KeyboardInterrupt as stopped:
            raise TrainingInterrupted("interrupted") from stopped
        finally:
            signal.signal(signal.SIGINT, before)
            self._end_bar()
            if self._writer is not None:
                self._writer.close()

    def should_stop(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._stop

    def estimate(self, seconds: float) -> None:
        """Say how long it will take, where that is worth saying."""
        if self._said_estimate or seconds < _WORTH_SAYING:
            return
        self._said_estimate = True
        self._end_bar()
        note(f"this takes about {duration(seconds)} on {self._device}, with scoring (from a few images)")

    def reading(self, done: int, total: int) -> None:
        """Images read."""
        self._stop_if_wanted("reading images")
        self._advance("reading images", done, total)

    def scoring(self, done: int, total: int, when: str) -> None:
        """Test images scored."""
        self._stop_if_wanted(f"scoring {when} training")
        self._advance(f"scoring {when} training", done, total)

    def drawing(self, done: int, total: int) -> None:
        """Demo pictures drawn."""
        self._stop_if_wanted("drawing pictures")
        self._advance("drawing the demo's pictures (once)", done, total)

    def split(self, number: int, splits: int, seed: int) -> None:
        """One of several splits begins."""
        self._end_bar()
        note(f"split {number} of {splits}, seed {seed}")

    def step(self, step: Step) -> None:
        """A training step."""
        if step.step == 1:
            self._next_line = 0.0
        if self._writer is not None:
            self._writer.add_scalar("learning_rate", step.learning_rate, step.step)
            for name, value in step.losses.items():
                self._writer.add_scalar(name, value, step.step)
        number, last = (step.step, step.steps) if self._unit == "task" else (step.epoch, step.epochs)
        details = f"{self._unit} {number} of {last}, {_losses(step)}"
        if messages.is_terminal:
            self._advance("training", step.step, step.steps, details)
            return
        share = step.step / step.steps
        if share >= self._next_line or step.step == step.steps:
            self._next_line = (int(share * _LINES) + 1) / _LINES
            left = f", {duration(step.seconds_left)} left" if step.seconds_left else ""
            note(f"{details}{left}")

    def _advance(self, what: str, done: int, total: int, details: str = "") -> None:
        if not messages.is_terminal:
            return
        if self._bar is None or what != self._what:
            self._end_bar()
            columns = (
                TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=len(what))),
                BarColumn(bar_width=12, table_column=Column(min_width=12)),
                MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=len(f"{total}/{total}"))),
                TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
                # Whatever room is left.
                TextColumn("{task.fields[details]}", table_column=Column(no_wrap=True, ratio=1)),
            )
            self._bar = Progress(*columns, console=messages, transient=True, redirect_stdout=False)
            self._bar.start()
            self._task = self._bar.add_task(what, total=total, details=details)
            self._what = what
        self._bar.update(self._task, completed=done, total=total, details=details)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        # Not by the console: it may be in the middle of a message.
        os.write(2, b"stopping as soon as the state is whole; Ctrl-C again stops at once\n")

    def _stop_if_wanted(self, doing: str) -> None:
        if self._stop:
            raise TrainingInterrupted(f"interrupted while {doing}")


def duration(seconds: float) -> str:
    """A duration in words, as precise as an estimate deserves."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _losses(step: Step) -> str:
    told = [_TOLD[name].format(value) for name, value in step.losses.items() if name in _TOLD]
    return ", ".join([*told, f"learning rate {step.learning_rate:.2g}"])
