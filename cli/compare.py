"""`grmp compare`: metrics side by side, on images alone or against people's ratings."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grmp_plugin.errors import GRMPError, InputError

from .compare_failures import say_what_failed
from .compare_rows import comparison_document, metric_columns, metric_rows, score_columns, score_rows
from .maps import without_maps
from .options import DATA_ROOT, DataRootOption, Device, DeviceOption, ReportOption, RowsFormatOption
from .output import (
    Format,
    check_folder,
    check_out,
    check_report,
    csv_text,
    json_text,
    jsonl_text,
    messages,
    note,
    print_data,
    without_nan,
    write_rows,
    write_text,
)
from .ratings import (
    DirectionOption,
    ImageColumnOption,
    ImagesOption,
    MosColumnOption,
    RangeOption,
    RawOption,
    SkipBadOption,
    find_ratings,
    list_skipped,
    ratings_option,
)

if TYPE_CHECKING:
    from grmp_plugin.data.ratings import Ratings
    from grmp_plugin.evaluation.comparison import Comparison
    from grmp_plugin.evaluation.judging import People
    from grmp_plugin.evaluation.metric_names import MetricSpec

HELP = (
    "Put metrics side by side: pyiqa's, this package's models, and your checkpoints.\n\n"
    "PATHS are images, folders or patterns: how metrics agree with each other, and on which images they "
    "do not. Or one ratings file (CSV with the columns image and mos), or a data set that pyiqa knows, or "
    "demo: which metric agrees with people, by how much, and whether the difference is real.\n\n"
    "A metric that fails costs only itself; all others are judged on the same images. Scores are kept: "
    "the second run is quick. Exit codes: 0 done, 3 done without some metrics or images, 2 wrong usage, "
    "1 failed.\n\n"
    "Examples: grmp compare photos/ --metrics grmp_iqa-tiny,piqe,entropy · grmp compare ratings.csv "
    "--metrics grmp_iqa-tiny,mine.safetensors,piqe,ssim --ref originals/ --report report.html"
)

_SOME_FAILED = 3
_RATINGS_SUFFIXES = (".csv", ".tsv", ".txt")
_SEED = 0


def compare(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS...",
            help="Images, folders, patterns or -; or one ratings file or data set.",
            show_default=False,
        ),
    ],
    metrics: Annotated[
        str,
        typer.Option(
            help="Separated by commas: names ([bold]pyiqa -ls[/], [bold]grmp models[/]), checkpoint files, "
            "wildcards such as '*ssim*', or offline, nr, fr.",
        ),
    ] = "offline",
    ref: Annotated[
        Path | None,
        typer.Option(
            help="Originals for full-reference metrics: a folder, matched by name, or one file for all.",
            show_default=False,
        ),
    ] = None,
    output_format: RowsFormatOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The table as .csv, .json, .jsonl or .parquet.", show_default=False),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="The score of every image by every metric, as such a file.", show_default=False),
    ] = None,
    report: ReportOption = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            help="Folder for quality maps, by the first of this package's models that is compared.",
            show_default=False,
        ),
    ] = None,
    images: ImagesOption = None,
    image_column: ImageColumnOption = None,
    mos_column: MosColumnOption = None,
    reference_column: Annotated[
        str | None, ratings_option(help="Column of the original's name.", show_default=False)
    ] = None,
    std_column: Annotated[
        str | None,
        ratings_option(help="Column of the ratings' standard deviation.", show_default=False),
    ] = None,
    raters_column: Annotated[
        str | None, ratings_option(help="Column of how many people rated.", show_default=False)
    ] = None,
    raters: Annotated[
        int | None,
        ratings_option(min=2, help="How many people rated each image.", show_default=False),
    ] = None,
    lower_better: DirectionOption = None,
    mos_range: RangeOption = None,
    raw: RawOption = False,
    skip_bad: SkipBadOption = False,
    data_root: DataRootOption = DATA_ROOT,
    device: DeviceOption = Device.auto,
) -> None:
    """Compare metrics (see `HELP`)."""
    _check_places(paths, out, scores, report, maps)
    options = {
        "images_folder": images,
        "image_column": image_column,
        "mos_column": mos_column,
        "reference_column": reference_column,
        "deviation_column": std_column,
        "raters_column": raters_column,
        "lower_better": lower_better,
        "mos_range": mos_range,
        "raw": raw,
        "skip_bad": skip_bad,
    }
    rated = _find_ratings(paths, data_root, options)
    about_ratings = {name: value for name, value in options.items() if name != "skip_bad"}
    if rated is None and (any(about_ratings.values()) or raters):
        raise InputError("options about ratings go with a ratings file; these are images")
    from grmp_plugin.data.paths import expand_paths

    files = list(rated.images) if rated is not None else without_maps(expand_paths(paths), maps)
    originals = None
    if ref is not None:
        from grmp_plugin.data.reference_files import find_references

        names = None if rated is None else rated.reference_names
        originals = find_references(files, ref, names, skip_missing=skip_bad)
    people = None if rated is None else _people(rated, raters)
    found = _find_metrics(metrics, originals is not None, maps)
    run: dict[str, Any] = {
        "images_from": " ".join(paths),
        "references_from": None if ref is None else str(ref),
    }
    if rated is not None:
        run |= {"ratings": _describe_ratings(rated, about_ratings, raters)}
    comparison = _run(files, originals, found, people, device, run)
    drawn = {} if maps is None else _draw_maps(comparison, maps, device)
    _write(comparison, out, scores)
    if report is not None:
        from grmp_plugin.report import comparison_report

        write_text(report, comparison_report(comparison, maps=drawn), "--report")
    shown = output_format or (None if out is not None else Format.table)
    if shown is not None:
        _show(shown, comparison)
    say_what_failed(comparison)
    for path in (out, scores, report, maps):
        if path is not None:
            note(f"written to {path}")
    if rated is not None and rated.skipped:
        list_skipped(rated.skipped)
    if all(metric.error is not None for metric in comparison.metrics):
        raise GRMPError("no metric worked; the reasons are above")
    if not comparison.judged.any():
        raise GRMPError("there is no image to judge metrics on; the reasons are above")
    skipped = rated is not None and any(not row.repeated for row in rated.skipped)
    if skipped or any(m.error for m in comparison.metrics) or not comparison.judged.all():
        raise typer.Exit(_SOME_FAILED)


def _check_places(
    inputs: list[str], out: Path | None, scores: Path | None, report: Path | None, maps: Path | None
) -> None:
    taken = {Path(path).resolve(): "the input" for path in inputs if path != "-"}
    for path, option in ((out, "--out"), (scores, "--scores"), (report, "--report")):
        if path is not None and path.resolve() in taken:
            raise InputError(f"{option} {path}: that is {taken[path.resolve()]} as well; name another file")
        if path is not None:
            taken[path.resolve()] = option
    for path, option in ((out, "--out"), (scores, "--scores")):
        if path is not None:
            check_out(path, option)
    if report is not None:
        check_report(report)
    if maps is not None:
        check_folder(maps)


def _find_ratings(paths: list[str], data_root: Path, options: dict[str, Any]) -> "Ratings | None":
    """The ratings that the arguments mean; None where they mean images."""
    word = paths[0]
    is_file = Path(word).suffix.lower() in _RATINGS_SUFFIXES
    if not is_file and (word == "-" or Path(word).exists() or any(mark in word for mark in "*?[")):
        return None
    if not is_file and (Path(word).suffix or os.sep in word):
        return None  # a missing image, which its row will say
    if len(paths) > 1:
        raise InputError(f"{word}: one ratings file or data set at a time, and no images beside it")
    with _bar() as bar:
        return find_ratings(word, data_root, lambda done, total: bar("drawing", done, total), **options)


def _describe_ratings(rated: "Ratings", options: dict[str, Any], raters: int | None) -> dict[str, Any]:
    """All that decides the ratings, for the run's record."""
    told_otherwise = ("images_folder", "lower_better")
    options = {name: value for name, value in options.items() if name not in told_otherwise}
    groups = None if rated.references is None else len(set(rated.references))
    return {
        "source": rated.source,
        "sha256": rated.digest(),
        "images": len(rated.images),
        "left_out": sum(not row.repeated for row in rated.skipped),
        "lower_better": rated.lower_better,
        "resampled": "images" if groups is None else f"{groups} references, by {rated.references_source}",
        "raters": raters,
        **options,
    }


