"""How the authors' released code ends few-shot training: by evaluating on the test images. Optimistic.

It evaluates every five epochs, reports the numbers of the best epoch, and multiplies the learning rate by
0.3 after six evaluations without improvement. Reproduced for comparison with published numbers; a fair
estimate must not select on the test images.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from grmp_plugin.training.trainer import GRMPTrainer, check_shape

_EVERY = 5  # epochs
_PATIENCE = 5  # evaluations without improvement that are tolerated
_FIRST_DECAY = 10  # epoch after which the learning rate may fall
_DECAY = 0.3
_SMALLEST_RATE = 5e-7


class BestOnTest:
    """Evaluates on the test images, keeps the best weights, lowers the learning rate, ends training.

    Args:
        trainer: Trainer before its first step, which is the first candidate.
        evaluate: Returns what is maximized on the test images: PLCC + SRCC in the released code.
    """

    def __init__(self, trainer: GRMPTrainer, evaluate: Callable[[], float]) -> None:
        self._criterion = evaluate
        self._latest = self._best = self._evaluate()
        self._weights = _copy(trainer)
        self._since_best = 0
        self.best_epoch = 0

    def __call__(self, trainer: GRMPTrainer, epoch: int) -> bool:
        """Return True to end training; see `AfterEpoch`."""
        if epoch % _EVERY == _EVERY - 1:
            self._since_best += 1
            self._latest = self._evaluate()
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
        """Load the best weights into the trainer."""
        trainer.set_learned(self._weights)

    def _evaluate(self) -> float:
        found = self._criterion()
        # Constant predictions have correlation NaN, which would compare as neither better nor worse.
        return -math.inf if math.isnan(found) else found

    def state(self) -> dict[str, Any]:
        """The state for `load_state`."""
        return {
            "latest": self._latest,
            "best": self._best,
            "weights": self._weights,
            "since_best": self._since_best,
            "best_epoch": self.best_epoch,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        weights = {name: state["weights"][name] for name in self._weights}
        for name, value in weights.items():
            check_shape(name, value, self._weights[name])
        self._latest, self._best, self._weights = float(state["latest"]), float(state["best"]), weights
        self._since_best, self.best_epoch = int(state["since_best"]), int(state["best_epoch"])


def _copy(trainer: GRMPTrainer) -> dict[str, Tensor]:
    return {name: p.detach().cpu().clone() for name, p in trainer.learned.items()}
