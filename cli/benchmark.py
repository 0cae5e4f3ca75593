"""`grmp benchmark`: methods of learning from a few ratings, compared on the same splits, resumable."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from grmp_plugin.benchmarking.methods import DEFAULT_METHODS, METHODS
from grmp_plugin.errors import InputError, TrainingInterrupted

from .choices import Device, Format, FormatOption
from .options import DATA_ROOT, ConfigOption, DataRootOption, SeedOption, TrainingDeviceOption, parsed_shard
from .output import error, note, print_result
from .ratings import (
    DirectionOption,
    ImageColumnOption,
    ImagesOption,
    IncludeLearnedOption,
    MosColumnOption,
    RangeOption,
    RawOption,
    ReferenceColumnOption,
    SkipBadOption,
    list_skipped,
)

HELP = (
    "Compare ways of learning from a few ratings: every method learns from the same shots and is judged on "
    "the same other images, over several random splits.\n\n"
    "DATA is one of pyiqa's data sets (livec, koniq10k, ...), a ratings file, or demo; several are judged in "
    "turn. Without DATA: print the table of a folder.\n\n"
    "Each row is kept in --out as it is done. The same command continues where it was stopped, other methods "
    "or shots add to the folder, and processes or machines with --shard share it. The folder also gets "
    "table.csv, table.tex (LaTeX) and report.html.\n\n"
    f"Methods: {', '.join(METHODS)}.\n\n"
    "Exit codes: 0 done, 3 done without some rows or images, 2 wrong usage, 1 failed.\n\n"
    "Examples: grmp benchmark demo --shots 25,50 --splits 3 --methods zero-shot,ridge,auto --out results · "
    "grmp benchmark livec koniq10k --shots 50,20% --methods grmp,no-meta --lambda 0,1,5 --out results "
    "--shard 0/4 · grmp benchmark --out results"
)

_INCOMPLETE = 3


def benchmark(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the rows, tables and report.", show_default=False)
    ],
    data: Annotated[
        list[str] | None,
        typer.Argument(metavar="DATA", help="Data sets, or ratings files.", show_default=False),
    ] = None,
    shots: Annotated[
        str,
        typer.Option(help="Comma-separated numbers of rated images to learn from, or shares such as 20%."),
    ] = "50",
    splits: Annotated[
        int, typer.Option(min=1, help="Number of random splits into shots and test images.")
    ] = 10,
    methods: Annotated[str, typer.Option(help="Comma-separated methods, or all.")] = ",".join(
        DEFAULT_METHODS
    ),
    strengths: Annotated[
        str | None,
        typer.Option(
            "--lambda",
            help="Comma-separated strengths of the gradient regularization, for grmp and no-meta. "
            "[dim]default: 5[/]",
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated no-reference metrics of pyiqa, as fixed lines.", show_default=False
        ),
    ] = None,
    test_on: Annotated[
        str | None,
        typer.Option(help="Another data set or ratings file to test on, as a whole.", show_default=False),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Do share I of N of the work, from 0/N; all shares write into one folder.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Model that all methods start from: a model name, a checkpoint file or a CLIP of open_clip. "
            "[dim]default: grmp_iqa-tiny-meta, or that of --config[/]",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate of the gradient steps.", show_default=False)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the shots in gradient steps.", show_default=False)
    ] = None,
    seed: SeedOption = None,
    images: ImagesOption = None,
    image_column: ImageColumnOption = None,
    mos_column: MosColumnOption = None,
    reference_column: ReferenceColumnOption = None,
    lower_better: DirectionOption = None,
    mos_range: RangeOption = None,
    raw: RawOption = False,
    skip_bad: SkipBadOption = False,
    include_learned: IncludeLearnedOption = False,
    data_root: DataRootOption = DATA_ROOT,
    device: TrainingDeviceOption = Device.auto,
    output_format: FormatOption = Format.table,
) -> None:
    """Compare methods over splits (see `HELP`)."""
    # Not before: the help needs neither numpy nor scipy.
    from grmp_plugin.api.benchmark import benchmark as compare_methods

    from .benchmark_table import print_benchmark
    from .progress import ShownProgress

    watch = ShownProgress(None)
    try:
        with watch.running():
            result = compare_methods(
                data or [],
                out=out,
                shots=_words(shots),
                splits=splits,
                methods=list(METHODS) if methods.strip() == "all" else _words(methods),
                strengths=None if strengths is None else _numbers(strengths),
                metrics=_words(metrics or ""),
                test_on=test_on,
                shard=parsed_shard(shard),
                model=model,
                config=config,
                learning_rate=learning_rate,
                epochs=epochs,
                seed=seed,
                include_learned=include_learned,
                device=device.value,
                data_root=data_root,
                progress=watch,
                images_folder=images,
                image_column=image_column,
                mos_column=mos_column,
                reference_column=reference_column,
                lower_better=lower_better,
                mos_range=mos_range,
                raw=raw,
                skip_bad=skip_bad,
            )
    except TrainingInterrupted as stopped:
        error(f"{stopped.message}. The rows so far are kept: the same command continues from here")
        sys.exit(watch.exit_code)
    if output_format is Format.table:
        print_benchmark(result)
    else:
        print_result(result, output_format)
    if result.missing:
        note(f"{result.missing} rows are not done{'' if result.failed else ', as other shards do them'}")
    if result.blocks:
        note(f"written to {out}: table.csv, table.tex, report.html")
    if result.skipped:
        list_skipped(result.skipped)
    if result.failed or result.skipped:
        raise typer.Exit(_INCOMPLETE)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[float]:
    found = []
    for word in _words(text):
        try:
            found.append(float(word))
        except ValueError as problem:
            raise InputError(
                f"expected numbers, such as 0,1,5, not '{word}'", argument="strengths"
            ) from problem
    return found
