"""Checkpoints: safetensors with the network's configuration and history in their metadata.

A checkpoint holds either every tensor of the network, or only those that differ from a backbone that can be
downloaded again (an open_clip weights tag). The authors' files are converted when read.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from grmp_plugin.config import NetworkConfig, from_dict, to_dict
from grmp_plugin.errors import CheckpointError, ConfigError
from grmp_plugin.files import atomic_write
from grmp_plugin.network import authors
from grmp_plugin.network.clip import backbone_tensors
from grmp_plugin.network.tensors import is_safetensors, read_metadata, read_tensors

FORMAT = "grmp-iqa/1"
_CLIP = "clip."


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
    if is_safetensors(file):
        metadata = read_metadata(file)
        if "grmp_format" in metadata:
            return _from_own(file, metadata)
    tensors = read_tensors(file)
    if not authors.is_authors(tensors):
        raise CheckpointError(
            f"{file} is neither a checkpoint of this project nor of the GRMP-IQA authors: it holds "
            f"{len(tensors)} tensors such as {', '.join(sorted(tensors)[:3])}"
        )
    config, converted, info = authors.convert(tensors, str(file))
    return Checkpoint(config, converted, info, str(file))


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
        "info": json.dumps(dict(checkpoint.info), sort_keys=True),
    }
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata)


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
    missing = expected.keys() - tensors.keys()
    if missing and all(name.startswith(_CLIP) for name in missing) and checkpoint.config.backbone.weights:
        for name, tensor in backbone_tensors(checkpoint.config.backbone).items():
            tensors.setdefault(_CLIP + name, tensor)
    _check_fit(tensors, expected, checkpoint.source)
    return {
        name: t.to(torch.float32, copy=True) if t.is_floating_point() else t.clone()
        for name, t in tensors.items()
    }


def _check_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> None:
    shared = tensors.keys() & expected.keys()
    misshapen = [
        f"{name} is {_shape(tensors[name])}, expected {_shape(expected[name])}"
        for name in sorted(shared)
        if tensors[name].shape != expected[name].shape
    ]
    problems = [
        # Our own tensors first: all of the backbone's may be missing, too.
        ("missing", sorted(expected.keys() - shared, key=lambda name: (name.startswith(_CLIP), name))),
        ("unexpected", sorted(tensors.keys() - shared)),
        ("of the wrong shape", misshapen),
    ]
    found = [
        f"{len(names)} tensor{'' if len(names) == 1 else 's'} {what}: {', '.join(names[:5])}"
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
            f"{file} has format '{metadata['grmp_format']}', but this version reads '{FORMAT}': it was "
            "written by a newer version of grmp-iqa (pip install --upgrade grmp-iqa)"
        )
    try:
        config = from_dict(NetworkConfig, json.loads(metadata["config"]), str(file))
        info = json.loads(metadata["info"])
    except (KeyError, ValueError, ConfigError) as error:
        raise CheckpointError(f"{file}: unreadable metadata: {error}") from error
    return Checkpoint(config, read_tensors(file), info, str(file))
