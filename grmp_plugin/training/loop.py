"""The loop that drives a trainer: epochs of steps, saved at any step, resumed to the same weights.

pyiqa's own loop cannot resume on a CPU and takes no step when a batch is larger than the data set; this one
drives the same trainers.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from grmp_plugin.errors import TrainingError, TrainingInterrupted
from grmp_plugin.training.trainer import GRMPTrainer

# Seconds between two saves.
SAVE_EVERY = 20.0


@dataclass(frozen=True)
class Step:
    """A completed training step.

    Attributes:
        epoch: Its epoch, from 1.
        epochs: Number of epochs in all.
        step: Its number, from 1.
        steps: Number of steps in all.
        learning_rate: Learning rate of the step.
        losses: What the trainer logged.
        seconds_left: Estimated seconds until the last step; None after the first step.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    learning_rate: float
    losses: Mapping[str, float]
    seconds_left: float | None


class AfterEpoch(Protocol):
    """An action after each epoch, with a state of its own."""

    def __call__(self, trainer: GRMPTrainer, epoch: int) -> bool:
        """Act after an epoch, counted from 0; return True to end the training."""

    def state(self) -> dict[str, Any]:
        """The state for `load_state`."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""


Batches = Callable[[int], Sequence[Callable[[], dict[str, Any]]]]


def run(
    trainer: GRMPTrainer,
    batches: Batches,
    epochs: int,
    steps: int,
    *,
    state: Mapping[str, Any] | None = None,
    save: Callable[[dict[str, Any]], None] | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    should_stop: Callable[[], bool] = lambda: False,
    after_epoch: AfterEpoch | None = None,
) -> None:
    """Train.

    Args:
        trainer: Changed in place.
        batches: Maps an epoch, from 0, to functions that make its batches.
        epochs: Number of epochs.
        steps: Number of batches in all epochs, for the progress.
        state: What `save` received last, to resume from it.
        save: Stores a state.
        on_step: Called after every step.
        should_stop: Asked after every step.
        after_epoch: Called after every epoch.

    Raises:
        TrainingInterrupted: When `should_stop` returned True; the state is saved before.
        TrainingError: When training cannot continue, or the state does not fit the trainer.
    """
    epoch = done = step = 0
    if state is not None:
        epoch, done, step = _resumed(trainer, state, after_epoch)
    saved_at = time.monotonic()
    # The first step may have to prepare things; its duration says nothing about the others.
    first_step, first_done = step + 1, math.inf

    def save_now() -> None:
        if save is not None:
            save(
                {
                    "epoch": epoch,
                    "done": done,
                    "step": step,
                    "trainer": trainer.training_state(),
                    "after_epoch": after_epoch.state() if after_epoch is not None else {},
                }
            )

    while epoch < epochs:
        todo = batches(epoch)
        while done < len(todo):
            learning_rate = trainer.get_current_learning_rate()[0]
            trainer.feed_data(todo[done]())
            trainer.optimize_parameters(step + 1)
            done, step = done + 1, step + 1
            first_done = min(first_done, time.monotonic())
            pace = (time.monotonic() - first_done) / (step - first_step) if step > first_step else None
            left = None if pace is None else pace * (steps - step)
            on_step(Step(epoch + 1, epochs, step, steps, learning_rate, trainer.log_dict, left))
            if should_stop():
                save_now()
                raise TrainingInterrupted(f"interrupted after step {step} of {steps}")
            if time.monotonic() - saved_at > SAVE_EVERY:
                save_now()
                saved_at = time.monotonic()
        trainer.update_learning_rate(epoch + 2)  # as pyiqa's loop calls it after an epoch
        if after_epoch is not None and after_epoch(trainer, epoch):
            return
        epoch, done = epoch + 1, 0
    save_now()  # what follows the training may be interrupted, too


def _resumed(
    trainer: GRMPTrainer, state: Mapping[str, Any], after_epoch: AfterEpoch | None
) -> tuple[int, int, int]:
    """Load a state into the trainer; return the epoch, the batches done in it, and the steps done."""
    try:
        position = (state["epoch"], state["done"], state["step"])
        if not all(type(number) is int and number >= 0 for number in position):
            raise ValueError("no position")
        trainer.load_training_state(state["trainer"])
        if after_epoch is not None:
            after_epoch.load_state(state["after_epoch"])
    # A state of another form can fail anywhere in torch's optimizers and schedulers.
    except Exception as error:
        raise TrainingError(
            f"the saved state does not fit this training ({type(error).__name__}: {error}); start without "
            "resuming",
            argument="resume",
        ) from error
    return position
