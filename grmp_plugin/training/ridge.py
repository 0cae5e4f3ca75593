"""Ridge regression of quality on what a linear head reads: few-shot learning without gradient steps.

Blocks of features are the logit of the start, the image features, and the statistics of the trunk, where
there is one; if the network knows in which directions of the statistics quality shows, these once more,
turned that way. Each block has a fixed share of the variance, so that one penalty serves them all;
leave-one-out on the shots, which has a closed form, chooses it.

The shares were chosen on half of LIVE Challenge. A start that agrees with the ratings needs little of its
share to be followed, as its logit is a single feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.head import HeadInputs, LinearHead

_LOGIT, _FEATURES, _STATISTICS = 0.2, 0.25, 1.0  # shares; without a trunk the features have the statistics'
_TURNED = 1.0  # share of the statistics turned by the prior
_PENALTIES = np.logspace(-3, 3, 25)
# Quality q as a logit, by the tangent at q = 0.5: ratings at the ends of the scale would be infinite.
_SLOPE = 4.0


@dataclass(frozen=True)
class Ridge:
    """A fitted head.

    Attributes:
        bias: Intercept.
        logit: Weight of the start's logit.
        features: (D,) weights of the image features.
        statistics: (G,) weights of the trunk's statistics; None without a trunk.
        left_out: (S,) quality of each shot, predicted by the fit to the other shots.
        penalty: The penalty that leave-one-out chose.
    """

    bias: float
    logit: float
    features: np.ndarray
    statistics: np.ndarray | None
    left_out: np.ndarray
    penalty: float

    def predict(self, inputs: HeadInputs, start: np.ndarray) -> np.ndarray:
        """Quality (N,) of images, from what a head reads of them and the start's logits (N,)."""
        total = self.bias + self.logit * start + inputs.features.numpy() @ self.features
        if self.statistics is not None and inputs.statistics is not None:
            total = total + inputs.statistics.numpy() @ self.statistics
        return _sigmoid(total)

    def tensors(self, start: LinearHead | None) -> dict[str, Tensor]:
        """The tensors of a checkpoint's head, by name.

        Args:
            start: The start's own head, whose sum is the start's logit; None: the prompts' logit is.
        """
        bias, logit = self.bias, self.logit
        features, statistics = self.features, self.statistics
        if start is not None:
            own = {name: p.detach().cpu().double().numpy() for name, p in start.named_parameters()}
            bias = bias + self.logit * float(own["bias"][0])
            logit = self.logit * float(own["logit"][0])
            features = features + self.logit * own["features"]
            if statistics is not None:
                statistics = statistics + self.logit * own["statistics"]
        values = {"bias": np.array([bias]), "logit": np.array([logit]), "features": features}
        if statistics is not None:
            values["statistics"] = statistics
        return {f"head.{name}": torch.from_numpy(value).float() for name, value in values.items()}


def start_logits(network: GRMPIQA, inputs: HeadInputs) -> np.ndarray:
    """Logits of quality (N,) by a network: of its head, or else of its prompts."""
    if network.head is None:
        return inputs.logit.numpy()
    with torch.no_grad():
        device = network.head.bias.device
        on_device = inputs.each(lambda values: values.to(device, torch.float32))
        result: np.ndarray = network.head(on_device).cpu().double().numpy()
    return result


def fit_ridge(network: GRMPIQA, inputs: HeadInputs, start: np.ndarray, quality: np.ndarray) -> Ridge:
    """Fit a head to rated images.

    Args:
        network: Its prior is used, if it has one.
        inputs: What a head reads of S images, float64 on the CPU.
        start: (S,) logits of the start.
        quality: (S,) in [0, 1]; S at least 2.
    """
    blocks = _blocks(network, inputs, start)
    target = _SLOPE * (quality - 0.5)
    mean = float(target.mean())
    dual, residuals, penalty = _solve(_kernel(blocks), target - mean)
    weights = [block.weights(dual) for block in blocks]
    offset = sum(float(block.mean @ weight) for block, weight in zip(blocks, weights, strict=True))
    return Ridge(
        bias=mean - offset,
        logit=float(weights[0][0]),
        features=weights[1],
        statistics=None if inputs.statistics is None else np.sum(weights[2:], axis=0),
        left_out=_sigmoid(target - residuals),
        penalty=penalty,
    )


