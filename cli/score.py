"""`grmp score`: quality of image files."""

import enum
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grmp_plugin.errors import InputError
from grmp_plugin.printable import printable

from .maps import without_maps
from .options import ReportOption, RowsFormatOption
from .output import (
    Format,
    check_folder,
    check_out,
    check_report,
    csv_text,
    error,
    json_text,
    jsonl_text,
    messages,
    note,
    print_data,
    print_table,
    write_rows,
    write_text,
)

if TYPE_CHECKING:
    from grmp_plugin.data.ratings import MosScale
    from grmp_plugin.evaluation.scoring import ImageScore, Scorer

# One line a paragraph: the help keeps line breaks.
HELP = (
    "Score images: 0 is bad, 1 is good.\n\n"
    "Results go to standard output, everything else to standard error. Exit codes: 0 all scored, 3 some "
    "could not be read (each has a row with the reason), 2 wrong usage, 1 failed.\n\n"
    "Examples: grmp score photos/ --sort worst · grmp score photos/ --out scores.csv · "
    "find . -name '*.jpg' | grmp score -"
)

COLUMNS = ("image", "score", "error")
_SOME_FAILED = 3
_INTERRUPTED = 130


class Sort(str, enum.Enum):
    """Order of the rows."""

    input = "input"
    name = "name"
    best = "best"
    worst = "worst"


class Scale(str, enum.Enum):
    """What a score is."""

    quality = "quality"
    mos = "mos"


class Device(str, enum.Enum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


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
            "--model", "-m", help="A model's name ([bold]grmp models[/] lists them) or a checkpoint file."
        ),
    ] = "grmp_iqa-tiny",
    device: Annotated[Device, typer.Option(help="auto: CUDA, else MPS, else the CPU.")] = Device.auto,
    precision: Annotated[
        Precision, typer.Option(help="auto: fp16 on CUDA, fp32 elsewhere.")
    ] = Precision.auto,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images at a time; no score depends on it. [dim]default: 4 on a CPU, 16 elsewhere[/]",
            show_default=False,
        ),
    ] = None,
    output_format: RowsFormatOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write to this file: .csv, .json, .jsonl or .parquet.", show_default=False
        ),
    ] = None,
    report: ReportOption = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            help="Folder for quality maps: where in a picture the model sees low quality.", show_default=False
        ),
    ] = None,
    sort: Annotated[
        Sort, typer.Option(help="Order of the rows; best and worst put errors last.")
    ] = Sort.input,
    scale: Annotated[
        Scale,
        typer.Option(help="quality: 0 to 1. mos: predicted MOS, on the scale of the ratings learned from."),
    ] = Scale.quality,
    mos_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="With --scale mos: ends of the scale, instead of the model's own; which one is good stays.",
            show_default=False,
        ),
    ] = None,
    flat: Annotated[bool, typer.Option("--flat", help="Do not search the folders inside folders.")] = False,
    pixel_limit: Annotated[
        int, typer.Option(min=1, help="Refuse images of more pixels (decompression bombs).")
    ] = 200_000_000,
) -> None:
    """Score files and folders, and print or write the rows (see `HELP`)."""
    _check_places(out, report, maps)
    if mos_range is not None and scale is not Scale.mos:
        raise InputError("--mos-range goes with --scale mos")
    from grmp_plugin.data.paths import expand_paths

    files = without_maps(expand_paths(paths, recursive=not flat), maps)
    # Only now, as it costs seconds.
    from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions, pick_device
    from grmp_plugin.network.grmp_iqa import GRMPIQA

    options = ScoringOptions(
        device=device.value, precision=precision.value, batch_size=batch_size, pixel_limit=pixel_limit
    )
    pick_device(options.device)  # before anything is downloaded for nothing
    scorer = Scorer(GRMPIQA(model), options)
    mos = _mos_scale(model, scorer.network.info, mos_range) if scale is Scale.mos else None
    sign = -1 if mos is not None and mos.lower_better else 1
    run = _describe_run(model, scorer, mos)
    shown = output_format or (None if out is not None else Format.table)
    streamed = shown if sort is Sort.input and shown in (Format.csv, Format.jsonl) else None
    started = time.monotonic()
    rows, interrupted = _score_all(scorer, files, mos, streamed, keep=out is not None)
    run |= _summary(rows, time.monotonic() - started, sign)
    if interrupted:
        _leave_interrupted(out, rows, len(files), run)
    rows = _sorted(rows, sort, sign)
    document = {"run": run, "images": rows}
    if out is not None:
        write_rows(out, rows, COLUMNS, document)
    if shown is not None and streamed is None:
        _show(shown, document)
    _say_summary(run, out)
    _draw(document, scorer, report, maps)
    if run["failed"]:
        raise typer.Exit(_SOME_FAILED)


