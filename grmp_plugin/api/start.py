"""The model that a training starts from: by name, checkpoint file, or an object that holds it."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from grmp_plugin.api.models import HasCheckpoint, Model
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.start import start_digest, starting_checkpoint


@dataclass(frozen=True)
class Start:
    """The start of a training.

    Attributes:
        checkpoint: Its configuration and tensors.
        sha256: Digest of the weights file, or of the tensors of an object in memory; None for a CLIP of
            open_clip.
    """

    checkpoint: Checkpoint
    sha256: str | None


def find_start(model: Model, seed: int) -> Start:
    """The start that a caller means.

    Args:
        model: A model name, a checkpoint file, a model of open_clip such as `ViT-B-16-quickgelu`, or an
            object that holds a network.
        seed: Random seed of new prompts, for a model of open_clip.

    Raises:
        InputError: For an unknown name or a missing file.
        BackboneError: For a model of open_clip that is not supported.
        CheckpointError: When a file is damaged, unsafe or does not fit.
        WeightsUnavailableError: When weights would have to be downloaded and cannot be.
    """
    if isinstance(model, HasCheckpoint):
        model = model.checkpoint
    if isinstance(model, GRMPIQA):
        model = Checkpoint(model.config, model.state_dict(), model.info, "network in memory")
    if isinstance(model, Checkpoint):
        return Start(model, _digest(model.tensors))
    name = os.fspath(model)
    return Start(starting_checkpoint(name, seed), start_digest(name))


def _digest(tensors: Mapping[str, Tensor]) -> str:
    content = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        content.update(tensor.numpy().tobytes())
    return content.hexdigest()
