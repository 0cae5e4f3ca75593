"""`grmp score`: quality of image files."""

import enum
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from grmp_plugin.only_run import only_run
from grmp_plugin.printable import counted, printable
from grmp_plugin.tables import (
    check_folder_path,
    check_not_input,
    check_report_path,
    check_table_path,
    csv_text,
    jsonl_text,
)

from .bars import progress_bar
from .choices import Device, DeviceOption, Format, FormatOrFileOption, ReportOption, ScoresOutOption
from .output import error, messages, note, print_data, print_result, print_table
from .score_job import (
    Check,
    CheckOption,
    Engine,
    EngineOption,
    ImageColumnOption,
    JobOptions,
    RayAddressOption,
    ResumeOption,
    ShardOption,
    WorkersOption,
    check_options,
    is_job,
    run_job,
)
from .signals import exit_code, termination_as_interrupt

if TYPE_CHECKING:
    from grmp_plugin.api.images import FoundImages
    from grmp_plugin.api.score import Scoring
    from grmp_plugin.api.scores import Scores
    from grmp_plugin.data.ratings import MosScale

# One line per paragraph: the help keeps line breaks.
HELP = (
    "Score images: 0 is bad, 1 is good.\n\n"
    "Results go to standard output, everything else to standard error. Exit codes: 0 all scored, 3 some "
    "could not be read (each has a row with the reason), 2 wrong usage, 1 failed.\n\n"
    "With --out FOLDER, or --out FILE.parquet alone, rows are written as they come, and --resume continues. "
    "Images may then also be lists (.txt, .csv, .parquet), tar archives (WebDataset), Parquet files with "
    "images, and addresses such as s3://...\n\n"
    "Examples: grmp score photos/ --sort worst · grmp score photos/ --out scores.csv · "
    "grmp score list.parquet --out scores/ --resume · "
    "find . -name '*.jpg' | grmp score -"
)

_COLUMNS = ("image", "score", "error")
_SOME_FAILED = 3


class Sort(str, enum.Enum):
    """Order of the rows."""

    input = "input"
    name = "name"
    best = "best"
    worst = "worst"


class Scale(str, enum.Enum):
    """What a score means."""

    quality = "quality"
    mos = "mos"


