"""Metrics that the benchmarks compare: models of this package, PIQE, and the variance of the Laplacian."""

import contextlib
import sys
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch

from grmp_plugin.network.grmp_iqa import GRMPIQA

Judge = Callable[[np.ndarray], float]
"""Score of an image, (H, W, 3) uint8 RGB."""


def variance_of_laplacian(image: np.ndarray) -> float:
    """The classical measure of sharpness."""
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def metrics(models: Sequence[str]) -> dict[str, Judge]:
    """Metrics by name, all with higher = better."""
    with contextlib.redirect_stdout(sys.stderr):
        import pyiqa

        piqe = pyiqa.create_metric("piqe", device="cpu")

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255

    def ours(model: str) -> Judge:
        network = GRMPIQA(model)

        def judge(image: np.ndarray) -> float:
            with torch.inference_mode():
                return network(tensor(image)).item()

        return judge

    return {
        **{model: ours(model) for model in models},
        "PIQE": lambda image: -float(piqe(tensor(image))),
        "variance of the Laplacian": variance_of_laplacian,
    }
