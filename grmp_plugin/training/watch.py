"""How a training tells of its progress; the library prints nothing itself."""

from grmp_plugin.training.loop import Step


class Watch:
    """Told of everything that takes time; does nothing, and is to be subclassed.

    `reading` and `scoring` may raise TrainingInterrupted: nothing is lost there.
    """

    def estimate(self, seconds: float) -> None:
        """How long all of it will take, before anything long has begun."""

    def reading(self, done: int, total: int) -> None:
        """Images read so far, and in all."""

    def scoring(self, done: int, total: int, when: str) -> None:
        """Test images scored so far, and in all; `when`: before, or after training."""

    def split(self, number: int, splits: int, seed: int) -> None:
        """One of several splits begins, counted from 1."""

    def step(self, step: Step) -> None:
        """A training step was taken."""

    def should_stop(self) -> bool:
        """Whether the user wants to stop; asked after every step."""
        return False
