"""Reading named tensors from files, without running code that a file may contain."""

import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from grmp_plugin.errors import CheckpointError
from grmp_plugin.network.torchscript import is_torchscript, read_torchscript
from grmp_plugin.plain_data import shown

# Keys under which training frameworks store a state dict; `params` is pyiqa's.
_WRAPPERS = ("state_dict", "params", "model_state_dict", "model")
_DEEPEST_WRAPPER = 3

# Weights are below a hundred. Larger ones than this come from flipped bits, and overflow when squared twice.
_LARGEST = 1e9

# Limits far above what any CLIP needs, so that no file keeps the program busy or fills the memory.
_MOST_TENSORS = 20_000
_MOST_HEADER_BYTES = 32 << 20  # of safetensors: names, shapes, metadata
_MOST_PICKLED_BYTES = 4 << 20  # names and shapes; the numbers are stored beside the pickle
_MOST_OPCODES = 1_000_000
_MOST_BYTES = 64 << 30
_MOST_UNPACKED = 4  # bytes in memory for each byte of the file...
_ALWAYS_UNPACKED = 4 << 30  # ... but at least so many


class NamedTensors(NamedTuple):
    """The content of a file.

    Attributes:
        tensors: By name; `module.` of DataParallel is removed.
        others: Names of the entries beside them that are no tensors.
        torchscript: Whether the file is a TorchScript archive.
    """

    tensors: dict[str, Tensor]
    others: tuple[str, ...] = ()
    torchscript: bool = False


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
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    # safetensors passes on errors of several libraries.
    except Exception as error:
        raise _damaged(path, error) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """As `read_named`, of a file that holds tensors only.

    Raises:
        CheckpointError: As `read_named`, or when the file holds anything but tensors.
    """
    named = read_named(path)
    if named.others:
        raise CheckpointError(
            f"{path}: expected only tensors; these are not: {', '.join(map(shown, named.others[:5]))}"
        )
    return named.tensors


def read_named(path: Path) -> NamedTensors:
    """All named tensors of a safetensors, PyTorch or TorchScript file, on the CPU.

    A wrapper such as `{'state_dict': ...}` is removed, and DataParallel's prefix `module.` of the names.

    Raises:
        CheckpointError: When the file is missing or damaged, holds no named tensors, or tensors that are
            complex, sparse or quantized.
    """
    if not path.is_file():
        raise CheckpointError(f"no such file: {path}")
    try:
        named = _read_safetensors(path) if is_safetensors(path) else _read_torch(path)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    _check_kinds(named.tensors, path)
    if all(name.startswith("module.") for name in named.tensors):
        stripped = {name.removeprefix("module."): tensor for name, tensor in named.tensors.items()}
        named = named._replace(tensors=stripped)
    return named