def _people(rated: "Ratings", raters: int | None) -> "People":
    import numpy as np

    from grmp_plugin.evaluation.judging import People

    errors = None
    counts = np.full(len(rated.images), float(raters)) if raters is not None else rated.raters
    if rated.deviations is not None and counts is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = rated.deviations / np.sqrt(counts)
        if not np.isfinite(errors).all():
            note("some deviations or numbers of raters are missing: pairs of images are not judged")
            errors = None
    elif rated.deviations is not None:
        note("how many people rated? With --raters N, pairs of images are judged by the deviations too")
    elif raters is not None:
        raise InputError("--raters goes with a column of standard deviations: name it with --std-column")
    return People(rated.mos, rated.lower_better, rated.references, errors)


def _find_metrics(wanted: str, references: bool, maps: Path | None) -> "tuple[MetricSpec, ...]":
    from grmp_plugin.evaluation.metric_names import find_metrics

    words = [word.strip() for word in wanted.split(",") if word.strip()]
    found = find_metrics(words, references=references)
    if maps is not None and not any(metric.own for metric in found.metrics):
        raise InputError("--maps: maps are drawn by this package's models; name one in --metrics")
    if found.left_out:
        reasons = sorted({reason for _, reason in found.left_out})
        note(f"{len(found.left_out)} metrics are left out: {'; '.join(reasons)}")
    return found.metrics


