"""What training starts from: a named model, a checkpoint, or one of open_clip's CLIPs."""

import dataclasses

import torch

from grmp_plugin.config import BackboneConfig, NetworkConfig, PreprocessConfig, PromptConfig
from grmp_plugin.errors import CheckpointError, ConfigError, InputError
from grmp_plugin.files import existing, sha256
from grmp_plugin.network.backbone import as_file, backbone_tensors, matching_backbone
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.clip import build_clip, clip_config_of
from grmp_plugin.network.clip_modules import pair
from grmp_plugin.network.head import without_head
from grmp_plugin.network.initial import initial_prompts
from grmp_plugin.network.models import MODELS, find_checkpoint, weights_digest
from grmp_plugin.network.sizes import check_vocabulary
from grmp_plugin.network.tokenizer import decode

_CLIP = "clip."
_EMBEDDING = "clip.token_embedding.weight"
_NEW_PROMPTS = PromptConfig()


def starting_checkpoint(
    model: str, seed: int, *, backbone_weights: str | None = None, prompts: PromptConfig = _NEW_PROMPTS
) -> Checkpoint:
    """The checkpoint to train from.

    Args:
        model: A name in `MODELS`, a checkpoint file, or an open_clip model such as `ViT-B-16-quickgelu`, for
            which prompts are newly drawn.
        seed: Seed for new prompts.
        backbone_weights: CLIP's weights: a tag of open_clip, or a file of open_clip or OpenAI. By default
            those that a checkpoint names, or OpenAI's. A checkpoint that lacks CLIP's token embedding, such
            as the authors' pre-training files, takes it from there.
        prompts: Numbers and texts of new prompts.

    Raises:
        InputError: When it is none of these, or a complete checkpoint is given other weights.
        BackboneError: For an unsupported open_clip model, or weights that do not fit it.
        CheckpointError, WeightsUnavailableError: When a file cannot be read or downloaded.
        ConfigError: When prompts are given for a checkpoint, which has its own.
    """
    if model in MODELS or existing(model) is not None or not _is_open_clips(model):
        checkpoint = find_checkpoint(model)
        if prompts.given:
            raise ConfigError(f"{model} has prompts of its own; {', '.join(prompts.given)} cannot be set")
        if model in MODELS:
            checkpoint = dataclasses.replace(checkpoint, source=model)
        return checkpoint if backbone_weights is None else with_backbone(checkpoint, backbone_weights)
    clip_config_of(BackboneConfig(name=model))  # says what is unsupported, before any weights are looked for
    backbone = matching_backbone(model, backbone_weights)
    side = pair(clip_config_of(backbone).vision_cfg.image_size)[0]
    # As much larger than the view as in the paper: 244 for 224 pixels.
    preprocess = PreprocessConfig(size=side, resize=round(side * 244 / 224))
    config = prompts.applied_to(NetworkConfig(backbone=backbone, preprocess=preprocess))
    info = {"licence": "as the backbone's weights", "origin": f"CLIP {backbone.name} with new prompts"}
    checkpoint = Checkpoint(config, initial_prompts(config, seed), info, model)
    # A tag can be downloaded again; a file may be gone when the result is used.
    return _completed(checkpoint) if backbone.weights and as_file(backbone.weights) else checkpoint


def with_backbone(checkpoint: Checkpoint, weights: str) -> Checkpoint:
    """A checkpoint that takes from other weights what it lacks of CLIP.

    Args:
        checkpoint: Without CLIP, or without CLIP's token embedding.
        weights: A tag of open_clip, or a file of open_clip or OpenAI.

    Raises:
        InputError: When nothing is lacking.
        CheckpointError: When the checkpoint was made with another CLIP.
        BackboneError, WeightsUnavailableError: When the weights do not fit, or cannot be had.
    """
    weights = as_file(weights) or weights
    config = checkpoint.config
    named = dataclasses.replace(config, backbone=dataclasses.replace(config.backbone, weights=weights))
    if "vocabulary" in checkpoint.tensors:
        return _with_all_words(checkpoint, named.backbone)
    expected = {_CLIP + name for name in build_clip(config.backbone).state_dict()}
    if expected <= checkpoint.tensors.keys():
        raise InputError(
            f"{checkpoint.source} is complete: it has CLIP's weights of its own", argument="backbone_weights"
        )
    completed = dataclasses.replace(checkpoint, config=named)
    return _completed(completed) if as_file(weights) else completed


def start_digest(model: str, backbone_weights: str | None = None) -> str | None:
    """SHA-256 of the file that `starting_checkpoint` reads; None for an open_clip model with a tag."""
    if model in MODELS or existing(model) is not None:
        return weights_digest(model)
    file = None if backbone_weights is None else as_file(backbone_weights)
    return None if file is None else sha256(file)


def with_new_prompts(checkpoint: Checkpoint, seed: int, prompts: PromptConfig = _NEW_PROMPTS) -> Checkpoint:
    """The checkpoint with the method's initial prompts, as meta-learning starts.

    Args:
        checkpoint: What to start from.
        seed: Seed for the prompts.
        prompts: Numbers and texts that replace the checkpoint's.
    """
    config = prompts.applied_to(checkpoint.config)
    checkpoint = without_head(checkpoint)  # fitted to the former prompts
    return dataclasses.replace(
        checkpoint, config=config, tensors={**checkpoint.tensors, **initial_prompts(config, seed)}
    )


def _completed(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with all of CLIP's tensors, so that it needs no other file."""
    backbone = checkpoint.config.backbone
    clip = {_CLIP + name: tensor for name, tensor in backbone_tensors(backbone).items()}
    config = dataclasses.replace(checkpoint.config, backbone=dataclasses.replace(backbone, weights=None))
    return dataclasses.replace(checkpoint, config=config, tensors={**clip, **checkpoint.tensors})


def _with_all_words(checkpoint: Checkpoint, backbone: BackboneConfig) -> Checkpoint:
    """A checkpoint that holds the embeddings of some words, with those of all words from its CLIP."""
    tensors = dict(checkpoint.tensors)
    words = backbone_tensors(backbone)["token_embedding.weight"]
    own = tensors.get(_EMBEDDING)
    check_vocabulary(tensors["vocabulary"], checkpoint.source)
    vocabulary = tensors.pop("vocabulary").tolist()
    if own is None or own.ndim != 2 or own.shape != (len(vocabulary), words.shape[1]):
        raise CheckpointError(f"{checkpoint.source} does not fit the network: {_EMBEDDING}")
    for token, row in zip(vocabulary, own.float(), strict=True):
        # One of the two may have been stored in half precision.
        if not torch.allclose(words[token], row, atol=1e-3):
            raise CheckpointError(
                f"{checkpoint.source} was made with another CLIP than {backbone.weights}: their embeddings "
                f"of '{decode(token)}' differ"
            )
    return dataclasses.replace(checkpoint, tensors={**tensors, _EMBEDDING: words})


def _is_open_clips(model: str) -> bool:
    import open_clip

    return model in open_clip.list_models()
