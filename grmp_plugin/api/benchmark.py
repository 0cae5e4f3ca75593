"""Compare ways of learning from a few ratings on the same splits: the experiments of few-shot papers."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from grmp_plugin.api.benchmark_rows import COLUMNS, blocks_document, entry_rows
from grmp_plugin.api.keywords import takes_ratings_options
from grmp_plugin.api.ratings import DEMO, about_demo, as_ratings, is_ratings_file
from grmp_plugin.api.result import Result
from grmp_plugin.benchmarking.methods import DEFAULT_METHODS, check_methods, check_packages
from grmp_plugin.benchmarking.plan import Cell, Shots, cells_of, jobs_of, own_cells
from grmp_plugin.benchmarking.rows import FOLDER, BenchmarkRow, RowFolder
from grmp_plugin.benchmarking.table import Block, blocks_of
from grmp_plugin.data.ratings import BadRow, Ratings
from grmp_plugin.data.ratings_file import RatingsOptions
from grmp_plugin.errors import ConfigError, InputError
from grmp_plugin.files import DATA_ROOT
from grmp_plugin.notes import Note
from grmp_plugin.progress import ProgressCallback
from grmp_plugin.run_record import RunRecord, Stopwatch
from grmp_plugin.shard import Shard
from grmp_plugin.tables import Row, check_folder_path, without_nan, write_text
from grmp_plugin.training.presets import read_config, with_arguments
from grmp_plugin.training.settings import AdaptConfig, StepSettings
from grmp_plugin.training.watch import Watch, as_watch

if TYPE_CHECKING:
    import pandas

    from grmp_plugin.api.models import Model
    from grmp_plugin.benchmarking.execute import DataSet, Experiment

_SHOTS = (50,)
_SPLITS = 10
_MOST_SPLITS = 1000
_MOST_ROWS = 100_000  # each is a file that is looked for
TABLE, LATEX, REPORT = "table.csv", "table.tex", "report.html"


@takes_ratings_options
def benchmark(
    data: "str | os.PathLike[str] | pandas.DataFrame | Ratings | Sequence[Any]" = (),
    *,
    out: str | os.PathLike[str],
    shots: Sequence[int | str] = _SHOTS,
    splits: int = _SPLITS,
    methods: Sequence[str] = DEFAULT_METHODS,
    strengths: Sequence[float] | None = None,
    metrics: Sequence[str] = (),
    test_on: "str | os.PathLike[str] | pandas.DataFrame | Ratings | None" = None,
    shard: tuple[int, int] = (0, 1),
    model: "Model | None" = None,
    config: str | os.PathLike[str] | None = None,
    learning_rate: float | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    include_learned: bool = False,
    device: str = "auto",
    data_root: str | os.PathLike[str] = DATA_ROOT,
    progress: bool | ProgressCallback | Watch = False,
    **options: Unpack[RatingsOptions],
) -> "BenchmarkResult":
    """Compare methods of learning from a few ratings, over data sets, numbers of shots and splits.

    Every method learns from the same shots and is judged on the same test images. Each row is written to
    `out` as it is done: the same call continues where one was stopped, and calls with other methods add to
    the folder. Table (`table.csv`), LaTeX (`table.tex`) and page (`report.html`) are written there, too.

    Args:
        data: Data sets: pyiqa's names, ratings files, data frames, or `demo`. None: only show what is there.
        out: Folder of the rows and tables; created if it does not exist.
        shots: Numbers of rated images to learn from, or shares such as `20%` (of the originals, if there are
            any), where all others are the test.
        splits: Number of random splits into shots and test images, with the seeds `seed`, `seed` + 1, ...
        methods: Names of methods; `grmp_plugin.benchmarking.methods.METHODS` describes them.
        strengths: Values of lambda for the methods with regularization; that of the settings by default.
        metrics: pyiqa's no-reference metrics as fixed lines.
        test_on: Another data set to test on, as a whole.
        shard: Number of this shard, from 0, and how many there are, which may run anywhere and share the
            folder.
        model: Model that all methods start from, as for `adapt`; `grmp_iqa-tiny-meta` by default.
        config: YAML file or preset for adaptation, such as `paper/livec`; its data set and number of splits
            are not used.
        learning_rate: Learning rate of the gradient steps.
        epochs: Passes over the shots in gradient steps.
        seed: Random seed of the first split; 0 by default.
        include_learned: Whether to use images that the model learned from before.
        device: `auto`, `cpu` or `cuda`.
        data_root: Folder of pyiqa's data sets, also where they are downloaded to.
        progress: True for a progress bar, or a function that receives each `Progress`.
        **options: How to read ratings files; see `RatingsOptions`.

    Returns:
        Medians, means and standard deviations over splits, with paired tests against the best method.

    Raises:
        InputError: When ratings, methods, metrics or an argument cannot be used.
        ConfigError: When the configuration or a setting cannot be used.
        DataUnavailableError: When a data set would have to be downloaded and cannot be.
        WeightsUnavailableError: When weights would have to be downloaded and cannot be.
        TrainingInterrupted: When the watch asked to stop; the rows so far are kept.
        GRMPError: When a file of the folder cannot be read or written.
    """
    clock, watch = Stopwatch(), as_watch(progress)
    wanted = _listed(data)
    part = Shard(*shard)
    numbers = [Shots.parse(each) for each in dict.fromkeys(shots)]
    names = tuple(methods)
    check_methods(names)
    folder = RowFolder(Path(out))
    if not wanted:
        return _shown(folder, clock)
    if not 1 <= splits <= _MOST_SPLITS:
        bound = "at least 1" if splits < 1 else f"at most {_MOST_SPLITS}"
        raise InputError(f"must be {bound}, not {splits}", argument="splits")
    if not numbers:
        raise InputError("name at least one number of shots, such as 50", argument="shots")
    place = check_folder_path(out, "out")
    check_packages(names)
    given = read_config(AdaptConfig, config)
    at_once = [_rated(one, options) for one in wanted]
    from grmp_plugin.benchmarking.execute import execute

    experiment = _experiment(
        *(wanted, at_once, test_on, model, config, given, tuple(metrics), device, data_root, watch, options),
        seed=seed,
        learning_rate=learning_rate,
        epochs=epochs,
        include_learned=include_learned,
    )
    lambdas = [experiment.settings.strength] if strengths is None else list(strengths)
    if not lambdas:
        raise InputError("name at least one value, such as 5", argument="strengths")
    for value in lambdas:
        _check_strength(value)
    jobs = jobs_of(names, lambdas, experiment.metrics)
    if not jobs:
        raise InputError("nothing to compare: name methods or metrics", argument="methods")
    count = len(wanted) * len(numbers) * splits * len(jobs)
    if count > _MOST_ROWS:
        raise InputError(
            f"{count} rows: at most {_MOST_ROWS} at a time. Use fewer data sets, shots, splits or methods",
            argument="splits",
        )
    cells = cells_of(len(wanted), numbers, splits, jobs)
    done = execute(experiment, own_cells(part, cells), folder, watch)
    identities = list(experiment.identities(cells))
    rows = folder.find(identities)
    result = BenchmarkResult(
        run=RunRecord(
            "benchmark",
            clock.date,
            experiment.device,
            experiment.seed,
            clock.seconds,
            _details(experiment, cells, place, part, done.written),
        ),
        blocks=blocks_of(rows),
        missing=len(identities) - len(rows),
        failed=done.failed,
        notes=done.notes,
        skipped=done.skipped,
    )
    result.write_all(place)
    return result


@dataclass(frozen=True, eq=False, repr=False)
class BenchmarkResult(Result):
    """Methods over splits, with the record of the run.

    Attributes:
        run: What produced the table; each row has a record of its own.
        blocks: A table for each data set and number of shots, the best method first.
        missing: Rows that are not done: those of other shards, and those that failed.
        failed: Rows that could not be computed in this run.
        notes: Why, and which images were left out.
        skipped: Images that cannot be read.
    """

    run: RunRecord
    blocks: tuple[Block, ...]
    missing: int
    failed: int
    notes: tuple[Note, ...]
    skipped: tuple[BadRow, ...]

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns, such as `data`, `shots`, `method`, `lambda` and `srcc_median`."""
        return COLUMNS

    @property
    def rows(self) -> Sequence[Row]:
        """One mapping per setting and method; published numbers have `published`, their source."""
        return entry_rows(self.blocks)

    @property
    def split_rows(self) -> tuple[BenchmarkRow, ...]:
        """The single rows, one for each split and method."""
        return tuple(row for block in self.blocks for entry in block.entries for row in entry.rows)

    def to_dict(self) -> dict[str, Any]:
        """`run`, `missing` and `results`: as `rows`, with the values of each split."""
        document = {
            "run": self.run.to_dict(),
            "missing": self.missing,
            "results": blocks_document(self.blocks),
        }
        return dict(without_nan(document))

    def latex(self) -> str:
        """The tables in LaTeX."""
        from grmp_plugin.benchmarking.latex import latex_table

        return latex_table(self.blocks)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained HTML page: tables, and curves over the number of shots.

        Raises:
            InputError: For another extension, or a folder that is missing or not writable.
            GRMPError: When the file cannot be written.
        """
        from grmp_plugin.report import benchmark_report

        file = self._report_file(path)
        write_text(file, benchmark_report(self.blocks, self.run.to_dict(), self.missing))
        return file

    def write_all(self, folder: str | os.PathLike[str]) -> None:
        """Write table, LaTeX and page into a folder.

        Raises:
            GRMPError: When a file cannot be written.
        """
        if not self.blocks:
            return
        place = Path(folder)
        self.write(place / TABLE)
        write_text(place / LATEX, self.latex())
        self.report(place / REPORT)

    def __repr__(self) -> str:
        return f"<BenchmarkResult of {len(self.split_rows)} rows in {len(self.blocks)} settings>"


def _listed(data: Any) -> list[Any]:
    return list(data) if isinstance(data, list | tuple) else [data]


def _shown(folder: RowFolder, clock: Stopwatch) -> BenchmarkResult:
    """What a folder has, without computing anything."""
    rows = folder.all()
    if not rows:
        raise InputError(
            f"{folder.path.parent} has no rows of a benchmark ({FOLDER}/*.json); name data sets to make some",
            argument="out",
        )
    details = {"out": str(folder.path.parent), "rows": len(rows), "computed": 0}
    result = BenchmarkResult(
        RunRecord("benchmark", clock.date, "none", None, clock.seconds, details),
        blocks_of(rows),
        0,
        0,
        (),
        (),
    )
    # A folder that cannot be written to can be looked at all the same.
    with contextlib.suppress(InputError):
        check_folder_path(folder.path.parent, "out")
        result.write_all(folder.path.parent)
    return result


def _check_strength(value: float) -> None:
    try:
        StepSettings(strength=value)
    except ConfigError as error:
        raise ConfigError(error.message, argument="strengths") from error


def _rated(source: Any, options: RatingsOptions) -> Ratings | None:
    """Ratings of a file or data frame, whose mistakes are reported before slow imports; None for a name."""
    at_once = not isinstance(source, str) or is_ratings_file(source)
    return as_ratings(source, **({} if isinstance(source, Ratings) else options)) if at_once else None


def _experiment(
    wanted: Sequence[Any],
    at_once: Sequence[Ratings | None],
    test_on: Any,
    model: "Model | None",
    config: str | os.PathLike[str] | None,
    given: AdaptConfig,
    metrics: tuple[str, ...],
    device: str,
    data_root: str | os.PathLike[str],
    watch: Watch,
    options: RatingsOptions,
    *,
    seed: int | None,
    learning_rate: float | None,
    epochs: int | None,
    include_learned: bool,
) -> "Experiment":
    from grmp_plugin.api.start import configured_start
    from grmp_plugin.benchmarking.execute import Experiment
    from grmp_plugin.benchmarking.fixed import fixed_metrics
    from grmp_plugin.training.device import training_device
    from grmp_plugin.versions import package_versions

    specs = {spec.name: spec for spec in fixed_metrics(metrics)}
    first = with_arguments(given, seed=seed).seed
    chosen = model if model is not None or config is not None else "grmp_iqa-tiny-meta"
    start = configured_start(chosen, given, config, first, given.backbone_weights)
    backbone = start.checkpoint.config.backbone
    merged = read_config(AdaptConfig, config, backbone=backbone.name)
    settings = with_arguments(merged.training, learning_rate=learning_rate, epochs=epochs)
    used = training_device(device)

    # Beside ratings files, their options do not concern data sets by name; alone these refuse them.
    of_names = options if not any(at_once) else {}

    def data_set(source: Any, rated: Ratings | None) -> "DataSet":
        if isinstance(source, str) and source == DEMO:
            watch.note(about_demo())
        if rated is None:
            rated = as_ratings(source, data_root=data_root, report=watch.progress, **of_names)
        return _data_set(rated)

    return Experiment(
        data=tuple(data_set(source, rated) for source, rated in zip(wanted, at_once, strict=True)),
        test_on=None if test_on is None else data_set(test_on, _rated(test_on, options)),
        start=start.checkpoint,
        model_sha256=start.sha256 or f"{backbone.name} {backbone.weights}",
        settings=settings,
        seed=first,
        metrics=specs,
        device=used,
        skip_bad=bool(options.get("skip_bad")),
        include_learned=include_learned,
        record={"device": used, "versions": package_versions()},
    )


def _data_set(rated: Ratings) -> "DataSet":
    from grmp_plugin.benchmarking.execute import DataSet

    # The same ratings on another machine are in another folder.
    names = None if rated.references is None else _relative(rated.references)
    here = dataclasses.replace(rated, images=_relative(rated.images), references=names)
    return DataSet(
        Path(rated.source).stem if is_ratings_file(rated.source) else rated.source, rated, here.digest()
    )


def _relative(paths: tuple[str, ...]) -> tuple[str, ...]:
    from grmp_plugin.report.text import common_folder

    folder = common_folder(paths)
    return tuple(path.removeprefix(folder) for path in paths)


def _details(
    experiment: "Experiment", cells: Sequence[Cell], out: Path, part: Shard, written: int
) -> dict[str, Any]:
    return {
        "model": experiment.start.source,
        "weights_sha256": experiment.model_sha256,
        "data": [one.name for one in experiment.data],
        "test_on": None if experiment.test_on is None else experiment.test_on.name,
        "shots": list(dict.fromkeys(cell.shots.label for cell in cells)),
        "splits": 1 + max(cell.split for cell in cells),
        "settings": dataclasses.asdict(experiment.settings),
        "include_learned": experiment.include_learned,
        "shard": f"{part.number}/{part.count}",
        "out": str(out),
        "rows": sum(len(cell.jobs) for cell in cells),
        "computed": written,
    }
