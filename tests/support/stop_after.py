"""A watch that interrupts a training, as Ctrl-C does."""

from grmp_plugin.training.watch import Watch


class StopAfter(Watch):
    """Asks to stop after some steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self, step) -> None:
        self._left -= 1

    def should_stop(self) -> bool:
        return self._left <= 0
