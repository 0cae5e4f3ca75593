"""`grmp compare`: metrics side by side, on images alone or against people's ratings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.only_run import only_run
from grmp_plugin.tables import check_folder_path, check_not_input, check_report_path, check_table_path

from .bars import progress_bar
from .choices import Device, DeviceOption, Format, FormatOrFileOption, OutOption, ReportOption
from .compare_notes import print_notes
from .options import DATA_ROOT, DataRootOption
from .output import note, print_result
from .ratings import (
    DirectionOption,
    ImageColumnOption,
    ImagesOption,
    IncludeLearnedOption,
    MosColumnOption,
    RawOption,
    SkipBadOption,
    ratings_option,
)
from .signals import termination_as_interrupt

if TYPE_CHECKING:
    from grmp_plugin.api.compare import ComparisonResult
    from grmp_plugin.evaluation.map_files import MapFile

HELP = (
    "Compare metrics: pyiqa's, this package's models, and your checkpoints.\n\n"
    "PATHS are images, folders or glob patterns: see how the metrics agree with each other, and which images "
    "they dispute. Or PATHS is one ratings file (CSV with the columns image and mos), one of pyiqa's data "
    "sets, or demo: see which metric agrees best with people, and which differences are significant.\n\n"
    "A metric that fails does not affect the others. All are judged on the same images; with ratings, "
    "without those that one of this package's models learned from. Scores are kept, so that a second run is "
    "fast. Exit codes: 0 done, 3 done without some metrics or images, 2 wrong usage, 1 failed.\n\n"
    "Examples: grmp compare photos/ --metrics grmp_iqa-tiny,piqe,entropy · grmp compare ratings.csv "
    "--metrics grmp_iqa-tiny,mine.safetensors,piqe,ssim --ref originals/ --report report.html"
)

_SOME_FAILED = 3


def compare(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS...",
            help="Image files, folders, glob patterns or -; or one ratings file or data set.",
            show_default=False,
        ),
    ],
    metrics: Annotated[
        str,
        typer.Option(
            help="Comma-separated metric names ([bold]pyiqa -ls[/], [bold]grmp models[/]), checkpoint files, "
            "wildcards such as '*ssim*', or the groups offline, nr, fr.",
        ),
    ] = "offline",
    ref: Annotated[
        Path | None,
        typer.Option(
            help="Reference images for full-reference metrics: a folder, matched by name, or one file.",
            show_default=False,
        ),
    ] = None,
    output_format: FormatOrFileOption = None,
    out: OutOption = None,
    scores: Annotated[
        Path | None,
        typer.Option(help="Per-image scores (.csv, .json, .jsonl, .parquet).", show_default=False),
    ] = None,
    report: ReportOption = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            help="Folder for quality maps, drawn by the first of this package's models among the metrics.",
            show_default=False,
        ),
    ] = None,
    images: ImagesOption = None,
    image_column: ImageColumnOption = None,
    mos_column: MosColumnOption = None,
    reference_column: Annotated[
        str | None, ratings_option(help="Column of the reference images' names.", show_default=False)
    ] = None,
    std_column: Annotated[
        str | None,
        ratings_option(help="Column of the standard deviations of the ratings.", show_default=False),
    ] = None,
    raters_column: Annotated[
        str | None, ratings_option(help="Column of the numbers of raters.", show_default=False)
    ] = None,
    raters: Annotated[
        int | None,
        ratings_option(min=2, help="Number of people who rated each image.", show_default=False),
    ] = None,
    split_column: Annotated[
        str | None,
        ratings_option(
            help="Column that says train or test; metrics are judged on the test rows.", show_default=False
        ),
    ] = None,
    lower_better: DirectionOption = None,
    mos_range: Annotated[
        tuple[float, float] | None,
        ratings_option(
            metavar="LOW HIGH",
            help="Ends of the rating scale; ratings outside are errors.",
            show_default=False,
        ),
    ] = None,
    raw: RawOption = False,
    skip_bad: SkipBadOption = False,
    include_learned: IncludeLearnedOption = False,
    data_root: DataRootOption = DATA_ROOT,
    device: DeviceOption = Device.auto,
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes for pyiqa's metrics, on the CPU with one thread each.")
    ] = 1,
) -> None:
    """Compare metrics (see `HELP`)."""
    read = [*paths, *metrics.split(","), *([] if ref is None else [str(ref)])]
    _check_files(read, out=out, scores=scores, report=report, maps=maps)
    from grmp_plugin.api import compare as api

    if maps is not None:
        api.check_maps(metrics, ref)
    with only_run(out), only_run(scores, "scores"), only_run(report, "report"):
        try:
            with termination_as_interrupt(), progress_bar() as bar:
                result = api.compare(
                    paths,
                    metrics,
                    references=ref,
                    raters=raters,
                    split_column=split_column,
                    include_learned=include_learned,
                    device=device.value,
                    jobs=jobs,
                    data_root=data_root,
                    progress=bar,
                    images_folder=images,
                    image_column=image_column,
                    mos_column=mos_column,
                    reference_column=reference_column,
                    deviation_column=std_column,
                    raters_column=raters_column,
                    lower_better=lower_better,
                    mos_range=mos_range,
                    raw=raw,
                    skip_bad=skip_bad,
                )
                drawn = [] if maps is None else result.draw_maps(maps, progress=bar)
        except api.ComparisonInterrupted:
            note("the scores so far are kept: the same command continues from here")
            raise
        if out is not None:
            result.write(out)
        if scores is not None:
            result.image_scores().write(scores)
        if report is not None:
            result.report(report, maps=drawn)
    _print(result, output_format or (Format.table if out is None else None))
    print_notes(result)
    _print_map_failures(drawn, maps)
    for path in (out, scores, report, maps):
        if path is not None:
            note(f"written to {path}")
    if result.failure is not None:
        raise GRMPError(f"{result.failure}; the reasons are above")
    if not result.complete:
        raise typer.Exit(_SOME_FAILED)


def _check_files(
    read: list[str],
    *,
    out: Path | None,
    scores: Path | None,
    report: Path | None,
    maps: Path | None,
) -> None:
    """Check that all files can be written, before any work is done."""
    taken: dict[Path, str] = {}
    for path, argument in ((out, "out"), (scores, "scores"), (report, "report")):
        if path is not None and path.resolve() in taken:
            raise InputError(f"{path} is {taken[path.resolve()]}; name another file", argument=argument)
        check_not_input(path, read, argument)
        if path is not None:
            taken[path.resolve()] = f"the file of --{argument}"
    if out is not None:
        check_table_path(out, "out")
    if scores is not None:
        check_table_path(scores, "scores")
    if report is not None:
        check_report_path(report, "report")
    if maps is not None:
        check_folder_path(maps, "maps")


def _print(result: "ComparisonResult", shown: Format | None) -> None:
    if shown is Format.table:
        from .compare_table import print_comparison

        print_comparison(result.comparison)
    elif shown is not None:
        print_result(result, shown)


def _print_map_failures(drawn: "list[MapFile]", folder: Path | None) -> None:
    if folder is not None and not drawn:
        note("no quality maps: none of this package's models worked")
    for one in drawn:
        if one.error is not None:
            note(f"{one.image}: no map: {one.error}")
