"""Compute the rows of a benchmark that are missing in its folder."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grmp_plugin.benchmarking.fixed import FixedScores
from grmp_plugin.benchmarking.plan import Cell, Job, identity_of
from grmp_plugin.benchmarking.rated_set import RatedSet, read_set, without_images_of
from grmp_plugin.benchmarking.rows import BenchmarkRow, RowFolder
from grmp_plugin.benchmarking.run import MethodsRun, Predicted
from grmp_plugin.data.ratings import BadRow, Ratings
from grmp_plugin.data.splits import Split
from grmp_plugin.errors import MetricError, TrainingError
from grmp_plugin.evaluation.metric_names import MetricSpec
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.notes import Note
from grmp_plugin.progress import Progress
from grmp_plugin.statistics.correlation import krcc, plcc, srcc
from grmp_plugin.training.loop import Step
from grmp_plugin.training.settings import AdaptSettings
from grmp_plugin.training.watch import Watch


@dataclass(frozen=True)
class DataSet:
    """Ratings with their name in tables, and their digest."""

    name: str
    ratings: Ratings
    sha256: str


@dataclass(frozen=True)
class Experiment:
    """What is to be compared, and on what.

    Attributes:
        data: Data sets to learn from.
        test_on: Another one to test on; None: the rest of the same.
        start: The model that all methods start from.
        model_sha256: Its digest.
        settings: Settings of the training.
        seed: Seed of the first split; each further split adds 1.
        metrics: Fixed metrics by name.
        device: `cpu` or `cuda`.
        skip_bad: Whether to leave out images that cannot be read.
        include_learned: Whether to use images that the start learned from.
        record: What each row records beside its numbers, such as package versions.
    """

    data: tuple[DataSet, ...]
    test_on: DataSet | None
    start: Checkpoint
    model_sha256: str
    settings: AdaptSettings
    seed: int
    metrics: Mapping[str, MetricSpec]
    device: str
    skip_bad: bool
    include_learned: bool
    record: Mapping[str, Any]

    def identity(self, cell: Cell, job: Job) -> dict[str, Any]:
        """What decides a row; see `identity_of`."""
        return identity_of(
            job,
            data=self.data[cell.data].sha256,
            tested=None if self.test_on is None else self.test_on.sha256,
            shots=cell.shots,
            seed=self.seed + cell.split,
            model=self.model_sha256,
            learned=self.include_learned,
            settings=self.settings,
        )

    def identities(self, cells: Iterable[Cell]) -> Iterator[dict[str, Any]]:
        """Those of all rows, in order."""
        for cell in cells:
            for job in cell.jobs:
                yield self.identity(cell, job)


@dataclass(frozen=True)
class Done:
    """What was computed.

    Attributes:
        written: Number of rows that were computed.
        notes: Rows that could not be computed, and why; images that were left out.
        failed: Number of these rows.
        skipped: Images that cannot be read.
    """

    written: int
    notes: tuple[Note, ...]
    failed: int
    skipped: tuple[BadRow, ...]


def execute(experiment: Experiment, cells: Sequence[Cell], folder: RowFolder, watch: Watch) -> Done:
    """Compute the rows that the folder lacks, each written as it is done.

    Args:
        experiment: What is compared.
        cells: This process's share of the cells.
        folder: Where rows are; other processes may write there, too.
        watch: Receives the progress; a row that it stops is lost, all others are kept.

    Raises:
        InputError: When images cannot be read, or are too few for a split.
        TrainingInterrupted: When the watch asked to stop.
        GRMPError: When a row cannot be written.
    """
    return _Execution(experiment, cells, folder, watch).run()


class _Execution:
    def __init__(
        self, experiment: Experiment, cells: Sequence[Cell], folder: RowFolder, watch: Watch
    ) -> None:
        self._experiment, self._folder = experiment, folder
        self._missing = [
            (cell, jobs)
            for cell in cells
            if (jobs := [job for job in cell.jobs if not folder.has(experiment.identity(cell, job))])
        ]
        self._watch = _RowWatch(watch, sum(len(jobs) for _, jobs in self._missing))
        self._fixed = FixedScores(experiment.device, self._watch.progress)
        self._notes: dict[str, Note] = {}
        self._skipped: dict[str, BadRow] = {}
        self._written = self._failed = 0

    def run(self) -> Done:
        network: GRMPIQA | None = None
        current, learned, tested = -1, None, None
        other: RatedSet | None = None
        for cell, jobs in self._missing:
            if network is None:
                network = GRMPIQA(self._experiment.start).to(self._experiment.device)
            if self._experiment.test_on is not None and other is None:
                other = self._read(self._experiment.test_on)
            if cell.data != current or learned is None or tested is None:
                learned = self._read(self._experiment.data[cell.data])
                tested = learned if other is None else without_images_of(other, learned)
                current = cell.data
                self._check_splits(cell.data, learned)
            self._cell(cell, jobs, network, learned, tested)
        return Done(self._written, tuple(self._notes.values()), self._failed, tuple(self._skipped.values()))

    def _read(self, data: DataSet) -> RatedSet:
        experiment = self._experiment
        found = read_set(
            experiment.start,
            data.ratings,
            experiment.settings,
            experiment.device,
            self._watch,
            skip_bad=experiment.skip_bad,
            include_learned=experiment.include_learned,
        )
        self._skipped.update({row.image: row for row in found.unreadable})
        if found.learned:
            used = "used anyway" if experiment.include_learned else "left out"
            self._note(
                f"{data.name}: {found.learned} images that {experiment.start.source} learned from: {used}"
            )
        return found

    def _check_splits(self, data: int, learned: RatedSet) -> None:
        """Find out about too few ratings before any work is done on a data set."""
        for cell, _ in self._missing:
            if cell.data == data:
                self._split(cell, learned)

    def _split(self, cell: Cell, learned: RatedSet) -> Split:
        experiment = self._experiment
        seed, elsewhere = experiment.seed + cell.split, experiment.test_on is not None
        split = cell.shots.draw(learned.ratings, experiment.settings, seed, all_shots=elsewhere)
        # Another data set to test on has none of these images; see `without_images_of`.
        if elsewhere or experiment.settings.protocol == "released":
            return split
        return split.without_copies(learned.images.digests)

    def _cell(
        self, cell: Cell, jobs: Sequence[Job], network: GRMPIQA, learned: RatedSet, tested: RatedSet
    ) -> None:
        experiment = self._experiment
        split = self._split(cell, learned)
        if tested is not learned:
            split = Split(split.shots, np.arange(len(tested.ratings.images)))
        seed = experiment.seed + cell.split
        run = MethodsRun(
            *(experiment.start, network, learned, tested, split, experiment.settings, seed),
            experiment.device,
            self._watch,
        )
        name = experiment.data[cell.data].name
        for job in jobs:
            identity = experiment.identity(cell, job)
            words = job.method + ("" if job.strength is None else f", lambda {job.strength:g}")
            where = f"{name}, {cell.shots.label} shots, split {cell.split + 1}: {words}"
            # Another process may have been asked for the same.
            if not self._folder.has(identity):
                self._row(job, run, where, identity, cell, split, tested)
            self._watch.row_done(where)

    def _row(
        self,
        job: Job,
        run: MethodsRun,
        where: str,
        identity: dict[str, Any],
        cell: Cell,
        split: Split,
        tested: RatedSet,
    ) -> None:
        experiment = self._experiment
        self._watch.row(where)
        started = time.monotonic()
        try:
            predicted = self._predict(run, job, tested, split)
        except (MetricError, TrainingError) as error:
            self._failed += 1
            # A metric that cannot be created fails in every row alike.
            self._note(error.message if isinstance(error, MetricError) else f"{where}: {error.message}")
            return
        scored = np.isfinite(predicted.scores)
        scores, rated = predicted.scores[scored], tested.upwards(split.test)[scored]
        self._folder.write(
            BenchmarkRow(
                identity=identity,
                data=experiment.data[cell.data].name,
                tested=None if experiment.test_on is None else experiment.test_on.name,
                model=experiment.start.source,
                learned=len(split.shots),
                images=len(scores),
                srcc=srcc(scores, rated),
                plcc=plcc(scores, rated),
                krcc=krcc(scores, rated),
                seconds=round(time.monotonic() - started, 3),
                chosen=predicted.chosen,
                record={**experiment.record, "date": time.strftime("%Y-%m-%dT%H:%M:%S%z")},
            )
        )
        self._written += 1

    def _predict(self, run: MethodsRun, job: Job, tested: RatedSet, split: Split) -> Predicted:
        if not job.fixed:
            return run.predict(job)
        spec = self._experiment.metrics[job.method]
        return Predicted(self._fixed.scores(spec, tested.ratings.images)[split.test])

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes[text] = Note(text)
            self._watch.note(self._notes[text])


class _RowWatch(Watch):
    """Counts rows; what happens inside one is a detail of its progress.

    Args:
        outer: Receives it.
        total: Number of rows.
    """

    def __init__(self, outer: Watch, total: int) -> None:
        self._outer, self._total, self._done, self._where = outer, total, 0, ""

    def row(self, where: str) -> None:
        """A row begins."""
        self._where = where
        self._report("")

    def row_done(self, where: str) -> None:
        """A row is done."""
        self._done += 1
        self._where = where
        self._report("done")

    def note(self, note: Note) -> None:
        self._outer.note(note)

    def progress(self, progress: Progress) -> None:
        if not self._where:  # nothing but reading is before the first row
            self._outer.progress(progress)
        else:
            self._report(f"{progress.stage} {progress.done}/{progress.total}")

    def step(self, step: Step) -> None:
        self._report(f"step {step.step}/{step.steps}")

    def should_stop(self) -> bool:
        return self._outer.should_stop()

    def _report(self, detail: str) -> None:
        words = self._where if not detail else f"{self._where}, {detail}"
        self._outer.progress(Progress("computing rows", self._done, self._total, words))
