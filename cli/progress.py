"""What a training prints while it runs, on stderr: a bar on a terminal, lines elsewhere; TensorBoard too."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from grmp_plugin.errors import TrainingInterrupted
from grmp_plugin.notes import Note
from grmp_plugin.progress import Progress
from grmp_plugin.training.watch import Watch, losses_in_words

from .bars import ProgressBar, duration, next_line
from .errors import note_text
from .output import messages, note

if TYPE_CHECKING:
    from grmp_plugin.training.loop import Step

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_LONG = 20.0  # seconds from which an estimate is printed


class ShownProgress(Watch):
    """Shows a training's progress. The first Ctrl-C or SIGTERM stops it after the step, the second at once.

    Args:
        tensorboard: Folder for TensorBoard's logs.
        unit: What is counted, `epoch` or `task`.
        advice: Printed when the training begins: once nothing is wrong with what it was given.
    """

    def __init__(self, tensorboard: Path | None, unit: str = "epoch", advice: str | None = None) -> None:
        self._unit = unit
        self._advice = advice
        self._tensorboard = tensorboard
        self._writer: Any = None
        self._log_folder = ""
        self._bar = ProgressBar()
        self._stop = False
        self._has_estimate = False
        self._next_line = 0.0
        self.notes: list[Note] = []
        self.exit_code = 128 + signal.SIGINT  # after an interruption; shells expect 128 and the signal

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show progress, and handle Ctrl-C and SIGTERM while the block runs, unless they are ignored."""
        # A shell without job control starts what runs in the background with SIGINT ignored.
        handled = [n for n in _STOPPING if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._interrupted) for number in handled}
        try:
            yield
        except KeyboardInterrupt as stopped:
            raise TrainingInterrupted("interrupted") from stopped
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._bar.close()
            self._close_log()

    def should_stop(self) -> bool:
        """Whether Ctrl-C was pressed or SIGTERM came."""
        return self._stop

    def begin(self, description: str) -> None:
        """Print it."""
        self._print(description)
        if self._advice is not None:
            self._print(self._advice)

    def note(self, note: Note) -> None:
        """Print it, and remember it as printed."""
        self.notes.append(note)
        self._print(note_text(note))

    def estimate(self, seconds: float, device: str) -> None:
        """Print the first estimate, unless it is short."""
        if not self._has_estimate and seconds >= _LONG and not self._stop:
            self._has_estimate = True
            self._print(f"this will take about {duration(seconds)} on {device}, scoring included")

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        if self._stop:
            raise TrainingInterrupted(f"interrupted while {progress.stage}")
        self._bar(progress)

    def split(self, number: int, splits: int, seed: int) -> None:
        """Print it; from here on, TensorBoard's logs go to a folder of the split's own."""
        self._print(f"split {number} of {splits}, seed {seed}")
        self._close_log()
        self._log_folder = f"split-{number}"

    def step(self, step: "Step") -> None:
        """Move the bar, or print a line after each tenth of the training."""
        if step.step == 1:
            self._next_line = 0.0
        self._log(step)
        number, last = (step.step, step.steps) if self._unit == "task" else (step.epoch, step.epochs)
        details = f"{self._unit} {number} of {last}, {losses_in_words(step)}"
        if messages.is_terminal:
            self._bar(Progress("training", step.step, step.steps, details))
            return
        share = step.step / step.steps
        if share >= self._next_line or step.step == step.steps:
            self._next_line = next_line(share)
            left = f", {duration(step.seconds_left)} left" if step.seconds_left else ""
            note(f"{details}{left}")

    def _log(self, step: "Step") -> None:
        if self._tensorboard is None:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._tensorboard / self._log_folder))
        self._writer.add_scalar("learning_rate", step.learning_rate, step.step)
        for name, value in step.losses.items():
            self._writer.add_scalar(name, value, step.step)

    def _close_log(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _print(self, text: str) -> None:
        self._bar.close()
        note(text)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        self.exit_code = 128 + number
        # Not through the console, which may be in the middle of a message.
        os.write(2, b"stopping after this step; press Ctrl-C again to quit now\n")
