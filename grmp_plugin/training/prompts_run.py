"""Adaptation of prompts and last blocks by gradients: one training, from its options to its log."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.training.adapt_model import GRMPAdaptModel
from grmp_plugin.training.frozen import FrozenPart
from grmp_plugin.training.loop import AfterEpoch, Batches, Step, run
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.settings import AdaptSettings
from grmp_plugin.training.trainer import GRMPTrainer
from grmp_plugin.training.watch import Watch


@dataclass
class PromptsRun:
    """A training of a start on some of the shots.

    Args:
        start: The model to adapt.
        settings: Settings of the training; the learning rate falls over all of their epochs.
        shots: All shots, with training views.
        seed: Random seed of the training.
        device: `cpu` or `cuda`.
        numbers: Which of the shots to learn from; None: all.
        frozen: The frozen part of another training of the same start, whose results can be used again.
        kind: Class of the trainer, which decides what is learned.

    Attributes:
        trainer: The network in training.
        log: What was logged of each step, those before an interruption included.
    """

    start: Checkpoint
    settings: AdaptSettings
    shots: RatedViews
    seed: int
    device: str
    numbers: Sequence[int] | None = None
    frozen: FrozenPart | None = None
    kind: type[GRMPAdaptModel] = GRMPAdaptModel
    log: list[dict[str, float]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Make the trainer."""
        options = trainer_options(self.start, self.settings, self.seed, self.device)
        self.trainer = self.kind(options)
        if self.frozen is not None:
            self.trainer.frozen.share(self.frozen)

    def train(
        self,
        watch: Watch,
        *,
        epochs: int | None = None,
        state: Mapping[str, Any] | None = None,
        save: Callable[[dict[str, Any]], None] = lambda state: None,
        after_epoch: AfterEpoch | None = None,
    ) -> None:
        """Train, and keep the log.

        Args:
            watch: Receives the progress.
            epochs: Stop after this many, with the learning rate still falling; None: all of the settings'.
            state: What `save` received last, to resume from it.
            save: Stores a state.
            after_epoch: Called after every epoch.
        """
        numbers = range(len(self.shots)) if self.numbers is None else self.numbers
        epochs = epochs or self.settings.epochs
        if state is not None:
            self.log.extend(state["log"])

        def on_step(step: Step) -> None:
            self.log.append(dict(step.losses))
            watch.step(step)

        run(
            self.trainer,
            shuffled_batches(self.shots, numbers, self.settings.batch_size, self.seed),
            epochs,
            epochs * math.ceil(len(numbers) / self.settings.batch_size),
            state=None if state is None else state["loop"],
            save=lambda loop: save({"loop": loop, "log": self.log}),
            on_step=on_step,
            should_stop=watch.should_stop,
            after_epoch=after_epoch,
        )

    def mean(self, name: str) -> float:
        """Mean of what was logged under a name; NaN if it never was."""
        values = np.array([losses[name] for losses in self.log if name in losses])
        known = values[np.isfinite(values)]
        return float(known.mean()) if len(known) else float("nan")


class AtEpochs:
    """Calls a function after some of the epochs.

    Args:
        epochs: After which, counted from 1.
        act: Called with the epoch.
    """

    def __init__(self, epochs: Sequence[int], act: Callable[[int], None]) -> None:
        self._epochs = epochs
        self._act = act

    def __call__(self, trainer: GRMPTrainer, epoch: int) -> bool:
        """See `AfterEpoch`."""
        if epoch + 1 in self._epochs:
            self._act(epoch + 1)
        return False

    def state(self) -> dict[str, Any]:
        """Nothing: a training with this action is not resumed within."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""


def trainer_options(start: Checkpoint, settings: AdaptSettings, seed: int, device: str) -> dict[str, Any]:
    """pyiqa's options for the trainer.

    Args:
        start: The model to adapt.
        settings: Settings of the training.
        seed: Random seed of the training.
        device: `cpu` or `cuda`.
    """
    train: dict[str, Any] = {
        "optim": {"type": "SGD", "lr": settings.learning_rate, "weight_decay": settings.weight_decay},
        "strength": settings.strength,
        "kept_views": settings.kept_views,
        "precision": settings.precision,
    }
    if settings.protocol == "own":
        train["scheduler"] = {"type": "CosineAnnealingLR", "T_max": settings.epochs}
    return {
        "num_gpu": 0 if device == "cpu" else 1,
        "is_train": True,
        "dist": False,
        "manual_seed": seed,
        "network": {"type": "GRMPIQA", "model": start},
        "train": train,
    }


def shuffled_batches(shots: RatedViews, numbers: Sequence[int], size: int, seed: int) -> Batches:
    """Batches of each epoch, newly shuffled.

    Args:
        shots: Images with training views.
        numbers: Numbers of those to learn from.
        size: Images in a batch, at most.
        seed: Random seed of the order.
    """

    def batches(epoch: int) -> list[Callable[[], dict[str, Any]]]:
        order = np.random.default_rng([seed, epoch]).permutation(numbers)
        parts = [order[first : first + size].tolist() for first in range(0, len(order), size)]
        return [lambda part=part: shots.batch(part) for part in parts]  # type: ignore[misc]

    return batches
