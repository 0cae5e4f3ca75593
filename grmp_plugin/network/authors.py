"""Conversion of checkpoints written by the GRMP-IQA authors' code.

Fine-tuning files contain every tensor of CLIP. Pre-training files lack the token embedding; only the rows of
the quality texts can be recovered, from the fixed parts of their prompts.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from grmp_plugin.config import BackboneConfig, NetworkConfig
from grmp_plugin.errors import CheckpointError, ConfigError
from grmp_plugin.network.texts import clip_token_ids, vocabulary_of

_CTX = "prompt_learner2.ctx"
_PREFIX = "prompt_learner2.token_prefix"
_SUFFIX = "prompt_learner2.token_suffix"
_VISUAL_PROMPTS = "image_encoder.prompt_embeddings"
_EMBEDDING = "text_encoder.token_embedding.weight"
_OWN_EMBEDDING = "clip.token_embedding.weight"

SIGNS = (_CTX, _VISUAL_PROMPTS)
"""Names by which the authors' checkpoints are recognized."""


def without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names in the authors' code, without a prefix such as `model.` before all of them."""
    for name in tensors:
        prefix, found, _ = name.partition(_CTX)
        if found and prefix and all(other.startswith(prefix) for other in tensors):
            return {other.removeprefix(prefix): tensor for other, tensor in tensors.items()}
    return dict(tensors)


def is_authors(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of one of the authors' checkpoints, without prefix."""
    return set(SIGNS) <= tensors.keys()


def convert(
    tensors: Mapping[str, Tensor], source: str
) -> tuple[NetworkConfig, dict[str, Tensor], dict[str, Any]]:
    """Convert an authors' checkpoint to our configuration, tensors and info.

    Args:
        tensors: As read, `module.` removed.
        source: The file, for messages.

    Raises:
        CheckpointError: When the fixed parts of the text prompts are missing or contradict the embedding.
    """
    for name in (_PREFIX, _SUFFIX):
        if name not in tensors:
            raise CheckpointError(f"{source} does not fit the network. 1 tensor missing: {name}")
    for name, dimensions in {_CTX: 2, _VISUAL_PROMPTS: 3, _PREFIX: 3, _SUFFIX: 3}.items():
        if tensors[name].ndim != dimensions or 0 in tensors[name].shape:
            raise CheckpointError(
                f"{source} does not fit the network: {name} has shape {tuple(tensors[name].shape)}, "
                f"expected {dimensions} dimensions"
            )
    if tensors[_PREFIX].shape[2] != tensors[_SUFFIX].shape[2]:
        raise CheckpointError(f"{source} does not fit the network: {_PREFIX} and {_SUFFIX} differ in width")
    ctx, visual_prompts = tensors[_CTX], tensors[_VISUAL_PROMPTS]
    try:
        config = NetworkConfig(
            # The files contain CLIP, even the parts that were not fine-tuned.
            backbone=BackboneConfig(weights=None),
            context_tokens=ctx.shape[0],
            visual_prompts=visual_prompts.shape[1],
        )
    except ConfigError as error:
        raise CheckpointError(f"{source}: {error}") from error
    converted = {own_name(name): t for name, t in tensors.items() if name not in (_PREFIX, _SUFFIX)}
    rows = _quality_rows(tensors, config, source)
    info: dict[str, Any] = {"licence": "MIT (the authors' statement)", "origin": "GRMP-IQA authors"}
    if _EMBEDDING in tensors:
        check_rows(tensors[_EMBEDDING], rows, source)
    else:
        vocabulary = vocabulary_of(config.quality_texts)
        converted["vocabulary"] = vocabulary
        converted[_OWN_EMBEDDING] = torch.stack([rows[int(i)] for i in vocabulary])
        info["stage"] = (
            "pre-training: without CLIP's token embedding, so other texts cannot be encoded; "
            "to adapt it, name CLIP's weights, too"
        )
    return config, converted, info


def own_name(name: str) -> str:
    """Our name for one of the authors' tensors, `module.` already removed."""
    if name == _CTX:
        return "text_prompt.ctx"
    part, _, rest = name.partition(".")
    if part == "image_encoder":
        prompts = rest.startswith(("prompt_", "deep_prompt_"))
        return f"visual_prompts.{rest}" if prompts else f"clip.visual.{rest}"
    if part == "text_encoder":
        return f"clip.{rest}"
    return f"clip.{name}"


def _quality_rows(tensors: Mapping[str, Tensor], config: NetworkConfig, source: str) -> dict[int, Tensor]:
    """Embeddings by token number, from the fixed parts around the context of the quality texts."""
    prefix, suffix = tensors[_PREFIX], tensors[_SUFFIX]
    for name in (_PREFIX, _SUFFIX):
        if len(tensors[name]) != len(config.quality_texts):
            raise CheckpointError(
                f"{source}: {name} holds {len(tensors[name])} texts; there are two quality texts"
            )
    rows: dict[int, Tensor] = {}
    for text, head, tail in zip(config.quality_texts, prefix, suffix, strict=True):
        start, *words = clip_token_ids(text)
        if len(tail) <= len(words):
            raise CheckpointError(f"{source}: {_SUFFIX} is too short for '{text}': {len(tail)} positions")
        rows[start] = head[0]
        rows.update(zip(words, tail, strict=False))
        rows[0] = tail[len(words)]
    return rows


def check_rows(embedding: Tensor, rows: Mapping[int, Tensor], source: str) -> None:
    """Check the embeddings of some tokens against a whole token embedding.

    Args:
        embedding: (tokens, width).
        rows: (width,) by token number.
        source: File of the rows, for messages.

    Raises:
        CheckpointError: When they differ.
    """
    for token, row in rows.items():
        if embedding.ndim != 2 or token >= len(embedding) or embedding.shape[1:] != row.shape:
            raise CheckpointError(
                f"{source} does not fit the network: its text prompts are {row.numel()} wide, the token "
                f"embedding is {'x'.join(map(str, embedding.shape))}"
            )
        # One of the two may have been stored in half precision.
        if not torch.allclose(embedding[token].float(), row.float(), atol=1e-3):
            raise CheckpointError(
                f"{source}: the fixed parts of the text prompts contradict the token embedding "
                f"(token {token}): the file was made with quality texts other than "
                "'high quality.' and 'low quality.'"
            )
