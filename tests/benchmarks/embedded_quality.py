"""How well the embedded model judges distorted photographs, none of which it was trained on.

    python tests/benchmarks/embedded_quality.py [--model NAME|FILE] [--photographs N]

Twelve photographs from scikit-image and scikit-learn, every kind of the distortion bank at every level.
Beside it PIQE (pyiqa) and the variance of the Laplacian, on the images valid for all three. Prints the
Markdown tables of the model card.
"""

import argparse
import contextlib
import math
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from PIL import Image
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_image

from grmp_plugin.data.distortions import DISTORTIONS, distort
from grmp_plugin.data.pseudo_mos import pseudo_mos
from grmp_plugin.network.grmp_iqa import GRMPIQA

_SKIMAGE = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left", "camera")
_SKIMAGE_TEXTURES = ("brick", "grass", "gravel", "coins")
_SKLEARN = ("china.jpg", "flower.jpg")
SEED = 0


def photographs() -> dict[str, np.ndarray]:
    """Name -> (H, W, 3) uint8; grey ones are repeated."""
    folder = Path(skimage.data.__file__).parent
    images = {name: next(folder.glob(f"{name}.*")) for name in (*_SKIMAGE, *_SKIMAGE_TEXTURES)}
    loaded = {name: np.asarray(Image.open(path).convert("RGB")) for name, path in images.items()}
    return loaded | {name.split(".")[0]: load_sample_image(name) for name in _SKLEARN}


def variance_of_laplacian(image: np.ndarray) -> float:
    """The classical measure of sharpness."""
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def metrics(model: str) -> dict[str, Callable[[np.ndarray], float]]:
    """Metrics by name, all with higher = better."""
    with contextlib.redirect_stdout(sys.stderr):
        import pyiqa

        piqe = pyiqa.create_metric("piqe", device="cpu")
    network = GRMPIQA(model)

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255

    def ours(image: np.ndarray) -> float:
        with torch.inference_mode():
            return network(tensor(image)).item()

    return {
        model: ours,
        "PIQE": lambda image: -float(piqe(tensor(image))),
        "variance of the Laplacian": variance_of_laplacian,
    }


def srcc(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation; 0 where one side is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(spearmanr(a, b).statistic)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--model", default="grmp_iqa-tiny")
    parser.add_argument("--photographs", type=int, default=12, help="how many of the twelve (12)")
    arguments = parser.parse_args()
    judges = metrics(arguments.model)
    rows: list[tuple[str, str, int]] = []
    labels: list[float] = []
    scores: dict[str, list[float]] = {name: [] for name in judges}
    for number, (name, pristine) in enumerate(list(photographs().items())[: arguments.photographs]):
        print(f"{name} {pristine.shape[1]}x{pristine.shape[0]}", file=sys.stderr)
        versions = [("", 0)] + [(kind, level) for kind in DISTORTIONS for level in range(1, 6)]
        for kind, level in versions:
            image = distort(pristine, kind, level, SEED + number) if level else pristine
            rows.append((name, kind, level))
            labels.append(pseudo_mos(pristine, image))
            for metric, judge in judges.items():
                scores[metric].append(judge(image))
    report(rows, np.array(labels), {name: np.array(values) for name, values in scores.items()})


def report(rows: list[tuple[str, str, int]], labels: np.ndarray, scores: dict[str, np.ndarray]) -> None:
    """Print the tables."""
    valid = np.all([np.isfinite(values) for values in scores.values()], axis=0)
    names, kinds, levels = (np.array(column) for column in zip(*rows, strict=True))
    print(f"{valid.sum()} of {len(rows)} images valid for all metrics, {len(set(names))} photographs\n")
    print("| metric | SRCC, pseudo-MOS (95%, by photograph) | SRCC, level | pristine above level 3 |")
    print("|---|---|---|---|")
    per_kind: dict[str, dict[str, list[float]]] = {}
    for metric, values in scores.items():
        pairs = []
        per_kind[metric] = {kind: [] for kind in DISTORTIONS}
        for name in dict.fromkeys(names):
            original = values[(names == name) & (levels == 0)][0]
            for kind in DISTORTIONS:
                chosen = valid & (names == name) & (kinds == kind)
                if chosen.sum() >= 3:
                    per_kind[metric][kind].append(srcc(values[chosen], -levels[chosen]))
                third = values[(names == name) & (kinds == kind) & (levels == 3)][0]
                if math.isfinite(third) and math.isfinite(original):
                    pairs.append(original > third)
        low, high = _interval(names[valid], values[valid], labels[valid])
        overall = f"{srcc(values[valid], labels[valid]):.3f} ({low:.3f} to {high:.3f})"
        within = np.mean([value for found in per_kind[metric].values() for value in found])
        print(f"| {metric} | {overall} | {within:.3f} | {np.mean(pairs):.3f} |")
    print("\n| distortion | " + " | ".join(scores) + " |\n|---|" + "---|" * len(scores))
    for kind in DISTORTIONS:
        cells = " | ".join(f"{np.mean(per_kind[metric][kind]):.2f}" for metric in scores)
        print(f"| {kind} | {cells} |")


def _interval(names: np.ndarray, values: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """95% bootstrap interval of the SRCC, resampling whole photographs."""
    rng = np.random.default_rng(SEED)
    groups = [np.flatnonzero(names == name) for name in dict.fromkeys(names)]
    found = []
    for _ in range(1000):
        index = np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        found.append(srcc(values[index], labels[index]))
    return float(np.percentile(found, 2.5)), float(np.percentile(found, 97.5))


if __name__ == "__main__":
    main()