def _score_all(
    scorer: "Scorer", files: list[str], mos: "MosScale | None", streamed: Format | None, *, keep: bool
) -> tuple[list[dict[str, Any]], bool]:
    """Score all files, printing each row at once where rows are streamed.

    Args:
        scorer: a network made ready.
        files: paths.
        mos: scale of the scores; quality without one.
        streamed: format of the rows, or None where they are printed in the end.
        keep: go on for a file where nobody reads what is printed.

    Returns:
        The rows, and whether Ctrl-C came before the last one.
    """
    rows: list[dict[str, Any]] = []
    try:
        if streamed is Format.csv:
            print_data(csv_text([], COLUMNS))
        with_bar = messages.is_terminal and not (streamed is not None and sys.stdout.isatty())
        # Closed whatever happens, so that no work goes on behind an error.
        with closing(scorer.score(files)) as results:
            for result in _with_progress(results, len(files)) if with_bar else results:
                rows.append(_row(result, mos))
                if streamed is not None:
                    try:
                        print_data(_streamed_row(rows[-1], streamed))
                    except BrokenPipeError:
                        if not keep:
                            raise
                        streamed = None
    except KeyboardInterrupt:
        return rows, True
    return rows, False


def _check_places(out: Path | None, report: Path | None, maps: Path | None) -> None:
    if out is not None:
        check_out(out)
    if report is not None:
        check_report(report)
    if maps is not None:
        check_folder(maps)


def _draw(document: dict[str, Any], scorer: "Scorer", report: Path | None, maps: Path | None) -> None:
    """Maps and a page, where they are wanted."""
    drawn: dict[str, Any] = {}
    if maps is not None:
        from .maps import draw_maps

        scored = [row["image"] for row in document["images"] if row["score"] is not None]
        drawn = draw_maps(scorer, scored, maps)
        note(f"written to {maps}")
    if report is not None:
        from grmp_plugin.report import scores_report

        write_text(report, scores_report(document, maps=drawn), "--report")
        note(f"written to {report}")


def _row(result: "ImageScore", mos: "MosScale | None") -> dict[str, Any]:
    score = result.score
    if score is not None and mos is not None:
        score = float(mos.to_mos(score))
    return {"image": result.image, "score": score, "error": result.error}


def _mos_scale(model: str, info: "Mapping[str, Any]", mos_range: tuple[float, float] | None) -> "MosScale":
    """The scale of predicted MOS: declared, or the one that the checkpoint remembers.

    Raises:
        InputError: when there is neither.
    """
    from grmp_plugin.data.ratings import DECLARED, MosScale
    from grmp_plugin.errors import ConfigError

    known = info.get("mos_scale")
    if mos_range is not None:
        try:
            return MosScale(*mos_range, lower_better=bool(known and known["lower_better"]), source=DECLARED)
        except ConfigError as problem:
            raise InputError(f"--mos-range: {problem}") from problem
    if known is None:
        raise InputError(
            f"{model} does not say on what scale its ratings were, if it was adapted to any (grmp adapt "
            "notes it, pyiqa.train does not): declare one with --mos-range LOW HIGH"
        )
    return MosScale(**known)


def _describe_run(model: str, scorer: "Scorer", mos: "MosScale | None") -> dict[str, Any]:
    from dataclasses import asdict

    from grmp_plugin.network.models import weights_digest
    from grmp_plugin.versions import package_versions

    config = scorer.network.config
    return {
        "command": "score",
        "model": model,
        "weights_sha256": weights_digest(model),
        "backbone": config.backbone.name,
        "device": str(scorer.device),
        "precision": scorer.precision,
        "preprocess": asdict(config.preprocess),
        "scale": "quality" if mos is None else asdict(mos),
        "seed": None,  # nothing is random here
        "versions": package_versions(),
    }