class Precision(str, enum.Enum):
    """Precision of the image tower."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


def score(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS...",
            help="Image files, folders, glob patterns, or - for a list of paths on standard input.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="Model name ([bold]grmp models[/] lists them) or checkpoint file."
        ),
    ] = "grmp_iqa-tiny",
    device: DeviceOption = Device.auto,
    precision: Annotated[
        Precision, typer.Option(help="auto: fp16 on CUDA, fp32 elsewhere.")
    ] = Precision.auto,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images per batch; scores do not depend on it. [dim]default: 4 on a CPU, 16 elsewhere[/]",
            show_default=False,
        ),
    ] = None,
    output_format: FormatOrFileOption = None,
    out: ScoresOutOption = None,
    report: ReportOption = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            help="Folder for quality maps: where in an image the model sees low quality.", show_default=False
        ),
    ] = None,
    sort: Annotated[
        Sort, typer.Option(help="Order of the rows; best and worst put errors last.")
    ] = Sort.input,
    scale: Annotated[
        Scale,
        typer.Option(help="quality: 0 to 1. mos: predicted MOS, on the scale the model was adapted to."),
    ] = Scale.quality,
    mos_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="With --scale mos: replaces the model's own MOS range; direction unchanged.",
            show_default=False,
        ),
    ] = None,
    interval: Annotated[
        bool,
        typer.Option(
            "--interval",
            help="With --scale mos: low and high, between which nine of ten new ratings should lie.",
        ),
    ] = False,
    flat: Annotated[bool, typer.Option("--flat", help="Do not search folders inside folders.")] = False,
    pixel_limit: Annotated[
        int, typer.Option(min=1, help="Refuse images with more pixels (decompression bombs).")
    ] = 200_000_000,
    resume: ResumeOption = False,
    shard: ShardOption = None,
    check: CheckOption = Check.time,
    image_column: ImageColumnOption = None,
    engine: EngineOption = Engine.local,
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
) -> None:
    """Score files and folders, and print or write the rows (see `HELP`)."""
    judging: dict[str, Any] = {
        "scale": scale.value,
        "mos_range": mos_range,
        "device": device.value,
        "precision": precision.value,
        "batch_size": batch_size,
        "pixel_limit": pixel_limit,
    }
    options = JobOptions(resume, shard, check, image_column, engine, ray_address, workers)
    all_rows = {
        "sort": sort is not Sort.input,
        "report": report,
        "maps": maps,
        "format": output_format,
        "interval": interval,
    }
    check_options(options, out, all_rows)
    if out is not None and is_job(out, all_rows):
        failed = run_job(paths, out, model, options, recursive=not flat, judging=judging)
    else:
        if out is not None:
            check_table_path(out, "out")
        if report is not None:
            check_report_path(report, "report")
        if maps is not None:
            check_folder_path(maps, "maps")
        # Not before: it imports numpy, and what follows torch.
        from grmp_plugin.api.images import find_images

        images = find_images(paths, recursive=not flat)
        for path, argument in ((out, "out"), (report, "report")):
            check_not_input(path, [model, *(image.name for image in images.sources)], argument)
        with only_run(out), only_run(report, "report"), termination_as_interrupt():
            scores = _score_at_once(images, model, judging | {"interval": interval}, out, output_format, sort)
            _draw(scores, report, maps)
        failed = scores.failed
    if failed:
        raise typer.Exit(_SOME_FAILED)


def _score_at_once(
    images: "FoundImages",
    model: str,
    judging: dict[str, Any],
    out: Path | None,
    output_format: Format | None,
    sort: Sort,
) -> "Scores":
    """Score all images, and print or write the rows together."""
    from grmp_plugin.api.score import Scoring

    scoring = Scoring(images, model, **judging)
    shown = output_format or (None if out is not None else Format.table)
    at_end = sort is not Sort.input or judging["interval"]
    streamed = shown if shown in (Format.csv, Format.jsonl) and not at_end else None
    stopped = _score_all(scoring, streamed, keep=out is not None)
    if stopped is not None:
        _leave_interrupted(scoring, out, exit_code(stopped))
    scores = scoring.scores().sorted(sort.value)
    if out is not None:
        scores.write(out)
    if shown is not None and streamed is None:
        _print(scores, shown)
    _say_summary(scores)
    _say_left_out(scoring)
    if out is not None:
        note(f"written to {out}")
    return scores


def _score_all(scoring: "Scoring", streamed: Format | None, *, keep: bool) -> KeyboardInterrupt | None:
    """Score all images, printing each row at once where rows are streamed.

    Args:
        scoring: The run.
        streamed: Format of the rows, or None where they are printed at the end.
        keep: Go on for the sake of a file when nobody reads what is printed.

    Returns:
        What stopped it, Ctrl-C or SIGTERM; None when all images have their row.
    """
    # Streamed rows on the same terminal would write over a bar; elsewhere they are progress enough.
    with_bar = streamed is None or (messages.is_terminal and not sys.stdout.isatty())
    try:
        if streamed is Format.csv:
            print_data(csv_text([], _COLUMNS))
        with progress_bar() as bar, closing(scoring.rows(bar if with_bar else False)) as rows:
            for row in rows:
                if streamed is None:
                    continue
                try:
                    print_data(_streamed_row(row.image, row.score, row.error, streamed))
                except BrokenPipeError:
                    if not keep:
                        raise
                    streamed = None
    except KeyboardInterrupt as stopped:
        return stopped
    return None


def _streamed_row(image: str, score: float | None, problem: str | None, shown: Format) -> str:
    row: dict[str, Any] = {"image": image, "score": score, "error": problem}
    return jsonl_text([row]) if shown is Format.jsonl else csv_text([row], _COLUMNS, header=False)


def _leave_interrupted(scoring: "Scoring", out: Path | None, code: int) -> NoReturn:
    """End after Ctrl-C or SIGTERM: keep what is done, in a file that does not look complete."""
    text = f"interrupted after {scoring.done} of {scoring.total} images"
    if out is not None and scoring.done:
        partial = scoring.scores().write(out.with_name(f"{out.stem}.partial{out.suffix}"))
        text += f"; their scores are in {partial}"
    _say_left_out(scoring)
    error(text)
    sys.exit(code)


def _draw(scores: "Scores", report: Path | None, maps: Path | None) -> None:
    """Draw maps and write a page, where wanted."""
    drawn = []
    if maps is not None:
        try:
            with progress_bar() as bar:
                drawn = scores.draw_maps(maps, progress=bar)
        except KeyboardInterrupt as stopped:
            error(f"interrupted while drawing quality maps; those that are complete are in {maps}")
            sys.exit(exit_code(stopped))
        for one in drawn:
            if one.error is not None:
                note(f"{one.image}: no map: {one.error}")
        note(f"written to {maps}")
    if report is not None:
        note(f"written to {scores.report(report, maps=drawn)}")


def _say_summary(scores: "Scores") -> None:
    text = f"{counted(len(scores), 'image')}, {scores.failed} failed"
    if scores.median is not None:
        text += f"; median {scores.median:.4f}"
    for which, extreme in (("best", scores.best), ("worst", scores.worst)):
        if extreme is not None:
            text += f", {which} {extreme.score:.4f} ({Path(extreme.image).name})"
    if scores.mos_scale is not None:
        text += f"; {_mos_words(scores.mos_scale)}"
    note(text)


def _say_left_out(scoring: "Scoring") -> None:
    from grmp_plugin.data.left_out import left_out_words

    for line in left_out_words(scoring.left_out):
        note(line)


def _print(scores: "Scores", shown: Format) -> None:
    if shown is Format.table:
        _print_table(scores)
    else:
        print_result(scores, shown)


def _mos_words(scale: "MosScale") -> str:
    worst, best = (scale.high, scale.low) if scale.lower_better else (scale.low, scale.high)
    return f"predicted MOS, {worst:.4g} bad, {best:.4g} good"


def _print_table(scores: "Scores") -> None:
    from rich.table import Table
    from rich.text import Text

    from grmp_plugin.api.models import training_data

    trained_on = training_data(scores.model)
    about = f", trained on {trained_on}" if trained_on else ""
    scale = "0 bad, 1 good" if scores.mos_scale is None else _mos_words(scores.mos_scale)
    print_data(f"{printable(scores.model)}{about} ({scores.run.device}, {scores.precision}); {scale}\n")
    table = Table()
    table.add_column("image", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    numbers = [name for name in scores.columns if name not in ("image", "error")]
    for name in numbers[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    if scores.failed:
        table.add_column("error", overflow="fold", style="red")
    for row in scores.rows:
        shown = ["" if row[name] is None else f"{row[name]:.4f}" for name in numbers]
        # Text, and not markup: a file may be called [red].png.
        cells = [Text(printable(row["image"])), *map(Text, shown), Text(printable(row["error"] or ""))]
        table.add_row(*cells[: len(table.columns)])
    print_table(table)
