"""Where a training writes its checkpoint, and the state from which it can be resumed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from grmp_plugin.errors import InputError, TrainingError
from grmp_plugin.files import sha256
from grmp_plugin.notes import Note
from grmp_plugin.tables import check_file_path, check_not_input

if TYPE_CHECKING:
    from grmp_plugin.network.checkpoint import Checkpoint

SUFFIX = ".safetensors"


def state_file(out: Path) -> Path:
    """The file that holds the state until the training is complete."""
    return out.with_name(f"{out.name}.state")


def check_checkpoint_path(path: str | os.PathLike[str], argument: str) -> Path:
    """Check that a checkpoint can be written to a path, before any work is done.

    Args:
        path: A .safetensors file.
        argument: Name of the argument that gave the path, for messages.

    Raises:
        InputError: For another extension, a folder, or a folder that is missing or not writable.
    """
    file = Path(path)
    if file.suffix != SUFFIX and not file.is_dir():
        raise InputError(
            f"{file}: checkpoints are {SUFFIX} files; call it {file.stem}{SUFFIX}", argument=argument
        )
    return check_file_path(file, argument)


def check_no_input(out: Path | None, *inputs: object) -> None:
    """Check that a checkpoint does not replace what the training reads.

    Args:
        out: File for the checkpoint; None: none is written.
        inputs: Models, weights and data as the caller gave them; those that are no paths cannot be replaced.

    Raises:
        InputError: When one of them is the file.
    """
    check_not_input(out, [one for one in inputs if isinstance(one, str | os.PathLike)], "out")


def check_out(out: str | os.PathLike[str] | None, resume: bool) -> tuple[Path | None, list[Note]]:
    """Check where a training is to write its checkpoint, and whether it can be resumed.

    Returns:
        The path, and a note when a checkpoint, or the state of an interrupted run, will be replaced.

    Raises:
        InputError: As `check_checkpoint_path`; or when there is nothing to resume.
    """
    if out is None:
        if resume:
            raise InputError(
                "the state of a run is kept beside its output file, and none is named",
                argument="resume",
                see=("out",),
            )
        return None, []
    file = check_checkpoint_path(out, "out")
    state = state_file(file)
    if resume and not state.exists() and file.exists():
        raise InputError(f"there is nothing to resume: {file} is complete", argument="resume")
    if not resume and state.exists():
        return file, [Note(f"{state}, the state of an interrupted run, will be replaced", see=("resume",))]
    return file, [Note(f"{file} exists and will be replaced")] if file.exists() else []


def save_checkpoint(checkpoint: "Checkpoint", file: Path) -> str:
    """Write a checkpoint, complete or not at all.

    Args:
        checkpoint: What to write.
        file: A .safetensors file.

    Returns:
        SHA-256 of the file.

    Raises:
        TrainingError: When it cannot be written, such as on a full disk.
    """
    # Not before: the checks above come before the import of torch.
    from safetensors import SafetensorError

    from grmp_plugin.network.checkpoint import write_checkpoint

    try:
        write_checkpoint(checkpoint, file)
        return sha256(file)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        state = " The state of the run is kept" if state_file(file).is_file() else ""
        raise TrainingError(
            f"cannot write the model: {file}: {reason}.{state}", see=("resume",) if state else ()
        ) from error


def check_written(file: Path, digest: str | None) -> None:
    """Check that a resumed run finds the checkpoint that it wrote before the interruption.

    Args:
        file: The checkpoint.
        digest: Its SHA-256, as the state records it.

    Raises:
        TrainingError: When the file is missing or another one.
    """
    problem = "is missing" if not file.is_file() else None if sha256(file) == digest else "has changed since"
    if problem is not None:
        raise TrainingError(
            f"{file}, which this run wrote after its first split, {problem}; put it back, or start without "
            "resuming",
            argument="resume",
        )