def _with_progress(results: "Iterator[ImageScore]", total: int) -> "Iterator[ImageScore]":
    """Pass results on, with a bar, rate and time left on stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("scoring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    # Rows may be going to the same terminal; the bar must not take hold of stdout.
    with Progress(*columns, console=messages, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("", total=total, rate="")
        started = time.monotonic()
        for done, result in enumerate(results, 1):
            rate = done / max(1e-9, time.monotonic() - started)
            progress.update(task, completed=done, rate=f"{rate:.1f} images/s")
            yield result


def _streamed_row(row: dict[str, Any], shown: Format | None) -> str:
    if shown is Format.jsonl:
        return jsonl_text([row])
    return csv_text([row], COLUMNS).split("\n", 1)[1]


def _summary(rows: list[dict[str, Any]], seconds: float, sign: int) -> dict[str, Any]:
    """Counts, median and extremes; `sign` is -1 where a low score is a good one."""
    scored = [row for row in rows if row["score"] is not None]
    summary: dict[str, Any] = {
        "images": len(rows),
        "failed": len(rows) - len(scored),
        "seconds": round(seconds, 3),
    }
    if scored:
        scores = [row["score"] for row in scored]
        best = max(scored, key=lambda row: sign * row["score"])
        worst = min(scored, key=lambda row: sign * row["score"])
        summary["median"] = statistics.median(scores)
        summary["best"] = {"image": best["image"], "score": best["score"]}
        summary["worst"] = {"image": worst["image"], "score": worst["score"]}
    return summary


def _say_summary(run: dict[str, Any], out: Path | None) -> None:
    plural = "" if run["images"] == 1 else "s"
    counted = f"{run['images']} image{plural}, {run['failed']} failed"
    if "median" in run:
        counted += f"; median {run['median']:.4f}"
        for which in ("best", "worst"):
            counted += f", {which} {run[which]['score']:.4f} ({Path(run[which]['image']).name})"
    if run["scale"] != "quality":
        counted += f"; {_mos_words(run['scale'])}"
    note(counted)
    if out is not None:
        note(f"written to {out}")


def _leave_interrupted(out: Path | None, rows: list[dict[str, Any]], total: int, run: dict[str, Any]) -> None:
    """End after Ctrl-C without losing what is done, and without leaving a file that looks complete."""
    text = f"interrupted after {len(rows)} of {total} images"
    if out is not None and rows:
        partial = out.with_name(f"{out.stem}.partial{out.suffix}")
        write_rows(partial, rows, COLUMNS, {"run": run | {"interrupted": True}, "images": rows})
        text += f"; these are in {partial}"
    error(text)
    sys.exit(_INTERRUPTED)


def _sorted(rows: list[dict[str, Any]], sort: Sort, sign: int) -> list[dict[str, Any]]:
    if sort is Sort.input:
        return rows
    if sort is Sort.name:
        from grmp_plugin.data.paths import natural_key

        return sorted(rows, key=lambda row: natural_key(row["image"]))
    sign = -sign if sort is Sort.best else sign
    return sorted(rows, key=lambda row: (row["score"] is None, sign * (row["score"] or 0)))


def _show(shown: Format, document: dict[str, Any]) -> None:
    rows = document["images"]
    if shown is Format.json:
        print_data(json_text(document) + "\n")
    elif shown is Format.csv:
        print_data(csv_text(rows, COLUMNS))
    elif shown is Format.jsonl:
        print_data(jsonl_text(rows))
    else:
        _show_table(rows, document["run"])


def _mos_words(scale: dict[str, Any]) -> str:
    worst, best = scale["low"], scale["high"]
    if scale["lower_better"]:
        worst, best = best, worst
    return f"predicted MOS, {worst:.4g} bad, {best:.4g} good"


def _show_table(rows: list[dict[str, Any]], run: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from grmp_plugin.network.models import MODELS

    known = MODELS.get(run["model"])
    about = f", trained on {known.trained_on}" if known else ""
    scale = "0 bad, 1 good" if run["scale"] == "quality" else _mos_words(run["scale"])
    print_data(f"{run['model']}{about} ({run['device']}, {run['precision']}); {scale}\n")
    table = Table()
    table.add_column("image", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    failed = any(row["error"] for row in rows)
    if failed:
        table.add_column("error", overflow="fold", style="red")
    for row in rows:
        number = "" if row["score"] is None else f"{row['score']:.4f}"
        # Text, and not markup: a file may be called [red].png.
        cells = [Text(printable(row["image"])), Text(number), Text(row["error"] or "")]
        table.add_row(*cells[: len(table.columns)])
    print_table(table)
