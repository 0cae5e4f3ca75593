"""Reduced precision for scoring: where it buys speed, and only there."""

from collections.abc import Iterator

import torch
from torch import nn

from grmp_plugin.network.grmp_iqa import GRMPIQA


def reduce_precision(network: GRMPIQA, dtype: torch.dtype) -> GRMPIQA:
    """Run the image tower's blocks in `dtype`: nearly all the work, and little of the precision.

    Weights of attention, MLP and layer scale are cast, in place. LayerNorm parameters, patch embedding,
    prompts, projections and the text tower (computed once) stay as they are. Casting the weights instead
    of using autocast matters on CPUs, where autocast's attention falls into a slow path.

    Args:
        network: to be scored with, not trained.
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
