"""Options and small helpers that the training commands share."""

import dataclasses
import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from grmp_plugin.errors import ConfigError, InputError

from .output import Format as RowsFormat
from .output import check_place, error, note

if TYPE_CHECKING:
    from grmp_plugin.network.checkpoint import Checkpoint

T = TypeVar("T", bound=Any)

_INTERRUPTED = 130
_TINY = "grmp-tiny"  # the embedded backbone


class Device(str, enum.Enum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Format(str, enum.Enum):
    """What is printed."""

    table = "table"
    json = "json"


ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="What to start from: a model's name ([bold]grmp models[/]), a checkpoint file, or a CLIP of "
        "open_clip such as ViT-B-16-quickgelu. [dim]default: grmp_iqa-tiny[/]",
        show_default=False,
    ),
]
SeedOption = Annotated[int | None, typer.Option(min=0, help="Of all that is random.", show_default="0")]
DeviceOption = Annotated[Device, typer.Option(help="auto: CUDA if there is any, else the CPU.")]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="Settings from a YAML file, or from one that is shipped, such as paper/livec; what it leaves "
        "out is as without it, and options beside it go first.",
        show_default=False,
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on where the same command was interrupted; needs --out.")
]
TensorBoardOption = Annotated[
    Path | None,
    typer.Option("--tensorboard", help="Log every step to this folder for TensorBoard.", show_default=False),
]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="What is printed.")]
RowsFormatOption = Annotated[
    RowsFormat | None, typer.Option("--format", "-f", help="What is printed; table unless --out is given.")
]
ReportOption = Annotated[
    Path | None,
    typer.Option("--report", help="A page with charts and images, one .html file.", show_default=False),
]
DataRootOption = Annotated[
    Path, typer.Option(help="Folder of pyiqa's data sets, where they are downloaded to.", show_default=True)
]
DATA_ROOT = Path("datasets")
# Configurations inside this package, by the command that takes them.
SHIPPED = {
    "adapt": ("tiny/adapt", "paper/livec", "paper/koniq"),
    "pretrain": ("tiny/pretrain", "paper/pretrain"),
}


def check_checkpoint_out(out: Path | None, resume: bool) -> None:
    """Refuse an --out that could not be written in the end, before any work is done.

    Raises:
        InputError: for another extension than .safetensors, a missing folder, or --resume without --out.
    """
    if out is None:
        if resume:
            raise InputError("--resume goes on from the state that is kept beside --out FILE: name that file")
        return
    if out.suffix != ".safetensors" and not out.is_dir():
        raise InputError(
            f"--out {out}: checkpoints are written as .safetensors; call it {out.stem}.safetensors"
        )
    check_place(out)
    state = state_file(out)
    if resume and not state.exists() and out.exists():
        raise InputError(f"there is nothing to resume: {out} is already there, and complete")
    if not resume and state.exists():
        note(f"starting anew: the state of an interrupted run, {state}, will be replaced")


def with_options(settings: T, **given: Any) -> T:
    """Settings with what was given on the command line; None stands for what was not given.

    Raises:
        InputError: when a value cannot be used.
    """
    try:
        return dataclasses.replace(
            settings, **{name: value for name, value in given.items() if value is not None}
        )
    except ConfigError as problem:
        raise InputError(str(problem)) from problem


def config_files(command: str, config: str | None, start: "Checkpoint") -> list[Path]:
    """The settings' files, the later ones going first: those measured for the backbone, then the user's.

    Without any, the settings are the paper's.
    """
    files = []
    if start.config.backbone.name == _TINY:
        files.append(find_config(f"tiny/{command}", command))
    if config is not None:
        files.append(find_config(config, command))
    return files


def leave_interrupted(stopped: Exception, out: Path | None) -> NoReturn:
    """End after Ctrl-C, and say how to go on."""
    kept = out is not None and state_file(out).exists()
    error(f"{stopped}. " + ("Go on with the same command and --resume" if kept else "Nothing was kept"))
    sys.exit(_INTERRUPTED)


def state_file(out: Path) -> Path:
    """Where the state of a training is kept until it is done."""
    return out.with_name(f"{out.name}.state")


def pick_training_device(device: Device) -> str:
    """`cpu` or `cuda`; raises InputError where there is no CUDA."""
    import torch

    if device is Device.cuda and not torch.cuda.is_available():
        raise InputError("there is no CUDA device here: use --device cpu")
    return "cuda" if device is not Device.cpu and torch.cuda.is_available() else "cpu"


def find_config(name: str, command: str) -> Path:
    """A configuration file by path, or by the name of one that is shipped.

    Args:
        name: as it was typed.
        command: which one it is for.

    Raises:
        InputError: when it is neither.
    """
    import difflib
    from importlib.resources import files

    path = Path(name).expanduser()
    if path.is_file():
        return path
    known = SHIPPED[command]
    if name.removesuffix(".yml") in known:
        return Path(str(files("grmp_configs"))) / f"{name.removesuffix('.yml')}.yml"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    raise InputError(f"--config {name}: no such file. {hint}Shipped for {command}: {', '.join(known)}")
