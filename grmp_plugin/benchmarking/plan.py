"""What a benchmark runs: a job for each row, in cells that share a split, divided among processes."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grmp_plugin.benchmarking.methods import METHODS
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.splits import LEAST_SHOTS, Split, draw_split
from grmp_plugin.errors import InputError
from grmp_plugin.plain_data import shown
from grmp_plugin.shard import Shard
from grmp_plugin.training.settings import AdaptSettings

FORMAT = 1
"""Number of the form of rows; rows of another form are computed again."""

_REALS = ("strength", "test_share", "learning_rate", "weight_decay")
# Settings that decide the split, and those that only gradient steps depend on.
_OF_THE_SPLIT = ("sampling", "test_share", "split_by")
_OF_STEPS = ("views", "protocol", "epochs", "batch_size", "learning_rate", "weight_decay")


@dataclass(frozen=True)
class Shots:
    """How many images a method learns from: a number, or a share of the images (of the originals, if any).

    Attributes:
        label: `50` or `20%`.
        count: The number; None for a share.
        share: The share, in (0, 1); None for a number.
    """

    label: str
    count: int | None
    share: float | None

    @classmethod
    def parse(cls, text: str | int) -> "Shots":
        """Read `50` or `20%`; InputError for anything else."""
        word = str(text).strip()
        if re.fullmatch(r"[0-9]{1,7}", word) and LEAST_SHOTS <= int(word) <= 1_000_000:
            return cls(str(int(word)), int(word), None)
        if re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,10})?%", word) and float(word[:-1]) > 0:
            return cls(f"{float(word[:-1]):g}%", None, float(word[:-1]) / 100)
        raise InputError(
            f"expected a number from {LEAST_SHOTS} on, such as 50, or a share such as 20%, not {shown(word)}",
            argument="shots",
        )

    def draw(self, ratings: Ratings, settings: AdaptSettings, seed: int, *, all_shots: bool = False) -> Split:
        """The shots and the test images of a seed.

        A share of the images is learned from, and all others are the test. Where there are originals, the
        share is of these.

        Args:
            ratings: N rated images.
            settings: How to draw.
            seed: Random seed.
            all_shots: Whether all images may be shots, as where the test is on other images.

        Raises:
            InputError: When there are too few images.
        """
        if self.count is not None:
            return draw_split(
                ratings,
                self.count,
                seed,
                sampling=settings.sampling,
                test_share=settings.test_share,
                split_by=settings.split_by,
                all_shots=all_shots,
            )
        assert self.share is not None
        # The test set does not depend on the number of shots; whatever is not in it is learned from.
        try:
            split = draw_split(
                ratings, LEAST_SHOTS, seed, test_share=1 - self.share, split_by=settings.split_by
            )
        except InputError as error:
            raise InputError(
                f"{ratings.source}: {self.label} of {len(ratings.images)} images: too few to learn from, or "
                f"to test on ({error.message}); use another share",
                argument="shots",
            ) from error
        shots = np.setdiff1d(np.arange(len(ratings.images)), split.test)
        return Split(shots, split.test)


@dataclass(frozen=True)
class Job:
    """One row to compute.

    Attributes:
        method: A name in `METHODS`, or of a fixed metric.
        strength: Lambda; None where there is none.
        fixed: Whether the method is a metric that learns nothing.
    """

    method: str
    strength: float | None = None
    fixed: bool = False


@dataclass(frozen=True)
class Cell:
    """The jobs of one split into shots and test images.

    Attributes:
        data: Number of the data set.
        shots: How many images are learned from.
        split: Number of the split, from 0.
        jobs: What is computed on it.
    """

    data: int
    shots: Shots
    split: int
    jobs: tuple[Job, ...]


def jobs_of(methods: Iterable[str], strengths: Sequence[float], metrics: Iterable[str]) -> tuple[Job, ...]:
    """The jobs of each split, each once: GRMP-IQA with lambda 0 is `no-qgr`."""
    jobs = []
    for name in methods:
        if METHODS[name].regularized:
            jobs += [_regularized(name, strength) for strength in strengths]
        else:
            jobs.append(Job(name, 0.0 if name == "no-qgr" else None))
    jobs += [Job(name, fixed=True) for name in metrics]
    return tuple(dict.fromkeys(jobs))


def _regularized(name: str, strength: float) -> Job:
    return Job("no-qgr" if name == "grmp" and strength == 0 else name, float(strength))


def cells_of(data_sets: int, shots: Sequence[Shots], splits: int, jobs: tuple[Job, ...]) -> list[Cell]:
    """All cells in order."""
    return [
        Cell(data, each, split, jobs)
        for data in range(data_sets)
        for each in shots
        for split in range(splits)
    ]


def own_cells(shard: Shard, cells: Sequence[Cell]) -> Sequence[Cell]:
    """Every n-th cell: neighbours differ by their split only, so all shards take about as long."""
    return cells[shard.number :: shard.count]


def identity_of(
    job: Job,
    *,
    data: str,
    tested: str | None,
    shots: Shots,
    seed: int,
    model: str,
    learned: bool,
    settings: AdaptSettings,
) -> dict[str, Any]:
    """Everything that decides a row's numbers, as plain data.

    Args:
        job: The row.
        data: Digest of the ratings that are learned from.
        tested: Digest of the ratings that are tested on; None: the rest of the same.
        shots: How many images are learned from.
        seed: Seed of split and training.
        model: Digest of the start, which decides for fixed metrics, too, which images are left out.
        learned: Whether images that the start learned from are used.
        settings: Settings of the training.
    """
    names: tuple[str, ...] = _OF_THE_SPLIT
    if not job.fixed and METHODS[job.method].by_gradients:
        names += _OF_STEPS
    if job.method == "auto":
        names += ("strength",)
    return {
        "format": FORMAT,
        "data_sha256": data,
        "tested_sha256": tested,
        "shots": shots.label,
        "seed": seed,
        "model_sha256": model,
        "include_learned": learned,
        "method": job.method,
        "lambda": job.strength,
        "fixed": job.fixed,
        "settings": {name: _plain(getattr(settings, name), name) for name in names},
    }


def _plain(value: Any, name: str) -> Any:
    # 1 and 1.0 are the same setting, and must be the same text.
    return float(value) if name in _REALS and value is not None else value


def digest_of(identity: Mapping[str, Any]) -> str:
    """A short name for an identity, the same on every machine."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]
