"""Which pictures to rate, and how many ratings of a picture are worth how much, for `grmp label`.

    python tests/benchmarks/label_selection.py ratings.csv --out selection.csv
    python tests/benchmarks/label_selection.py ratings.csv --plan more --out more.csv
    python tests/benchmarks/label_selection.py ratings.csv --plan raters --out raters.csv --picture raters.png

`ratings.csv` has rated photographs (image, mos, std) that the adapted model has not learned from. For each
seed, half of the photographs are the test, the same for all; a strategy chooses from the other half without
looking at ratings; ridge regression learns from what was chosen. Printed are the mean SRCC on the test over
the seeds, and the mean difference to `random` with its 95% interval (Student's t over the seeds, paired).

`--plan more`: the first half of the pictures at random, the same for all; a strategy chooses the second half,
given the ratings of the first.

`--plan raters`: random pictures with the mean of a few simulated ratings each in place of their MOS (with
noise of its standard deviation and raters' biases, in five steps): 50 x 1, 3, 5, 15 raters, and 150 x 1.
"""

import argparse
import csv
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

import grmp_plugin as grmp
from grmp_plugin.api.models import load
from grmp_plugin.labelling.candidates import candidates
from grmp_plugin.labelling.pool import Pool, read_pool
from grmp_plugin.labelling.selection import STRATEGIES, choose
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.head import HeadInputs
from grmp_plugin.progress import Progress
from grmp_plugin.statistics.correlation import srcc
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.ridge import fit_ridge, start_logits
from grmp_plugin.training.scorer import RatedScorer

_BIAS = 0.3  # standard deviation of simulated raters' biases, steps of a scale of five
_PLANS = ((50, 1), (50, 3), (50, 5), (50, 15), (150, 1))
_STREAM, _FIRST = 0x1ABE1, 0xF125


def main() -> None:
    options = _options()
    table = grmp.read_ratings(options.ratings, lower_better=False)
    everything = read_pool([os.path.abspath(path) for path in table.images], load(options.features), _show)
    mos = dict(zip(map(os.path.abspath, table.images), table.mos.tolist(), strict=True))
    deviations = dict(zip(mos, _deviations(table), strict=True))
    left = len(everything.left_out.near_duplicates)
    print(f"{len(everything.paths)} photographs, {left} near-duplicates left out", file=sys.stderr)
    adapting = Adapting(options.model, everything.paths, [mos[path] for path in everything.paths])
    rows = _read(options.out)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        chance = np.random.default_rng([seed, _STREAM])
        order = chance.permutation(len(everything.paths))
        half = len(order) // 2
        test, free = np.sort(order[:half]), np.sort(order[half:])
        for name, indices, ratings in _drawn(options, everything, mos, deviations, free, seed):
            if any(row["variant"] == name and row["seed"] == seed for row in rows):
                continue
            began = time.monotonic()
            reached = adapting.reached(indices, ratings, test)
            rows.append({"variant": name, "seed": seed, "shots": len(indices), **reached})
            rows[-1]["seconds"] = round(time.monotonic() - began, 1)
            _write(options.out, rows)
            print(f"{name}, seed {seed}: SRCC {rows[-1]['after']:.4f}", file=sys.stderr)
    _print(rows)
    if options.picture:
        _draw(rows, options.picture)


