"""A linear shortcut from the trunk's statistics to the score.

The blocks and a linear function of the trunk's statistics make different errors: their sum predicts the
quality of new photographs better than either. That holds for ridge regression on a few hundred ratings, and
for the direction of distortion where there are none. The sum needs no new part of the network: one hidden
unit of the summary computes the function and adds it to the class token, along the direction that changes the
score most.
"""

import dataclasses

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor

from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.towers import embed_class_token
from grmp_plugin.network.trunk import TrunkStatistics
from grmp_plugin.training.embedded.distortion_axis import Regression

_ALPHAS = np.logspace(0, 6, 13)
# Keeps the unit where GELU is linear: the regression has a standard deviation of 1 and rarely reaches 4.
_MIDDLE = 6.0
_SUMMARY = "clip.visual.conv1.summary"


def ridge_regression(checkpoint: Checkpoint, statistics: TrunkStatistics, quality: np.ndarray) -> Regression:
    """Ridge regression of the quality of rated photographs, in standard deviations of that quality.

    Args:
        checkpoint: A network with a convolutional trunk.
        statistics: Of the V scoring views of R photographs: cells (R V, cells, local), view (R V, global).
        quality: (R,) in [0, 1].
    """
    with torch.no_grad():
        view = GRMPIQA(checkpoint).clip.visual.conv1.standardized_view(statistics.view)
    mean_view = view.unflatten(0, (len(quality), -1)).mean(1)
    ridge = RidgeCV(_ALPHAS).fit(mean_view.numpy(), quality)
    bias = (float(ridge.intercept_) - float(quality.mean())) / float(quality.std())
    return Regression(ridge.coef_ / float(quality.std()), bias)


def with_shortcut(
    checkpoint: Checkpoint, regression: Regression, statistics: TrunkStatistics, strength: float
) -> Checkpoint:
    """The checkpoint with the shortcut in place of the summary's least used hidden unit.

    Args:
        checkpoint: The trained network.
        regression: What the shortcut computes.
        statistics: Of views like those to be scored, to find the direction that changes the score most.
        strength: Length of the vector that one standard deviation of quality adds to the class token.
    """
    network = GRMPIQA(checkpoint)
    tensors = {
        name: tensor.float() for name, tensor in checkpoint.tensors.items() if name.startswith(_SUMMARY)
    }
    unit = int(tensors[f"{_SUMMARY}.2.weight"].norm(dim=0).argmin())
    added = strength * _direction(network, statistics)
    tensors[f"{_SUMMARY}.0.weight"][unit] = torch.from_numpy(regression.weight).float()
    tensors[f"{_SUMMARY}.0.bias"][unit] = regression.bias + _MIDDLE
    tensors[f"{_SUMMARY}.2.weight"][:, unit] = added
    tensors[f"{_SUMMARY}.2.bias"] -= _MIDDLE * added
    return dataclasses.replace(checkpoint, tensors={**checkpoint.tensors, **tensors})


def _direction(network: GRMPIQA, statistics: TrunkStatistics) -> Tensor:
    """Unit vector (width,) along which a change of the class token raises the score most, on average."""
    visual = network.clip.visual
    with torch.no_grad():
        patches, summary = visual.conv1.embed(statistics)
    class_token = (visual.class_embedding + summary).detach().requires_grad_()
    logits = network.quality_logits(network.token_features(embed_class_token(visual, class_token, patches)))
    (gradient,) = torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), class_token)
    return torch.nn.functional.normalize(gradient.mean(0), dim=0)
