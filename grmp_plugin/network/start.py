"""What training starts from: a named model, a checkpoint, or one of open_clip's CLIPs."""

import dataclasses
from pathlib import Path

from grmp_plugin.config import BackboneConfig, NetworkConfig
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.initial import initial_prompts
from grmp_plugin.network.models import MODELS, find_checkpoint, weights_digest


def starting_checkpoint(model: str, seed: int) -> Checkpoint:
    """The checkpoint to train from.

    Args:
        model: A name in `MODELS`, a checkpoint file, or an open_clip model such as `ViT-B-16-quickgelu`, used
            with OpenAI's weights and newly drawn prompts.
        seed: Seed for new prompts.

    Raises:
        InputError: When it is none of these.
        BackboneError: For an unsupported open_clip model.
        CheckpointError, WeightsUnavailableError: When a file cannot be read or downloaded.
    """
    if model in MODELS:
        return dataclasses.replace(find_checkpoint(model), source=model)
    if Path(model).expanduser().exists() or not _is_open_clips(model):
        return find_checkpoint(model)
    config = NetworkConfig(backbone=BackboneConfig(name=model))
    info = {"licence": "as the backbone's weights", "origin": f"CLIP {model} with new prompts"}
    return Checkpoint(config, initial_prompts(config, seed), info, model)


def start_digest(model: str) -> str | None:
    """SHA-256 of the file that `starting_checkpoint` reads; None for an open_clip model."""
    if model in MODELS or Path(model).expanduser().exists():
        return weights_digest(model)
    return None


def with_new_prompts(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    """The checkpoint with the method's initial prompts, as meta-learning starts."""
    tensors = {**checkpoint.tensors, **initial_prompts(checkpoint.config, seed)}
    return dataclasses.replace(checkpoint, tensors=tensors)


def _is_open_clips(model: str) -> bool:
    import open_clip

    return model in open_clip.list_models()
