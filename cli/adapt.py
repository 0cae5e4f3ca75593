"""`grmp adapt`: adapt a model to a few rated images, and show what that gained."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grmp_plugin.errors import TrainingInterrupted
from grmp_plugin.notes import Note

from .choices import Device, Format, FormatOption
from .options import (
    DATA_ROOT,
    BackboneWeightsOption,
    ConfigOption,
    DataRootOption,
    KeptState,
    ModelOption,
    ResumeOption,
    SeedOption,
    TensorBoardOption,
    TrainingDeviceOption,
    leave_interrupted,
)
from .output import note, print_result
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
    SplitColumnOption,
    list_skipped,
    ratings_option,
)

if TYPE_CHECKING:
    from grmp_plugin.api.adaptation import Adaptation

HELP = (
    "Adapt a model to your ratings: learn from a few rated images, then compare predictions with the unused "
    "ratings, before and after.\n\n"
    "RATINGS is a CSV file with the columns image and mos, a pyiqa meta_info file, or one of pyiqa's data "
    "sets (livec, koniq10k, kadid10k, ...). Without it: a demo of drawn pictures with simulated ratings.\n\n"
    "Exit codes: 0 done, 3 done without the bad ratings (--skip-bad), 2 wrong usage, 1 failed.\n\n"
    "Examples: grmp adapt --shots 50 · grmp adapt ratings.csv --shots 50 --out mine.safetensors, and then "
    "grmp score photos/ --model mine.safetensors"
)

_SOME_SKIPPED = 3
_NOT_KEPT = "without --out FILE.safetensors, the adapted model is not kept and cannot be resumed"


def adapt(
    ratings: Annotated[
        str | None,
        typer.Argument(
            metavar="RATINGS",
            help="Ratings file, or name of a data set. [dim]default: the demo[/]",
            show_default=False,
        ),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            min=2, help="Number of rated images to learn from. [dim]default: 50[/]", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write the adapted model to this .safetensors file.", show_default=False
        ),
    ] = None,
    model: ModelOption = None,
    backbone_weights: BackboneWeightsOption = None,
    splits: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Repeat with other shots; --out keeps the first split's model. [dim]default: 1[/]",
            show_default=False,
        ),
    ] = None,
    seed: SeedOption = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="<auto|ridge|prompts>",
            help="How to adapt. auto: as cross-validation inside the shots finds best. ridge: a linear head "
            "on the frozen features. prompts: gradient steps on prompts and last blocks, as published. "
            "[dim]default: auto[/]",
            show_default=False,
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            "--lambda",
            min=0,
            help="Strength of the gradient regularization; 0: none. [dim]default: 5[/]",
            show_default=False,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Learning rate of the gradient steps.", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the shots in gradient steps.", show_default=False)
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="<fp32|bf16|fp16>",
            help="Precision of the gradient steps: fp32, or bf16 or fp16 for a GPU. [dim]default: fp32[/]",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="<own|released>",
            help="own: never uses test ratings. released: as the authors' released code, tests a fifth of "
            "the images and chooses the best of up to 2000 epochs on their ratings. [dim]default: own[/]",
            show_default=False,
        ),
    ] = None,
    sampling: Annotated[
        str | None,
        typer.Option(
            metavar="<random|spread>",
            help="How to draw the shots: random, or spread over the MOS range. [dim]default: random[/]",
            show_default=False,
        ),
    ] = None,
    images: ImagesOption = None,
    image_column: ImageColumnOption = None,
    mos_column: MosColumnOption = None,
    reference_column: ReferenceColumnOption = None,
    split_column: SplitColumnOption = None,
    split_by: Annotated[
        str | None,
        ratings_option(
            metavar="<reference|image>",
            help="reference: versions of one original are on one side. image, with --protocol released only: "
            "as in the authors' released code, they need not be. [dim]default: reference[/]",
            show_default=False,
        ),
    ] = None,
    lower_better: DirectionOption = None,
    mos_range: RangeOption = None,
    raw: RawOption = False,
    skip_bad: SkipBadOption = False,
    include_learned: IncludeLearnedOption = False,
    config: ConfigOption = None,
    data_root: DataRootOption = DATA_ROOT,
    device: TrainingDeviceOption = Device.auto,
    resume: ResumeOption = False,
    tensorboard: TensorBoardOption = None,
    output_format: FormatOption = Format.table,
) -> None:
    """Adapt a model to ratings (see `HELP`)."""
    # Not before: the help needs neither numpy nor scipy.
    from grmp_plugin.api.adapt import adapt as adapt_to

    from .progress import ShownProgress

    kept = out is not None or resume
    watch = ShownProgress(tensorboard, advice=None if kept else _NOT_KEPT)
    state = KeptState(out, resume)
    try:
        with watch.running():
            adapted = adapt_to(
                ratings,
                shots,
                model,
                backbone_weights=backbone_weights,
                out=out,
                splits=splits,
                seed=seed,
                config=config,
                method=method,
                strength=strength,
                learning_rate=learning_rate,
                epochs=epochs,
                precision=precision,
                protocol=protocol,
                sampling=sampling,
                split_column=split_column,
                split_by=split_by,
                include_learned=include_learned,
                device=device.value,
                resume=resume,
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
        leave_interrupted(stopped, state, watch.exit_code)
    _print(adapted, output_format, watch.notes)
    if out is not None:
        note(f"written to {out}. Next: grmp score photos/ --model {shlex.quote(str(out))} --scale mos")
    if adapted.skipped:
        list_skipped(adapted.skipped)
    if not all(row.repeated for row in adapted.skipped):
        raise typer.Exit(_SOME_SKIPPED)


def _print(adapted: "Adaptation", shown: Format, told: Sequence[Note]) -> None:
    from .adapt_table import print_adaptation
    from .errors import note_text

    if shown is Format.table:
        print_adaptation(adapted)
    else:
        print_result(adapted, shown)
    note(adapted.verdict)
    for remark in adapted.notes:
        if remark not in told:
            note(note_text(remark))
