"""The loop that drives a trainer: epochs of steps, saved at any step, continued to the same weights.

pyiqa's own loop cannot resume on a CPU and counts no step where a batch is larger than the data; this one
drives the same trainers.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from grmp_plugin.errors import TrainingInterrupted
from grmp_plugin.training.trainer import GRMPTrainer

# Seconds between two saves.
SAVE_EVERY = 20.0


@dataclass(frozen=True)
class Step:
    """A step that was taken.

    Attributes:
        epoch: it belongs to, from 1.
        epochs: that there will be.
        step: its number, from 1.
        steps: that there will be.
        learning_rate: it was taken with.
        losses: what the trainer logged.
        seconds_left: until the last step, as fast as so far; None after the first one.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    learning_rate: float
    losses: Mapping[str, float]
    seconds_left: float | None


class AfterEpoch(Protocol):
    """Something that is done after each epoch, with a state of its own."""

    def __call__(self, trainer: GRMPTrainer, epoch: int) -> bool:
        """Told the epoch's number, from 0; True ends the training."""

    def state(self) -> dict[str, Any]:
        """What `load_state` needs to go on."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""


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
        trainer: is changed in place.
        batches: gives, for an epoch from 0, functions that make its batches.
        epochs: how many.
        steps: how many batches there are in all epochs, for the progress.
        state: what `save` was given last, to go on from there.
        save: keeps a state.
        on_step: told every step.
        should_stop: asked after every step.
        after_epoch: called after every epoch.

    Raises:
        TrainingInterrupted: when `should_stop` said so; the state is saved before.
        TrainingError: when training cannot go on.
    """
    epoch = done = step = 0
    if state is not None:
        epoch, done, step = state["epoch"], state["done"], state["step"]
        trainer.load_training_state(state["trainer"])
        if after_epoch is not None:
            after_epoch.load_state(state["after_epoch"])
    saved_at = time.monotonic()
    # The first step, which may have to prepare things, tells nothing about the others.
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
        trainer.update_learning_rate(epoch + 2)  # as pyiqa's loop calls it after its epochs
        if after_epoch is not None and after_epoch(trainer, epoch):
            return
        epoch, done = epoch + 1, 0
    save_now()  # what comes after training may be interrupted, too