def ridge_components(
    network: GRMPIQA, inputs: HeadInputs, start: np.ndarray, sample: np.ndarray, most: int
) -> np.ndarray:
    """Principal components of what ridge regression reads: their inner products approximate its kernel.

    Args:
        network: Its prior is used, if it has one.
        inputs: What a head reads of N images, on the CPU.
        start: (N,) logits of the start.
        sample: Numbers of the images by which blocks are centred and scaled, and components found.
        most: Most components.

    Returns:
        (N, R), centred at the mean of the sample.
    """
    some = inputs.each(lambda values: values[sample].double())
    blocks = _blocks(network, some, start[sample])
    kernel = _kernel(blocks)
    last = len(kernel) - 1
    values, vectors = eigh(kernel, subset_by_index=(max(0, last + 1 - most), last))
    kept = values > 1e-9 * max(float(values[-1]), 1e-9)
    # The components' directions, as weighted sums of the images of the sample.
    dual = vectors[:, kept] / np.sqrt(values[kept])
    weights = [block.weights(dual) for block in blocks]
    offset = sum(block.mean @ weight for block, weight in zip(blocks, weights, strict=True))
    found = start[:, None] @ weights[0] + _times(inputs.features, weights[1]) - offset
    if inputs.statistics is not None:
        found += _times(inputs.statistics, np.sum(weights[2:], axis=0))
    return np.asarray(found)


def _times(values: Tensor, weights: np.ndarray) -> np.ndarray:
    """The product, in the precision of the values."""
    result: np.ndarray = (values @ torch.from_numpy(weights).to(values.dtype)).numpy()
    return result


def _blocks(network: GRMPIQA, inputs: HeadInputs, start: np.ndarray) -> "list[_Block]":
    """The blocks of features of images, float64."""
    statistics = None if inputs.statistics is None else inputs.statistics.numpy()
    share = _STATISTICS if statistics is None else _FEATURES
    blocks = [_Block(start[:, None], _LOGIT), _Block(inputs.features.numpy(), share)]
    if statistics is not None:
        blocks.append(_Block(statistics, _STATISTICS))
        if network.head_prior is not None:
            blocks.append(_Block(statistics, _TURNED, network.head_prior.cpu().double().numpy()))
    return blocks


def _kernel(blocks: "Sequence[_Block]") -> np.ndarray:
    """Inner products (S, S) of the images' scaled features."""
    scaled = np.hstack([block.scaled for block in blocks])
    result: np.ndarray = scaled @ scaled.T
    return result


class _Block:
    """Features (S, D) of the shots, centred, turned by a prior (D, rank), and scaled to a share."""

    def __init__(self, values: np.ndarray, share: float, prior: np.ndarray | None = None) -> None:
        self.mean = values.mean(0)
        self._prior = prior
        centred = values - self.mean
        turned = centred if self._prior is None else centred @ self._prior
        length = np.sqrt((turned**2).sum(1).mean())
        # Features that are equal for all shots say nothing.
        self._scale = np.sqrt(share) / length if length > 1e-9 else 0.0
        self.scaled = turned * self._scale

    def weights(self, dual: np.ndarray) -> np.ndarray:
        """Weights of the features as they came, (D,) or (D, R), from weights of the shots, (S,) or (S, R)."""
        turned = self._scale * (self.scaled.T @ dual)
        result: np.ndarray = turned if self._prior is None else self._prior @ turned
        return result


def _solve(kernel: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Dual coefficients (S,), leave-one-out residuals (S,), and the penalty where these are smallest."""
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values, 0)
    rotated, best, chosen = vectors.T @ target, np.inf, float(_PENALTIES[0])
    dual = residuals = np.zeros_like(target)
    for penalty in _PENALTIES:
        shrunk = values / (values + penalty)
        # The intercept is fitted, too: each image has a share 1/S of it.
        leverage = (vectors**2) @ shrunk + 1 / len(target)
        found = (target - vectors @ (shrunk * rotated)) / (1 - leverage)
        error = float((found**2).mean())
        if error < best:
            best, residuals, chosen = error, found, float(penalty)
            dual = vectors @ (rotated / (values + penalty))
    return dual, residuals, chosen


def _sigmoid(values: np.ndarray) -> np.ndarray:
    result: np.ndarray = 1 / (1 + np.exp(-values))
    return result
