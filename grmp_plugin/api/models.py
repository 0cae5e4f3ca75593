"""The network that a caller means: by name, checkpoint file, or an object that holds it."""

import os
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.models import weights_digest


@runtime_checkable
class HasCheckpoint(Protocol):
    """A result that holds a trained network, as `adapt` and `pretrain` return it."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The network."""


Model = str | os.PathLike[str] | Checkpoint | GRMPIQA | HasCheckpoint


@dataclass(frozen=True)
class LoadedModel:
    """A network and where it came from.

    Attributes:
        network: In evaluation mode.
        name: As the caller named it, or the source of the object that was given.
        weights_sha256: Digest of the file; None for an object in memory.
    """

    network: GRMPIQA
    name: str
    weights_sha256: str | None


def load(model: Model = "grmp_iqa-tiny") -> GRMPIQA:
    """Load a network, ready to score tensors.

    Args:
        model: A model name (`grmp_iqa-tiny`, `grmp_iqa`), a checkpoint file, or what `adapt` or `pretrain`
            returned.

    Returns:
        A `torch.nn.Module` in evaluation mode: images (N, 3, H, W), RGB in [0, 1], to quality (N, 1) in
        [0, 1].

    Raises:
        InputError: For an unknown name or a missing file.
        CheckpointError: When the file is damaged, unsafe or does not fit.
        WeightsUnavailableError: When the weights would have to be downloaded and cannot be.
    """
    return load_model(model).network


def load_model(model: Model) -> LoadedModel:
    """As `load`, with the name and digest for a run's record."""
    if isinstance(model, GRMPIQA):
        return LoadedModel(model, "network in memory", None)
    if isinstance(model, HasCheckpoint):
        model = model.checkpoint
    if isinstance(model, Checkpoint):
        return LoadedModel(GRMPIQA(model), model.source, None)
    name = os.fspath(model)
    return LoadedModel(GRMPIQA(name), name, weights_digest(name))
