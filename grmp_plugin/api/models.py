"""The network that a caller means, by name, checkpoint file or an object that holds it, and its facts."""

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from grmp_plugin.config import to_dict
from grmp_plugin.files import given_path
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.models import DEFAULT_MODEL, MODELS, find_checkpoint, weights_digest


@runtime_checkable
class HasCheckpoint(Protocol):
    """A result that holds a trained network, as `adapt` and `pretrain` return it."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The network."""


Model = str | os.PathLike[str] | Checkpoint | GRMPIQA | HasCheckpoint
MODEL_IN_WORDS = "a model name, a checkpoint file, or what adapt, pretrain or load returned"


@dataclass(frozen=True)
class LoadedModel:
    """A network and where it came from.

    Attributes:
        network: In evaluation mode; not shared with the caller's object.
        name: As the caller named it, or the source of the object that was given.
        weights_sha256: Digest of the file; None for an object in memory.
    """

    network: GRMPIQA
    name: str
    weights_sha256: str | None


@dataclass(frozen=True)
class NamedModel:
    """A model that is known by name.

    Attributes:
        model: Its name.
        default: Whether commands and functions use it by default.
        backbone: The CLIP that it is built on.
        megabytes: Size of the file, 10^6 bytes; None before the first download.
        here: Whether the file is on this machine.
        file: Where the file is; None before the first download.
        source: Where the file comes from.
        licence: Licence of the weights.
        trained_on: Training data, in words.
    """

    model: str
    default: bool
    backbone: str
    megabytes: float | None
    here: bool
    file: str | None
    source: str
    licence: str
    trained_on: str


@dataclass(frozen=True)
class ModelFacts:
    """Contents and history of a checkpoint file.

    Attributes:
        file: The file.
        megabytes: Its size, 10^6 bytes.
        sha256: Its digest.
        tensors: How many it holds.
        parameters: How many numbers these hold in all.
        info: History: licence, training data, MOS scale, metrics.
        config: What the network computes, as plain data.
    """

    file: str
    megabytes: float
    sha256: str
    tensors: int
    parameters: int
    info: Mapping[str, Any]
    config: Mapping[str, Any]


def load(model: Model = DEFAULT_MODEL) -> GRMPIQA:
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
        # Whoever scores with it moves it to a device and casts it.
        return LoadedModel(copy.deepcopy(model).eval(), "network in memory", None)
    if isinstance(model, HasCheckpoint):
        model = model.checkpoint
    if isinstance(model, Checkpoint):
        return LoadedModel(GRMPIQA(model), model.source, None)
    name = given_path(model, MODEL_IN_WORDS, "model")
    return LoadedModel(GRMPIQA(name), name, weights_digest(name))


def named_models() -> list[NamedModel]:
    """The models that are known by name; nothing is downloaded."""
    found = []
    for model in MODELS.values():
        path = model.path
        found.append(
            NamedModel(
                model=model.name,
                default=model.name == DEFAULT_MODEL,
                backbone=model.backbone,
                megabytes=_megabytes(path) if path else None,
                here=path is not None,
                file=str(path) if path else None,
                source=model.remote.url if model.remote else "inside this package",
                licence=model.licence,
                trained_on=model.trained_on,
            )
        )
    return found


def model_facts(model: str | os.PathLike[str]) -> ModelFacts:
    """Read what a checkpoint file says about itself.

    Args:
        model: A model name or a checkpoint file.

    Raises:
        InputError, CheckpointError, WeightsUnavailableError: As for `load`.
    """
    name = os.fspath(model)
    checkpoint = find_checkpoint(name)
    return ModelFacts(
        file=checkpoint.source,
        megabytes=_megabytes(Path(checkpoint.source)),
        sha256=weights_digest(name),
        tensors=len(checkpoint.tensors),
        parameters=sum(tensor.numel() for tensor in checkpoint.tensors.values()),
        info=dict(checkpoint.info),
        config=to_dict(checkpoint.config),
    )


def training_data(name: str) -> str | None:
    """What a named model was trained on, in words; None for other models."""
    return MODELS[name].trained_on if name in MODELS else None


def _megabytes(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 1)