def _run(
    files: list[str],
    originals: tuple[str | None, ...] | None,
    wanted: "tuple[MetricSpec, ...]",
    people: "People | None",
    device: Device,
    about: dict[str, Any],
) -> "Comparison":
    # Only now, as it costs seconds.
    from grmp_plugin.evaluation.judging import judge
    from grmp_plugin.evaluation.metric_scores import score_images
    from grmp_plugin.evaluation.metrics import Metrics
    from grmp_plugin.evaluation.score_cache import ScoreCache
    from grmp_plugin.versions import package_versions

    runner = Metrics(device.value)
    cache = ScoreCache()
    started = time.time()
    try:
        with _bar() as bar:
            scored = score_images(files, originals, wanted, runner, cache, bar)
    except KeyboardInterrupt:
        if cache.problem is None:
            note("the scores so far are kept: the same command goes on from here")
        raise
    finally:
        cache.close()
    if cache.problem is not None:
        note(cache.problem)
    run = {
        "command": "compare",
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(started)),
        **about,
        "device": str(runner.device),
        "seed": _SEED,
        "versions": package_versions(),
    }
    return judge(files, scored, people, run, seed=_SEED)


def _draw_maps(comparison: "Comparison", folder: Path, device: Device) -> dict[str, Any]:
    from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions
    from grmp_plugin.network.grmp_iqa import GRMPIQA

    from .maps import draw_maps

    own = [m.metric for m in comparison.metrics if m.error is None and "weights_sha256" in m.identity]
    if not own:
        note("no maps: none of this package's models worked")
        return {}
    scorer = Scorer(GRMPIQA(own[0]), ScoringOptions(device=device.value))
    readable = zip(comparison.images, comparison.errors, strict=True)
    return draw_maps(scorer, [image for image, error in readable if error is None], folder)


def _write(comparison: "Comparison", out: Path | None, scores: Path | None) -> None:
    document = _document(comparison)
    if out is not None:
        write_rows(out, metric_rows(comparison), metric_columns(comparison), document)
    if scores is not None:
        rows = score_rows(comparison)
        write_rows(
            scores, rows, score_columns(comparison), {"run": document["run"], "images": rows}, "--scores"
        )


def _document(comparison: "Comparison") -> dict[str, Any]:
    document: dict[str, Any] = without_nan(comparison_document(comparison))
    return document


def _show(shown: Format, comparison: "Comparison") -> None:
    if shown is Format.json:
        print_data(json_text(_document(comparison)) + "\n")
    elif shown is Format.csv:
        print_data(csv_text(metric_rows(comparison), metric_columns(comparison)))
    elif shown is Format.jsonl:
        print_data(jsonl_text(metric_rows(comparison)))
    else:
        from .compare_table import print_comparison

        print_comparison(comparison)


@contextmanager
def _bar() -> "Iterator[Any]":
    """Progress on a terminal: what is done, how many, rate and time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=messages, transient=True, redirect_stdout=False, disable=not messages.is_terminal
    ) as progress:
        task: Any = None
        name, started = "", 0.0

        def tell(what: str, done: int, total: int) -> None:
            nonlocal task, name, started
            if what != name:
                if not messages.is_terminal:
                    note(f"{what}: {total} images")
                if task is not None:
                    progress.remove_task(task)
                task = progress.add_task(what, total=total, rate="getting ready")
                name, started = what, time.monotonic()
            rate = f"{done / max(1e-9, time.monotonic() - started):.1f} images/s" if done else "getting ready"
            progress.update(task, completed=done, total=total, rate=rate)

        yield tell
