"""Whether the parts of a network's configuration fit together."""

import torch
from torch import Tensor

from grmp_plugin.config import NetworkConfig
from grmp_plugin.errors import CheckpointError, ConfigError
from grmp_plugin.network.clip_modules import ClipConfig, pair
from grmp_plugin.network.tokenizer import END

_MOST_PROMPT_VALUES = 1 << 28  # 1 GiB in float32


def check_sizes(config: NetworkConfig, sizes: ClipConfig) -> None:
    """Check that views, prompts and towers fit together.

    Raises:
        ConfigError: When the views have another size than the image tower takes, there is no room for the
            context tokens, or the visual prompts fill gigabytes.
    """
    size = config.preprocess.size
    height, width = pair(sizes.vision_cfg.image_size)
    if (height, width) != (size, size):
        raise ConfigError(
            f"preprocess: size: views of {size} x {size} pixels do not fit an image tower that takes "
            f"{height} x {width} (image_size)"
        )
    # Start and end of text, and at least one word.
    if config.context_tokens + 3 > sizes.text_cfg.context_length:
        raise ConfigError(
            f"context_tokens: {config.context_tokens} leave no room for a text among the "
            f"{sizes.text_cfg.context_length} tokens that the text tower accepts"
        )
    vision = sizes.vision_cfg
    if vision.layers * config.visual_prompts * vision.width > _MOST_PROMPT_VALUES:
        raise ConfigError(
            f"visual_prompts: {config.visual_prompts} for each of {vision.layers} blocks of width "
            f"{vision.width} are too many"
        )


def check_vocabulary(vocabulary: Tensor, source: str) -> None:
    """Check that a vocabulary is a sorted list of CLIP's token numbers.

    Raises:
        CheckpointError: When it is not.
    """
    if vocabulary.ndim != 1 or vocabulary.dtype != torch.int64 or not len(vocabulary):
        raise CheckpointError(
            f"{source}: vocabulary: expected a list of 64-bit integers, found a tensor "
            f"{tuple(vocabulary.shape)} of {vocabulary.dtype}"
        )
    if vocabulary[0] < 0 or vocabulary[-1] > END or (vocabulary.diff() <= 0).any():
        raise CheckpointError(f"{source}: vocabulary: expected CLIP's token numbers (0 to {END}) in order")


def check_prior(prior: Tensor, statistics: int, source: str) -> None:
    """Check that the prior of a head is a table of real numbers with a row for each statistic.

    Args:
        prior: (G, rank), from a file.
        statistics: Number of statistics G of the trunk; 0 without a trunk.
        source: The file, for messages.

    Raises:
        CheckpointError: When it is not.
    """
    if prior.ndim != 2 or not prior.is_floating_point() or len(prior) != statistics or 0 in prior.shape:
        trunk = f"{statistics} rows" if statistics else "a network with a convolutional trunk"
        raise CheckpointError(
            f"{source}: head_prior: expected a table of real numbers with {trunk}, found a tensor "
            f"{tuple(prior.shape)} of {prior.dtype}"
        )
