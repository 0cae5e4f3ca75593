"""Options and small helpers that the training commands share."""

import dataclasses
import enum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from grmp_plugin.errors import ConfigError, InputError

from .output import check_place

T = TypeVar("T", bound=Any)


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
        help="Settings from a YAML file, or from one that is shipped, such as paper/livec; options given "
        "beside it go first.",
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
DataRootOption = Annotated[
    Path, typer.Option(help="Folder of pyiqa's data sets, where they are downloaded to.", show_default=True)
]
DATA_ROOT = Path("datasets")


def check_checkpoint_out(out: Path | None, resume: bool) -> None:
    """Refuse an --out that could not be written in the end, before any work is done.

    Raises:
        InputError: for another extension than .safetensors, a missing folder, or --resume without --out.
    """
    if out is None:
        if resume:
            raise InputError("--resume goes on from the state that is kept beside --out FILE: name that file")
        return
    if out.suffix != ".safetensors":
        raise InputError(
            f"--out {out}: checkpoints are written as .safetensors; call it {out.stem}.safetensors"
        )
    check_place(out)


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


def state_file(out: Path) -> Path:
    """Where the state of a training is kept until it is done."""
    return out.with_name(f"{out.name}.state")


def pick_training_device(device: Device) -> str:
    """`cpu` or `cuda`; raises InputError where there is no CUDA."""
    import torch

    if device is Device.cuda and not torch.cuda.is_available():
        raise InputError("there is no CUDA device here: use --device cpu")
    return "cuda" if device is not Device.cpu and torch.cuda.is_available() else "cpu"


def find_config(name: str) -> Path:
    """A configuration file by path, or by the name of one that is shipped.

    Raises:
        InputError: when it is neither.
    """
    from importlib.resources import files

    path = Path(name).expanduser()
    if path.is_file():
        return path
    shipped = Path(str(files("grmp_configs")))
    for candidate in (shipped / f"{name}.yml", shipped / name):
        if candidate.is_file():
            return candidate
    known = sorted(str(p.relative_to(shipped).with_suffix("")) for p in shipped.glob("*/*.yml"))
    raise InputError(f"--config {name}: no such file. Shipped: {', '.join(known)}")
