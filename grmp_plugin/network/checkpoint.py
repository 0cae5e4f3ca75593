"""Checkpoints: safetensors with the network's configuration and history in their metadata.

A checkpoint holds either every tensor of the network, or only those that differ from a backbone that can be
downloaded again (an open_clip weights tag). The authors' files are converted when read.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import save_file
from torch import Tensor

from grmp_plugin.config import NetworkConfig, from_dict, to_dict
from grmp_plugin.errors import CheckpointError, ConfigError, GRMPError
from grmp_plugin.files import atomic_write
from grmp_plugin.network import authors
from grmp_plugin.network.backbone import backbone_tensors
from grmp_plugin.network.tensors import (
    NamedTensors,
    check_finite,
    is_safetensors,
    read_metadata,
    read_named,
    read_tensors,
)
from grmp_plugin.plain_data import read_json, shown
from grmp_plugin.printable import printable
from grmp_plugin.tables import without_nan

FORMAT = "grmp-iqa/1"
_CLIP = "clip."
_SCALE = "clip.logit_scale"
_LARGEST_SCALE = 80.0  # the logarithm of the largest float32 is 88; CLIP's training stops at 4.6


@dataclass(frozen=True)
class Checkpoint:
    """Configuration, tensors and history of a network.

    Attributes:
        config: What the network computes.
        tensors: By their names in `GRMPIQA.state_dict()`.
        info: History: licence, data set, seed, MOS scale, metrics.
        source: Where it came from, for messages.
    """

    config: NetworkConfig
    tensors: Mapping[str, Tensor]
    info: Mapping[str, Any] = field(default_factory=dict)
    source: str = "a new network"


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint of this project or of the authors.

    Raises:
        CheckpointError: When the file is missing, damaged, unsafe, of a later format or of another project.
    """
    file = Path(path)
    if file.is_dir():
        raise CheckpointError(f"{file} is a folder; name the checkpoint file in it")
    if not file.is_file():
        raise CheckpointError(f"no such checkpoint: {file}")
    try:
        if is_safetensors(file):
            metadata = read_metadata(file)
            if "grmp_format" in metadata:
                return _from_own(file, metadata)
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror or error}") from error
    named = read_named(file)
    tensors = authors.without_prefix(named.tensors)
    if not authors.is_authors(tensors):
        _refuse_foreign(named, file)
    check_finite(tensors, file)
    config, converted, info = authors.convert(tensors, str(file))
    if named.others:
        info["not_read"] = list(named.others)
    return Checkpoint(config, converted, info, str(file))


def read_info(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """The history in a checkpoint of this project, without its tensors; empty for any other file.

    Raises:
        CheckpointError: When the file or its metadata are damaged.
    """
    file = Path(path)
    try:
        metadata = read_metadata(file) if file.is_file() and is_safetensors(file) else {}
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror or error}") from error
    return _info(file, metadata) if "grmp_format" in metadata else {}


def write_checkpoint(checkpoint: Checkpoint, path: str | os.PathLike[str], *, half: bool = False) -> None:
    """Write a checkpoint; an existing file is replaced only when the new one is complete.

    Args:
        checkpoint: What to write.
        path: The file.
        half: Store floating-point tensors in half precision; they are read back as float32.
    """
    tensors = {
        name: (t.half() if half and t.is_floating_point() else t).detach().cpu().contiguous().clone()
        for name, t in checkpoint.tensors.items()
    }
    metadata = {
        "grmp_format": FORMAT,
        "config": json.dumps(to_dict(checkpoint.config), sort_keys=True),
        "info": json.dumps(without_nan(dict(checkpoint.info)), sort_keys=True, allow_nan=False),
    }
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata)
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """Bring the metadata, which safetensors writes in random order, into one order: equal files are equal."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) > size:
            raise ValueError(f"{path}: the sorted header does not fit")
        file.seek(8)
        file.write(text.ljust(size))


def complete_tensors(checkpoint: Checkpoint, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors that a network needs: the checkpoint's own, the rest from its backbone.

    Args:
        checkpoint: As read.
        expected: Names and shapes, from the network.

    Returns:
        Copies: floating-point tensors as float32, others unchanged.

    Raises:
        CheckpointError: When tensors are missing, unexpected or misshapen; the message names them.
        BackboneError, WeightsUnavailableError: When the backbone's weights are needed but unavailable.
    """
    tensors = dict(checkpoint.tensors)
    check_finite(tensors, checkpoint.source)
    missing = expected.keys() - tensors.keys()
    if missing and all(name.startswith(_CLIP) for name in missing) and checkpoint.config.backbone.weights:
        for name, tensor in _backbone_of(checkpoint).items():
            tensors.setdefault(_CLIP + name, tensor)
    _check_fit(tensors, expected, checkpoint.source)
    scale = float(tensors[_SCALE].max())
    if scale > _LARGEST_SCALE:
        raise CheckpointError(f"{checkpoint.source}: {_SCALE} is {scale:g}, whose exponential overflows")
    return {
        name: t.to(torch.float32, copy=True) if t.is_floating_point() else t.clone()
        for name, t in tensors.items()
    }


