"""How well the models agree with people, without adaptation.

    python tests/benchmarks/people.py ratings.csv --mos-range 0 100 [--model NAME|FILE ...]

Beside the models PIQE (pyiqa) and the variance of the Laplacian, on the images valid for all. Images that one
of the models learned from are left out. Prints Markdown; 95% bootstrap intervals over images, or over
references where the ratings have them.
"""

import argparse
import sys

import numpy as np
import torch
from judges import metrics
from rated_sets import without_learned

from grmp_plugin.data.images import read_image
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.statistics.agreement import bootstrap_interval
from grmp_plugin.statistics.bootstrap import Interval
from grmp_plugin.statistics.correlation import krcc, plcc, srcc
from grmp_plugin.statistics.logistic import fitted_agreement

_RESAMPLES = 1000


def report(ratings: Ratings, scores: dict[str, np.ndarray]) -> None:
    """Print agreement with the ratings of all metrics, on the images for which each gave a number."""
    valid = np.all([np.isfinite(values) for values in scores.values()], axis=0)
    rated = ratings.subset(valid)
    mos = -rated.mos if rated.lower_better else rated.mos
    print(f"{len(mos)} of {len(valid)} images valid for all metrics\n")
    print("| metric | SRCC (95%) | KRCC (95%) | PLCC (95%) | PLCC after the logistic curve (95%) |")
    print("|---|---|---|---|---|")
    options = {"groups": rated.references, "resamples": _RESAMPLES}
    for metric, values in scores.items():
        own = values[valid]
        cells = []
        for name, statistic in (("srcc", srcc), ("krcc", krcc), ("plcc", plcc)):
            cells.append(_cell(statistic(own, mos), bootstrap_interval(own, mos, name, **options)))
        fitted = fitted_agreement(own, mos, **options)
        cells.append(_cell(fitted.fit.plcc, fitted.plcc_interval))
        print(f"| {metric} | " + " | ".join(cells) + " |")


def _cell(value: float, interval: Interval) -> str:
    return f"{value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("ratings", help="CSV file with the columns image and mos")
    parser.add_argument("--mos-range", type=float, nargs=2, metavar=("LOW", "HIGH"))
    parser.add_argument("--model", nargs="+", default=["grmp_iqa-tiny", "grmp_iqa-tiny-meta"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    every = read_ratings(arguments.ratings, mos_range=arguments.mos_range)
    ratings, left_out = without_learned(every, arguments.model)
    print(f"{every.source}: {len(every.images)} rated images; {left_out} left out that a model learned from")
    if not len(ratings.images):
        sys.exit("no image is left")
    judges = metrics(arguments.model)
    scores: dict[str, list[float]] = {metric: [] for metric in judges}
    for number, path in enumerate(ratings.images, 1):
        print(f"\r{number} of {len(ratings.images)}", end="", file=sys.stderr)
        image = read_image(path)
        for metric, judge in judges.items():
            scores[metric].append(judge(image))
    print(file=sys.stderr)
    report(ratings, {metric: np.array(values) for metric, values in scores.items()})


if __name__ == "__main__":
    main()
