"""Reduced precision for scoring, only where it saves time."""

from collections.abc import Iterator

import torch
from torch import nn

from grmp_plugin.network.grmp_iqa import GRMPIQA


def reduce_precision(network: GRMPIQA, dtype: torch.dtype) -> GRMPIQA:
    """Run the image tower's blocks in `dtype`: most of the work, at little loss of precision.

    Casts the weights of attention, MLP and layer scale in place. LayerNorm parameters, patch embedding,
    prompts, projections and the text tower (computed once) keep their precision. Weights are cast because
    autocast takes a slow path for attention on CPUs.

    Args:
        network: A network for scoring, not for training.
        dtype: torch.bfloat16 or torch.float16; torch.float32 casts back.

    Returns:
        The same network.
    """
    for parameter in _block_weights(network):
        parameter.data = parameter.data.to(dtype)
    return network


def _block_weights(network: GRMPIQA) -> Iterator[nn.Parameter]:
    for block in network.clip.visual.transformer.resblocks:
        yield from block.attn.parameters()
        yield from block.mlp.parameters()
        yield from block.ls_1.parameters()
        yield from block.ls_2.parameters()
