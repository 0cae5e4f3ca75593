"""Tensors of a TorchScript archive, such as OpenAI's CLIP files, without running code from it.

An archive is a zip file: `data.pkl` is a pickled tree of modules, whose tensors refer to the files below
`data/`. Here, modules become objects without behaviour and tensors become descriptions; any other class or
function in the pickle is an error.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

_DTYPES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_DEEPEST = 32  # modules within modules


class _Storage(NamedTuple):
    """A file below `data/`, and the type of its numbers."""

    key: str
    dtype: torch.dtype


class _Description(NamedTuple):
    """A tensor that has not been read yet."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Module:
    """A module: its attributes and nothing else."""

    def __new__(cls, *arguments: Any) -> "_Module":
        """Ignore arguments."""
        return super().__new__(cls)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a class or function of the archive."""
        if module.startswith("__torch__"):
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _describe
        if module == "torch" and name in _DTYPES:
            return name
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name in ("build_intlist", "build_doublelist", "build_boollist"):
            return list
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no CLIP needs")

    def persistent_load(self, identifier: Any) -> _Storage:
        """The description of a storage."""
        kind, dtype, key, *_ = identifier
        if kind != "storage" or dtype not in _DTYPES or not isinstance(key, str):
            raise pickle.UnpicklingError("it refers to something other than a storage")
        return _Storage(key, _DTYPES[dtype])


def is_torchscript(archive: zipfile.ZipFile) -> bool:
    """Whether a zip file is a TorchScript archive."""
    return any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """All parameters, buffers and other tensors of the modules, by their dotted names, on the CPU.

    Raises:
        Exception: Of many kinds, when the archive is damaged or holds something else.
    """
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (
            name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")
        )
        root = _Unpickler(io.BytesIO(archive.read(pickled))).load()
        folder = pickled.removesuffix("data.pkl")
        storages: dict[_Storage, torch.UntypedStorage] = {}
        return {
            name: _materialize(description, archive, folder, storages)
            for name, description in _named(root, "", 0)
        }


def _describe(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _Description:
    return _Description(storage, offset, tuple(size), tuple(stride))


def _named(module: Any, prefix: str, depth: int) -> Iterator[tuple[str, _Description]]:
    if not isinstance(module, _Module) or depth > _DEEPEST:
        raise pickle.UnpicklingError("it holds something other than modules and tensors")
    for name, value in vars(module).items():
        if isinstance(value, _Description):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Module):
            yield from _named(value, f"{prefix}{name}.", depth + 1)


def _materialize(
    description: _Description,
    archive: zipfile.ZipFile,
    folder: str,
    storages: dict[_Storage, torch.UntypedStorage],
) -> Tensor:
    storage = description.storage
    if storage not in storages:
        content = bytearray(archive.read(f"{folder}data/{storage.key}"))
        storages[storage] = torch.frombuffer(content, dtype=torch.uint8).untyped_storage()
    empty = torch.empty(0, dtype=storage.dtype)
    # Checks that size and stride lie within the storage.
    return empty.set_(storages[storage], description.offset, description.size, description.stride)
