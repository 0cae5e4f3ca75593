"""Options that the training commands share, and how they end after Ctrl-C."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from grmp_plugin import files
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
        help="YAML file or bundled preset, such as tiny/adapt or tiny/pretrain. Options override it.",
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
DATA_ROOT = Path(files.DATA_ROOT)


class KeptState:
    """The state that a training keeps beside its checkpoint; make one before the training begins.

    Args:
        out: File for the checkpoint; None: nothing is kept.
        resume: Whether the training goes on from a state that is there.
    """

    def __init__(self, out: Path | None, resume: bool) -> None:
        from grmp_plugin.training.checkpoint_file import state_file

        self._file = None if out is None else state_file(out)
        self._before = None if resume else self._version()

    def is_own(self) -> bool:
        """Whether there is a state of this run: not one that an earlier run left, and that is not resumed."""
        return self._version() not in (None, self._before)

    def _version(self) -> tuple[int, int] | None:
        # Every save is a new file.
        try:
            found = None if self._file is None else self._file.stat()
        except OSError:
            return None
        return None if found is None else (found.st_ino, found.st_mtime_ns)


def parsed_shard(text: str | None) -> tuple[int, int]:
    """Number and count of `--shard I/N`; the whole work without it."""
    from grmp_plugin.shard import Shard

    shard = Shard() if text is None else Shard.parse(text)
    return shard.number, shard.count


def leave_interrupted(stopped: TrainingInterrupted, state: KeptState, code: int) -> NoReturn:
    """Exit after Ctrl-C or SIGTERM, and say how to continue.

    Args:
        stopped: What was interrupted.
        state: What the training kept.
        code: Exit code.
    """
    advice = "Continue with the same command and --resume" if state.is_own() else "Nothing was kept"
    error(f"{stopped.message}. {advice}")
    sys.exit(code)