def check_finite(tensors: Mapping[str, Tensor], source: object) -> None:
    """Check that all numbers are finite, and of a size with which a network can compute in float32.

    Args:
        tensors: Dense tensors.
        source: The file, for messages.

    Raises:
        CheckpointError: For NaN, infinity, or a number beyond `_LARGEST`; it names the tensor.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        low, high = tensor.float().aminmax()  # NaN if any number is
        if low >= -_LARGEST and high <= _LARGEST:
            continue
        wrong = int((~(tensor.float().abs() <= _LARGEST)).sum())
        raise CheckpointError(
            f"{source}: the tensor {shown(name)} holds {wrong} values (of {tensor.numel()}) that are NaN, "
            f"infinite or beyond {_LARGEST:.0e}. The file is damaged, or its training diverged: use another "
            "checkpoint"
        )


def _check_kinds(tensors: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        kinds = {
            "complex": tensor.is_complex(),
            "sparse": tensor.layout != torch.strided,
            "quantized": tensor.is_quantized,
            "without values": tensor.is_meta,
        }
        found = next((kind for kind, applies in kinds.items() if applies), None)
        if found is not None:
            raise CheckpointError(f"{path}: the tensor {shown(name)} is {found}; expected dense real numbers")
    # Tensors may repeat one stored number, so that a small file stands for any amount of memory.
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > min(max(_MOST_UNPACKED * path.stat().st_size, _ALWAYS_UNPACKED), _MOST_BYTES):
        raise CheckpointError(f"{path}: its tensors would fill {size / 1e9:.1f} GB of memory")


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > _MOST_HEADER_BYTES:
        raise _damaged(path, ValueError(f"a header of {size} bytes"))


def _read_safetensors(path: Path) -> NamedTensors:
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if len(names) > _MOST_TENSORS:
                raise ValueError(f"{len(names)} tensors")
            return NamedTensors({name: file.get_tensor(name) for name in names})
    # safetensors passes on errors of several libraries.
    except Exception as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path) -> NamedTensors:
    with path.open("rb") as file:
        head = file.read(2)
    # PyTorch writes zip archives; older versions wrote plain pickles.
    if head == b"PK":
        if _check_archive(path):
            return _read_torchscript(path)
    elif head[:1] == b"\x80":
        _check_pickles(path)
    else:
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
        raise _damaged(path, error) from error
    return _named_tensors(content, path)


def _read_torchscript(path: Path) -> NamedTensors:
    try:
        tensors = read_torchscript(path)
    # Whatever a damaged pickle leads to.
    except Exception as error:
        raise CheckpointError(
            f"{path} is a TorchScript archive, and its tensors cannot be read without running its code: "
            f"{_first_line(error)}. Save its state_dict() instead"
        ) from error
    if not tensors:
        raise CheckpointError(f"{path}: a TorchScript archive without tensors")
    return NamedTensors(tensors, torchscript=True)


def _named_tensors(content: Any, path: Path) -> NamedTensors:
    """The state dict in the content of a file."""
    for _ in range(_DEEPEST_WRAPPER):
        wrapper = _wrapper(content)
        if wrapper is None:
            break
        content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            f"{path}: expected named tensors (a state dict), found {type(content).__name__}"
        )
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    others = tuple(str(name) for name, value in content.items() if not isinstance(value, Tensor))
    if not tensors or len(content) > _MOST_TENSORS:
        raise CheckpointError(
            f"{path}: expected named tensors (a state dict), found {len(content)} entries such as "
            f"{', '.join(map(shown, islice(content, 5)))}"
        )
    return NamedTensors(tensors, others)


def _wrapper(content: Any) -> Any:
    """The key under which a state dict lies; None if the content has none."""
    if not isinstance(content, Mapping):
        return None
    known = [key for key in _WRAPPERS if isinstance(content.get(key), Mapping)]
    if known or any(isinstance(value, Tensor) for value in content.values()):
        return known[0] if known else None
    # Under a key of its own, and only one can be meant.
    wrapped = [key for key, value in content.items() if _wraps_tensors(value, 1)]
    return wrapped[0] if len(wrapped) == 1 else None


def _wraps_tensors(value: Any, depth: int) -> bool:
    """Whether there are tensors under names; an optimizer numbers its parameters."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    inside = value.values()
    return any(isinstance(item, Tensor) for item in inside) or (
        depth < _DEEPEST_WRAPPER and any(_wraps_tensors(item, depth + 1) for item in inside)
    )


def _check_archive(path: Path) -> bool:
    """Check the sizes that a zip archive declares; return whether it is TorchScript.

    PyTorch stores tensors as they are; other programs can compress gigabytes to a small file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
            torchscript = is_torchscript(archive)
    # zipfile also raises NotImplementedError and struct.error.
    except Exception as error:
        raise _damaged(path, error) from error
    unpacked = sum(file.file_size for file in files)
    if unpacked > 2 * path.stat().st_size:
        raise _damaged(path, ValueError(f"compressed, it would unpack to {unpacked / 1e9:.1f} GB"))
    pickled = sum(file.file_size for file in files if file.filename.endswith(".pkl"))
    if pickled > _MOST_PICKLED_BYTES or len(files) > 2 * _MOST_TENSORS:
        raise _damaged(path, ValueError(f"{len(files)} files, {pickled} bytes of pickles"))
    return torchscript


def _check_pickles(path: Path) -> None:
    """Count the opcodes of a file of the old format: torch executes them one by one, in Python."""
    budget = _MOST_OPCODES
    with path.open("rb") as file:
        try:
            for _ in range(5):  # magic number, version, system, names and shapes, list of storages
                for _ in islice(pickletools.genops(file), budget + 1):
                    budget -= 1
                if budget < 0:
                    break
        except Exception:  # not of this format or damaged, which torch says
            return
    if budget < 0:
        raise _damaged(path, ValueError(f"more than {_MOST_OPCODES} steps to unpickle"))


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a readable checkpoint (safetensors, or PyTorch's own format): {_first_line(error)}"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
