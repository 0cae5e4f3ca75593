"""A linear head: ridge regression on image features beside the prompts, as a part of the network.

Its weights are fitted in `training/ridge.py`. The network's score is then the sigmoid of a weighted sum of
the prompts' logit, the image features and, with a convolutional trunk, the statistics of its feature maps.
Ridge regression on frozen features as a few-shot method for image quality: GRepQ, arXiv:2312.15425.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from grmp_plugin.network.checkpoint import Checkpoint

_HEAD = "head."


class HeadInputs(NamedTuple):
    """What a linear head reads of N images, each the mean over the views of an image.

    Attributes:
        logit: (N,) the prompts' logit of high quality.
        features: (N, D) image features under the visual prompts.
        statistics: (N, G) standardised statistics of the trunk; None without a trunk.
    """

    logit: Tensor
    features: Tensor
    statistics: Tensor | None

    def each(self, change: Callable[[Tensor], Tensor]) -> "HeadInputs":
        """What a function makes of each tensor."""
        statistics = None if self.statistics is None else change(self.statistics)
        return HeadInputs(change(self.logit), change(self.features), statistics)


class LinearHead(nn.Module):
    """The logit of quality as a weighted sum.

    Args:
        features: Number of image features D.
        statistics: Number of statistics G of the trunk; 0 without a trunk.
    """

    statistics: nn.Parameter | None

    def __init__(self, features: int, statistics: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.logit = nn.Parameter(torch.ones(1))
        self.features = nn.Parameter(torch.zeros(features))
        self.register_parameter("statistics", nn.Parameter(torch.zeros(statistics)) if statistics else None)

    def forward(self, inputs: HeadInputs) -> Tensor:
        """Logits (N,) of quality."""
        # In half precision the differences between similar images would be lost.
        with torch.autocast(inputs.features.device.type, enabled=False):
            weight = self.features.dtype
            total = (
                self.bias + self.logit * inputs.logit.to(weight) + inputs.features.to(weight) @ self.features
            )
            if self.statistics is not None and inputs.statistics is not None:
                total = total + inputs.statistics.to(weight) @ self.statistics
            return total


def without_head(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, read through its prompts alone."""
    tensors = {name: tensor for name, tensor in checkpoint.tensors.items() if not name.startswith(_HEAD)}
    return dataclasses.replace(checkpoint, tensors=tensors)


def has_head(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint has a linear head."""
    return any(name.startswith(_HEAD) for name in checkpoint.tensors)