def _draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """SRCC over the number of ratings: a curve of the plans with 50 pictures, a point for each other."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    by_pictures: dict[int, list[tuple[int, float, float]]] = {}
    for pictures, raters in _PLANS:
        values = np.array([float(r["after"]) for r in rows if r["variant"] == f"{pictures} x {raters}"])
        half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
        by_pictures.setdefault(pictures, []).append((raters, float(values.mean()), float(half)))
    for pictures, points in by_pictures.items():
        raters, means, halves = (np.array(part) for part in zip(*points, strict=True))
        axes.errorbar(
            pictures * raters,
            means,
            halves,
            marker="o",
            capsize=3,
            label=f"{pictures} pictures, 95% interval",
        )
        for count, mean in zip(raters, means, strict=True):
            label = "1 rater" if count == 1 else f"{count} raters"
            axes.annotate(label, (pictures * count, mean), xytext=(6, -12), textcoords="offset points")
    axes.set(xscale="log", xlabel="ratings given", ylabel="SRCC, mean over random halves")
    axes.margins(x=0.2)
    ticks = sorted({pictures * raters for pictures, raters in _PLANS})
    axes.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def _drawn(
    options: argparse.Namespace,
    everything: Pool,
    mos: dict[str, float],
    deviations: dict[str, float],
    free: np.ndarray,
    seed: int,
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Variants with the chosen pictures (indices) and their ratings."""
    pool = everything.subset(free)
    plain = candidates(pool, {})
    drawn = []
    if options.plan != "raters":
        begun: list[int] = []
        if options.plan == "more":
            begun = choose("random", plain, options.shots // 2, (), np.random.default_rng([seed, _FIRST]))
        found = candidates(pool, {at: mos[pool.paths[at]] for at in begun})
        for name in options.strategies:
            rest = choose(name, found, options.shots - len(begun), begun, np.random.default_rng(seed))
            chosen = free[[*begun, *rest]]
            drawn.append((name, chosen, np.array([mos[everything.paths[at]] for at in chosen])))
        return drawn
    for pictures, raters in _PLANS:
        chosen = free[choose("random", plain, pictures, (), np.random.default_rng(seed))]
        chance = np.random.default_rng([seed, pictures, raters])
        rated = [everything.paths[at] for at in chosen]
        ratings = _simulated([mos[p] for p in rated], [deviations[p] for p in rated], raters, mos, chance)
        drawn.append((f"{pictures} x {raters}", chosen, ratings))
    return drawn


def _simulated(
    true: Sequence[float], deviations: Sequence[float], raters: int, mos: dict[str, float], chance: Any
) -> np.ndarray:
    """Means of simulated ratings in five steps over the range of the MOS."""
    low, high = min(mos.values()), max(mos.values())
    step = (high - low) / 4
    biases = chance.normal(0, _BIAS * step, raters)
    noise = chance.normal(size=(len(true), raters)) * np.array(deviations)[:, None]
    single = np.array(true)[:, None] + biases + noise
    return np.clip(np.round((single - low) / step), 0, 4).mean(axis=1) * step + low


class Adapting:
    """Adapts a model to some photographs by ridge regression, as `grmp adapt --method ridge` does.

    Args:
        model: What is adapted.
        paths: All photographs, each of which is read once.
        mos: Their ratings.
    """

    def __init__(self, model: str, paths: Sequence[str], mos: Sequence[float]) -> None:
        self._network = GRMPIQA(model)
        self._mos = np.array(mos)
        views = RatedViews(paths, np.zeros(len(paths)), self._network.config.preprocess)
        self._inputs = RatedScorer(views).head_inputs(self._network, range(len(paths)))
        self._start = start_logits(self._network, self._inputs)

    def reached(self, shots: np.ndarray, ratings: np.ndarray, test: np.ndarray) -> dict[str, float]:
        """SRCC on the test before and after learning from the ratings of the shots."""
        quality = (ratings - ratings.min()) / np.ptp(ratings)
        head = fit_ridge(self._network, self._some(shots), self._start[shots], quality)
        after = head.predict(self._some(test), self._start[test])
        mos = self._mos[test]
        return {"before": srcc(self._start[test], mos), "after": srcc(after, mos)}

    def _some(self, numbers: np.ndarray) -> HeadInputs:
        return self._inputs.each(lambda values: values[numbers])


def _deviations(table: grmp.Ratings) -> list[float]:
    if table.deviations is not None:
        return np.nan_to_num(table.deviations, nan=float(np.nanmedian(table.deviations))).tolist()
    return [float(np.ptp(table.mos)) / 5] * len(table.mos)


def _print(rows: Sequence[dict[str, Any]]) -> None:
    by_variant: dict[str, dict[int, float]] = {}
    for row in rows:
        by_variant.setdefault(row["variant"], {})[int(row["seed"])] = float(row["after"])
    base = by_variant.get("random") or next(iter(by_variant.values()))
    before = {int(row["seed"]): float(row["before"]) for row in rows}
    print(f"before: {np.mean(list(before.values())):.4f} over {len(before)} seeds")
    for name, values in by_variant.items():
        common = sorted(values.keys() & base.keys())
        gains = np.array([values[seed] - base[seed] for seed in common])
        text = ""
        if len(gains) > 1 and values is not base:
            half = student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
            text = f", {gains.mean():+.4f} [{gains.mean() - half:+.4f}, {gains.mean() + half:+.4f}]"
        print(f"{name}: {np.mean(list(values.values())):.4f} over {len(values)} seeds{text}")


def _read(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return [row | {"seed": int(row["seed"])} for row in csv.DictReader(stream)]


def _write(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    pd.DataFrame(rows).to_csv(file, index=False)


def _show(progress: Progress) -> None:
    if progress.done % 50 == 0 or progress.done == progress.total:
        print(f"{progress.stage}: {progress.done} of {progress.total}", file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ratings", type=Path, help="CSV with image, mos and perhaps std")
    parser.add_argument("--out", type=Path, default=Path("selection.csv"), help="rows so far; continued")
    parser.add_argument("--plan", choices=["strategies", "more", "raters"], default="strategies")
    parser.add_argument("--picture", type=Path, help="picture of SRCC over ratings, for --plan raters")
    parser.add_argument("--strategies", nargs="+", choices=list(STRATEGIES), default=list(STRATEGIES))
    parser.add_argument("--shots", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--model", default="grmp_iqa-tiny-meta", help="what is adapted")
    parser.add_argument("--features", default="grmp_iqa-tiny-meta", help="whose features and scores choose")
    return parser.parse_args()


if __name__ == "__main__":
    main()
