"""The model that a training starts from: by name, checkpoint file, or an object that holds it."""

import os
from dataclasses import dataclass

from grmp_plugin.api.models import MODEL_IN_WORDS, HasCheckpoint, Model
from grmp_plugin.config import PromptConfig
from grmp_plugin.errors import BackboneError, ConfigError, InputError
from grmp_plugin.files import given_path
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.digest import network_digest
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.start import start_digest, starting_checkpoint, with_backbone
from grmp_plugin.training.settings import AdaptConfig, PretrainConfig


@dataclass(frozen=True)
class Start:
    """The start of a training.

    Attributes:
        checkpoint: Its configuration and tensors.
        sha256: Digest of the weights file, or of the tensors of an object in memory; None for a CLIP of
            open_clip with weights by tag.
    """

    checkpoint: Checkpoint
    sha256: str | None


def find_start(
    model: Model,
    seed: int,
    backbone_weights: str | os.PathLike[str] | None = None,
    prompts: PromptConfig | None = None,
) -> Start:
    """The start that a caller means.

    Args:
        model: A model name, a checkpoint file, a model of open_clip such as `ViT-B-16-quickgelu`, or an
            object that holds a network.
        seed: Random seed of new prompts, for a model of open_clip.
        backbone_weights: CLIP's weights, as a tag of open_clip or a file, where the model lacks them.
        prompts: Numbers and texts of new prompts, for a model of open_clip.

    Raises:
        InputError: For an unknown name or a missing file.
        BackboneError: For a model of open_clip that is not supported, or weights that do not fit it.
        CheckpointError: When a file is damaged, unsafe or does not fit.
        ConfigError: When prompts are given for a model that has its own.
        WeightsUnavailableError: When weights would have to be downloaded and cannot be.
    """
    prompts = prompts or PromptConfig()
    weights = None if backbone_weights is None else os.fspath(backbone_weights)
    if isinstance(model, HasCheckpoint):
        model = model.checkpoint
    if isinstance(model, GRMPIQA):
        model = Checkpoint(model.config, model.state_dict(), model.info, "network in memory")
    if isinstance(model, Checkpoint):
        if prompts.given:
            names = ", ".join(prompts.given)
            raise ConfigError(f"{model.source} has prompts of its own; {names} cannot be set")
        model = model if weights is None else with_backbone(model, weights)
        return Start(model, network_digest(model))
    name = given_path(model, MODEL_IN_WORDS, "model")
    checkpoint = starting_checkpoint(name, seed, backbone_weights=weights, prompts=prompts)
    return Start(checkpoint, start_digest(name, weights))


def configured_start(
    model: Model | None,
    given: AdaptConfig | PretrainConfig,
    config: str | os.PathLike[str] | None,
    seed: int,
    backbone_weights: str | None,
) -> Start:
    """The start that an argument or else the configuration names; errors say which of them did.

    Args:
        model: The argument; None if it was not given.
        given: The configuration.
        config: The file or preset that it was read from.
        seed: Random seed of new prompts.
        backbone_weights: CLIP's weights, by the argument or the configuration.

    Raises:
        GRMPError: As `find_start`.
    """
    try:
        return find_start(given.model if model is None else model, seed, backbone_weights, given.prompts)
    except (InputError, BackboneError) as error:
        if model is not None or config is None:
            raise
        message = f"{error.message}; the configuration {os.fspath(config)} names it"
        raise type(error)(message, see=(*error.see, "model")) from error