def _backbone_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The tensors of a checkpoint's backbone; errors say which checkpoint needs them."""
    try:
        return backbone_tensors(checkpoint.config.backbone)
    except GRMPError as error:
        message = f"{checkpoint.source} needs the weights of its backbone: {error.message}"
        # Without the hints: who has a finished checkpoint cannot choose its backbone's weights.
        raise type(error)(message) from error


def _check_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> None:
    shared = tensors.keys() & expected.keys()
    misshapen = [
        f"{name} is {_shape(tensors[name])}, expected {_shape(expected[name])}"
        for name in sorted(shared)
        if tensors[name].shape != expected[name].shape
    ]
    unlike = [
        f"{name} is {tensors[name].dtype}, expected {expected[name].dtype}"
        for name in sorted(shared)
        if tensors[name].is_floating_point() != expected[name].is_floating_point()
    ]
    problems = [
        # Our own tensors first: all of the backbone's may be missing, too.
        ("missing", sorted(expected.keys() - shared, key=lambda name: (name.startswith(_CLIP), name))),
        ("unexpected", sorted(tensors.keys() - shared)),
        ("of the wrong shape", misshapen),
        ("of the wrong type", unlike),
    ]
    found = [
        f"{len(names)} tensor{'' if len(names) == 1 else 's'} {what}: {', '.join(map(printable, names[:5]))}"
        f"{', ...' if len(names) > 5 else ''}"
        for what, names in problems
        if names
    ]
    if found:
        raise CheckpointError(f"{source} does not fit the network. {'; '.join(found)}")


def _shape(tensor: Tensor) -> str:
    return "x".join(str(n) for n in tensor.shape) or "a single number"


def _from_own(file: Path, metadata: Mapping[str, str]) -> Checkpoint:
    if metadata["grmp_format"] != FORMAT:
        raise CheckpointError(
            f"{file} has format {shown(metadata['grmp_format'])}, but this version reads '{FORMAT}': it was "
            "written by a newer version of grmp-iqa (pip install --upgrade grmp-iqa)"
        )
    try:
        config = from_dict(
            NetworkConfig, read_json(metadata.get("config", ""), f"{file}: config"), f"{file}: config"
        )
    except ConfigError as error:
        raise CheckpointError(f"unreadable metadata: {error}") from error
    info = _info(file, metadata)
    return Checkpoint(config, read_tensors(file), info, str(file))


def _info(file: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        info = read_json(metadata.get("info", ""), f"{file}: info")
    except ConfigError as error:
        raise CheckpointError(f"unreadable metadata: {error}") from error
    if not isinstance(info, dict):
        raise CheckpointError(f"unreadable metadata: {file}: info: expected a section, found {shown(info)}")
    return info


def _refuse_foreign(named: NamedTensors, file: Path) -> NoReturn:
    if named.others:
        raise CheckpointError(
            f"{file}: expected only tensors; these are not: {', '.join(map(shown, named.others[:5]))}"
        )
    some = ", ".join(printable(name)[:100] for name in sorted(named.tensors)[:3])
    raise CheckpointError(
        f"{file} is neither a checkpoint of this project nor of the GRMP-IQA authors: it holds "
        f"{len(named.tensors)} tensors such as {some}, and not {' and '.join(authors.SIGNS)}"
    )
