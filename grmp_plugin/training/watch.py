"""How a training reports its progress; the library prints nothing itself."""

from typing import TYPE_CHECKING

from grmp_plugin.notes import Note
from grmp_plugin.progress import Progress, ProgressCallback, progress_callback

if TYPE_CHECKING:
    from grmp_plugin.training.loop import Step

# What a trainer logs, in words.
_LOSSES = {
    "l_quality": "quality loss {:.3f}",
    "l_semantic": "semantic loss {:.3f}",
    "l_support": "support loss {:.3f}",
    "l_query": "query loss {:.3f}",
    "angle": "angle {:.1f}°",
    "projected": "projected {:.0%}",
    "moved": "prompts moved {:.1%}",
}


class Watch:
    """Receives all that a training reports, and does nothing; subclass it.

    `progress` may raise TrainingInterrupted: nothing is lost there.
    """

    def begin(self, description: str) -> None:
        """Training is about to begin: what is trained on what, in one sentence."""

    def note(self, note: Note) -> None:
        """Something worth knowing before the work begins."""

    def estimate(self, seconds: float, device: str) -> None:
        """Seconds that all splits will take on the device, estimated before the long work begins."""

    def progress(self, progress: Progress) -> None:
        """Progress of everything but training steps: drawing, reading and scoring images."""

    def split(self, number: int, splits: int, seed: int) -> None:
        """One of several splits begins, counted from 1."""

    def step(self, step: "Step") -> None:
        """A training step is done."""

    def should_stop(self) -> bool:
        """Whether the user wants to stop; asked after every step."""
        return False


class ProgressWatch(Watch):
    """Passes progress on to a callback.

    Args:
        report: Called with each `Progress`.
    """

    def __init__(self, report: ProgressCallback) -> None:
        self._report = report

    def progress(self, progress: Progress) -> None:
        """Pass it on."""
        self._report(progress)

    def step(self, step: "Step") -> None:
        """Pass it on, with the losses in words."""
        self._report(Progress("training", step.step, step.steps, losses_in_words(step)))


def as_watch(progress: bool | ProgressCallback | Watch) -> Watch:
    """The watch for what a caller gave: a watch, a callback, True for a progress bar, or False."""
    return progress if isinstance(progress, Watch) else ProgressWatch(progress_callback(progress))


def losses_in_words(step: "Step") -> str:
    """What the trainer logged of a step, and its learning rate."""
    losses = [_LOSSES[name].format(value) for name, value in step.losses.items() if name in _LOSSES]
    return ", ".join([*losses, f"learning rate {step.learning_rate:.2g}"])
