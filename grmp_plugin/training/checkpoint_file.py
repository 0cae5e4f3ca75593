"""Where a training writes its checkpoint, and the state from which it can be resumed."""

import os
from pathlib import Path

from grmp_plugin.errors import InputError
from grmp_plugin.notes import Note
from grmp_plugin.tables import check_file_path

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


def check_out(out: str | os.PathLike[str] | None, resume: bool) -> tuple[Path | None, list[Note]]:
    """Check where a training is to write its checkpoint, and whether it can be resumed.

    Returns:
        The path, and a note when the state of an interrupted run will be replaced.

    Raises:
        InputError: As `check_checkpoint_path`; or when there is nothing to resume.
    """
    if out is None:
        if resume:
            raise InputError(
                "the state of a run is kept beside its output file; name that file",
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
    return file, []
