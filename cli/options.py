"""Options that the training commands share, and how they end after Ctrl-C."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from grmp_plugin.errors import TrainingInterrupted

from .choices import Device
from .output import error

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Model to start from: a model name ([bold]grmp models[/] lists them), a checkpoint file, or a "
        "CLIP of open_clip such as ViT-B-16-quickgelu. [dim]default: grmp_iqa-tiny[/]",
        show_default=False,
    ),
]
BackboneWeightsOption = Annotated[
    str | None,
    typer.Option(
        metavar="<TAG|FILE>",
        help="CLIP's weights, for a model without its own: a tag of open_clip, or a file of open_clip or "
        "OpenAI. [dim]default: openai[/]",
        show_default=False,
    ),
]
SeedOption = Annotated[
    int | None, typer.Option(min=0, help="Random seed. [dim]default: 0[/]", show_default=False)
]
TrainingDeviceOption = Annotated[
    Device, typer.Option(metavar="<auto|cpu|cuda>", help="auto: CUDA if available, else the CPU.")
]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="YAML file or bundled preset, such as paper/livec. Command-line options override it.",
        show_default=False,
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Continue an interrupted run of the same command; needs --out.")
]
TensorBoardOption = Annotated[
    Path | None,
    typer.Option("--tensorboard", help="Log every step to this folder for TensorBoard.", show_default=False),
]
DataRootOption = Annotated[
    Path, typer.Option(help="Folder of pyiqa's data sets, also where they are downloaded to.")
]
DATA_ROOT = Path("datasets")


def leave_interrupted(stopped: TrainingInterrupted, out: Path | None, code: int) -> NoReturn:
    """Exit after Ctrl-C or SIGTERM, and say how to continue.

    Args:
        stopped: What was interrupted.
        out: File for the checkpoint, beside which the state is.
        code: Exit code.
    """
    from grmp_plugin.training.checkpoint_file import state_file

    kept = out is not None and state_file(out).exists()
    advice = "Continue with the same command and --resume" if kept else "Nothing was kept"
    error(f"{stopped.message}. {advice}")
    sys.exit(code)
