"""Conversion of the checkpoints that the GRMP-IQA authors' code writes.

Fine-tuning files carry every tensor of CLIP; pre-training files lack the token embedding, of which only
the rows of the quality texts can be recovered, from the fixed parts of their prompts.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from grmp_plugin.config import BackboneConfig, NetworkConfig
from grmp_plugin.errors import CheckpointError
from grmp_plugin.network.texts import clip_token_ids, vocabulary_of

_CTX = "prompt_learner2.ctx"
_PREFIX = "prompt_learner2.token_prefix"
_SUFFIX = "prompt_learner2.token_suffix"
_VISUAL_PROMPTS = "image_encoder.prompt_embeddings"
_EMBEDDING = "text_encoder.token_embedding.weight"
_OWN_EMBEDDING = "clip.token_embedding.weight"


def is_authors(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of one of the authors' checkpoints, `module.` already removed."""
    return {_CTX, _VISUAL_PROMPTS} <= tensors.keys()


def convert(
    tensors: Mapping[str, Tensor], source: str
) -> tuple[NetworkConfig, dict[str, Tensor], dict[str, Any]]:
    """Our configuration, tensors and facts of an authors' checkpoint.

    Args:
        tensors: as read, `module.` removed.
        source: the file, for messages.

    Raises:
        CheckpointError: when the fixed parts of the text prompts are missing or contradict the embedding.
    """
    for name in (_PREFIX, _SUFFIX):
        if name not in tensors:
            raise CheckpointError(f"{source} does not fit the network. 1 tensors missing: {name}")
    for name, dimensions in {_CTX: 2, _VISUAL_PROMPTS: 3, _PREFIX: 3, _SUFFIX: 3}.items():
        if tensors[name].ndim != dimensions or 0 in tensors[name].shape:
            raise CheckpointError(
                f"{source} does not fit the network: {name} has the shape {tuple(tensors[name].shape)}, "
                f"where {dimensions} dimensions were expected"
            )
    ctx, visual_prompts = tensors[_CTX], tensors[_VISUAL_PROMPTS]
    config = NetworkConfig(
        # The files carry CLIP themselves, also where it was not fine-tuned.
        backbone=BackboneConfig(weights=None),
        context_tokens=ctx.shape[0],
        visual_prompts=visual_prompts.shape[1],
    )
    converted = {own_name(name): t for name, t in tensors.items() if name not in (_PREFIX, _SUFFIX)}
    rows = _quality_rows(tensors, config, source)
    info: dict[str, Any] = {"licence": "MIT (the authors' statement)", "origin": "GRMP-IQA authors"}
    if _EMBEDDING in tensors:
        _check_rows(tensors[_EMBEDDING], rows, source)
    else:
        vocabulary = vocabulary_of(config.quality_texts)
        converted["vocabulary"] = vocabulary
        converted[_OWN_EMBEDDING] = torch.stack([rows[int(i)] for i in vocabulary])
        info["stage"] = "pre-training: without CLIP's token embedding, so no other texts can be encoded"
    return config, converted, info


def own_name(name: str) -> str:
    """Our name of one of the authors' tensors, `module.` already removed."""
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
    """Embeddings by token number, as they stand around the context in the quality texts."""
    prefix, suffix = tensors[_PREFIX], tensors[_SUFFIX]
    for name in (_PREFIX, _SUFFIX):
        if len(tensors[name]) != len(config.quality_texts):
            raise CheckpointError(
                f"{source}: {name} is for {len(tensors[name])} texts, where there are two quality texts"
            )
    rows: dict[int, Tensor] = {}
    for text, head, tail in zip(config.quality_texts, prefix, suffix, strict=True):
        start, *words = clip_token_ids(text)
        if len(tail) <= len(words):
            raise CheckpointError(f"{source}: {_SUFFIX} is too short for '{text}', {len(tail)} positions")
        rows[start] = head[0]
        rows.update(zip(words, tail, strict=False))
        rows[0] = tail[len(words)]
    return rows


def _check_rows(embedding: Tensor, rows: Mapping[int, Tensor], source: str) -> None:
    for token, row in rows.items():
        # Half-precision storage of one of the two is no contradiction.
        if token >= len(embedding) or not torch.allclose(embedding[token].float(), row.float(), atol=1e-3):
            raise CheckpointError(
                f"{source}: the fixed parts of the text prompts contradict the token embedding "
                f"(token {token}): the file was written with other quality texts than "
                "'high quality.' and 'low quality.'"
            )
