"""`grmp pretrain`: learn prompts over kinds of distortion, before any ratings of one's own."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from grmp_plugin.errors import TrainingInterrupted
from grmp_plugin.printable import counted

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
from .output import note, print_data, print_result

HELP = (
    "Learn prompts by meta-learning over kinds of distortion, each with support and query images. "
    "grmp adapt can start from the result.\n\n"
    "Tasks come from pyiqa's data sets with synthetic distortions (kadid10k and tid2013 by "
    "default), from a folder of pristine images, or from drawn scenes, which need no file.\n\n"
    "Examples: grmp pretrain --data drawn --out prompts.safetensors · grmp pretrain --pristine photos/ "
    "--out prompts.safetensors, and then grmp adapt ratings.csv --model prompts.safetensors"
)


def pretrain(
    out: Annotated[Path, typer.Option("--out", "-o", help="Write the model to this .safetensors file.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="One of pyiqa's data sets (kadid10k, tid2013), or drawn; can be repeated. "
            "[dim]default: kadid10k and tid2013[/]",
            show_default=False,
        ),
    ] = None,
    pristine: Annotated[
        Path | None,
        typer.Option(help="A folder of pristine images to distort, instead of --data.", show_default=False),
    ] = None,
    model: ModelOption = None,
    backbone_weights: BackboneWeightsOption = None,
    outer_steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of outer steps. [dim]default: from the settings[/]", show_default=False
        ),
    ] = None,
    seed: SeedOption = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="paper: each task starts from the current prompts. released: tasks chain, as in the "
            "authors' released code, over all kinds of distortion. [dim]default: paper[/]",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    data_root: DataRootOption = DATA_ROOT,
    device: TrainingDeviceOption = Device.auto,
    resume: ResumeOption = False,
    tensorboard: TensorBoardOption = None,
    output_format: FormatOption = Format.table,
) -> None:
    """Learn prompts over kinds of distortion (see `HELP`)."""
    # Not before: the help needs neither numpy nor torch.
    from grmp_plugin.api.pretrain import pretrain as pretrain_on

    from .errors import note_text
    from .progress import ShownProgress

    watch = ShownProgress(tensorboard, unit="task")
    state = KeptState(out, resume)
    try:
        with watch.running():
            learned = pretrain_on(
                data or None,
                pristine=pristine,
                model=model,
                backbone_weights=backbone_weights,
                outer_steps=outer_steps,
                seed=seed,
                protocol=protocol,
                config=config,
                out=out,
                resume=resume,
                device=device.value,
                data_root=data_root,
                progress=watch,
            )
    except TrainingInterrupted as stopped:
        leave_interrupted(stopped, state, watch.exit_code)
    if output_format is Format.table:
        steps = learned.checkpoint.info["outer_steps"]
        moved = f"{learned.prompts_moved:.1%} of their norm"
        print_data(f"prompts moved by {moved} over {counted(steps, 'outer step')}\n")
    else:
        print_result(learned, output_format)
    for remark in learned.notes:
        if remark not in watch.notes:
            note(note_text(remark))
    note(f"written to {out}. Next: grmp adapt ratings.csv --model {shlex.quote(str(out))}")
