"""Reading named tensors from files, without running code that a file may contain."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from grmp_plugin.errors import CheckpointError

# Keys under which training frameworks store a state dict; `params` is pyiqa's.
_WRAPPERS = ("state_dict", "params", "model_state_dict", "model")


def is_safetensors(path: Path) -> bool:
    """Whether the file is in the safetensors format, judged by its first bytes, not by its name."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; empty if it has none.

    Raises:
        CheckpointError: When the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise _damaged(path, error) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All named tensors of a safetensors or PyTorch file, on the CPU.

    A wrapper such as `{'state_dict': ...}` is removed, and DataParallel's prefix `module.` of the names.

    Raises:
        CheckpointError: When the file is missing, damaged, or holds anything but tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"no such file: {path}")
    tensors = _read_safetensors(path) if is_safetensors(path) else _read_torch(path)
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        # PyTorch writes zip archives; older versions wrote plain pickles.
        if not file.read(2).startswith((b"PK", b"\x80")):
            raise _damaged(path, ValueError("its first bytes match neither"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch asks users to report files that it rightly refuses
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds Python objects, such as a whole pickled module, and not only tensors. Loading it "
            "would run code from the file, so it is refused. If you trust it, load it in the program that "
            "wrote it and save `module.state_dict()` instead"
        ) from error
    except Exception as error:
        if _is_torchscript(path):
            raise CheckpointError(
                f"{path} is a TorchScript archive, which contains code; save its state_dict() instead"
            ) from error
        raise _damaged(path, error) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not isinstance(content, dict) or not content:
        raise CheckpointError(
            f"{path}: expected named tensors (a state dict), found {type(content).__name__}"
        )
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(f"{path}: expected only tensors; these are not: {', '.join(others[:5])}")
    return {str(name): value for name, value in content.items()}


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _damaged(path: Path, error: Exception) -> CheckpointError:
    what = str(error).strip().splitlines()
    return CheckpointError(
        f"{path} is not a readable checkpoint (safetensors, or PyTorch's own format): "
        f"{what[0][:200] if what else type(error).__name__}"
    )
