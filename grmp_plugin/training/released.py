"""The released code's way to end few-shot training: by looking at the test images. Optimistic.

Every five epochs it measures on the test images; the best epoch's numbers are what it reports, and the
learning rate falls to 0.3 of itself when none of six measurements was better. Reproduced so that numbers
can be compared; a fair number must not be chosen so.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from grmp_plugin.training.trainer import GRMPTrainer

_EVERY = 5  # epochs
_PATIENCE = 5  # measurements without a better one that are tolerated
_FIRST_DECAY = 10  # epoch after which the learning rate may fall
_DECAY = 0.3
_SMALLEST_RATE = 5e-7


class BestOnTest:
    """Measures on the test images, remembers the best weights, lowers the learning rate, ends training.

    Args:
        trainer: in training; what it is now counts as the first measurement.
        judge: gives the number that counts on the test images, PLCC + SRCC in the released code.
    """

    def __init__(self, trainer: GRMPTrainer, judge: Callable[[], float]) -> None:
        # Constant predictions have no correlation: NaN, which would compare as neither better nor worse.
        self._judge = lambda: -math.inf if math.isnan(found := judge()) else found
        self._latest = self._best = self._judge()
        self._weights = _copy(trainer)
        self._since_best = 0
        self.best_epoch = 0

    def __call__(self, trainer: GRMPTrainer, epoch: int) -> bool:
        """As `AfterEpoch`: whether training is to end."""
        if epoch % _EVERY == _EVERY - 1:
            self._since_best += 1
            self._latest = self._judge()
        if self._latest > self._best:
            self._best, self._weights = self._latest, _copy(trainer)
            self._since_best, self.best_epoch = 0, epoch + 1
        if self._since_best > _PATIENCE and epoch > _FIRST_DECAY:
            self._since_best = 0
            for group in trainer.optimizer.param_groups:
                group["lr"] *= _DECAY
            return bool(trainer.optimizer.param_groups[0]["lr"] < _SMALLEST_RATE)
        return False

    def restore(self, trainer: GRMPTrainer) -> None:
        """Give the trainer the best weights."""
        trainer.set_learned(self._weights)

    def state(self) -> dict[str, Any]:
        """For `load_state`."""
        return {
            "latest": self._latest,
            "best": self._best,
            "weights": self._weights,
            "since_best": self._since_best,
            "best_epoch": self.best_epoch,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._latest, self._best, self._weights = state["latest"], state["best"], state["weights"]
        self._since_best, self.best_epoch = state["since_best"], state["best_epoch"]


def _copy(trainer: GRMPTrainer) -> dict[str, Tensor]:
    return {name: p.detach().cpu().clone() for name, p in trainer.learned.items()}
