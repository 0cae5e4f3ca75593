"""The outcome of adapting to one split into shots and test images."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from grmp_plugin.config import from_dict
from grmp_plugin.data.ratings import MosScale
from grmp_plugin.data.splits import Split
from grmp_plugin.training.choice import Tried
from grmp_plugin.training.interval import PredictionInterval

_NUMBERS = ("seed", "angle", "projected", "skipped", "not_finite", "moved")


@dataclass(frozen=True, eq=False)
class Adapted:
    """The outcome of one split.

    Attributes:
        seed: Seed of the split and of training.
        scale: Scale of the ratings.
        split: The rated images that were shots (S) and test images (T).
        before: (T,) scores of the test images by the start, in [0, 1].
        after: (T,) scores of the test images by the adapted network.
        shots_before: (S,) scores of the shots by the start.
        shots_after: (S,) scores of the shots by the adapted network.
        angle: Mean angle between the two gradients over the steps, degrees; NaN without regularization, and
            without gradient steps, as for `projected`.
        projected: Mean share of the tensors whose gradient was projected.
        skipped: Number of steps skipped because a quality gradient was not finite.
        not_finite: Number of semantic gradients, over all steps, that were not finite and had no effect.
        moved: Distance of the learned parameters from the start, relative to their norm there.
        best_epoch: Epoch whose weights were kept, if the protocol chooses one; else None.
        method: How the network was adapted: `start` (it was kept as it was), `ridge`, `prompts` or
            `prompts+ridge`.
        tried: What cross-validation inside the shots compared; empty if nothing was to be chosen.
        interval: How far predicted MOS is off, from shots that were left out; None where none were.
    """

    seed: int
    scale: MosScale
    split: Split
    before: np.ndarray
    after: np.ndarray
    shots_before: np.ndarray
    shots_after: np.ndarray
    angle: float
    projected: float
    skipped: int
    not_finite: int
    moved: float
    best_epoch: int | None
    method: str
    tried: tuple[Tried, ...]
    interval: PredictionInterval | None

    def as_plain(self) -> dict[str, Any]:
        """Plain lists and numbers, for `from_plain`."""
        plain = dataclasses.asdict(self)
        split = {"shots": self.split.shots.tolist(), "test": self.split.test.tolist()}
        return {name: _listed(value) for name, value in plain.items()} | {"split": split}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Adapted":
        """The inverse of `as_plain`."""
        arrays = ("before", "after", "shots_before", "shots_after")
        values: dict[str, Any] = {n: np.array(v) if n in arrays else v for n, v in plain.items()}
        values["split"] = Split(**{side: np.array(index, int) for side, index in plain["split"].items()})
        values["scale"] = from_dict(MosScale, plain["scale"], "scale")
        # Not strictly: what could not be compared is NaN there.
        values["tried"] = tuple(Tried(**each) for each in plain["tried"])
        interval = plain["interval"]
        values["interval"] = None if interval is None else from_dict(PredictionInterval, interval, "interval")
        numbers = [plain[name] for name in _NUMBERS]
        if not all(isinstance(number, int | float) for number in numbers) or type(plain["method"]) is not str:
            raise ValueError("a text in place of a number, or the other way round")
        adapted = cls(**values)
        scored = ((adapted.before, adapted.after), (adapted.shots_before, adapted.shots_after))
        for side, scores in zip((adapted.split.test, adapted.split.shots), scored, strict=True):
            if not all(values.shape == side.shape and values.dtype == np.float64 for values in scores):
                raise ValueError("no score for each image")
        return adapted


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else list(value) if type(value) is tuple else value
