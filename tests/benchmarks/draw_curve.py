"""Draws SRCC by the number of shots, from what adaptation.py kept.

python tests/benchmarks/draw_curve.py demo --out tests/benchmarks/shots.svg
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from grmp_plugin.evaluation.statistics import spread

# Colours and markers that differ without colour vision, too (Okabe and Ito's palette).
_STYLES = {
    "metric": ("grmp_iqa-tiny, adapted", "#0072B2", "o"),
    "meta": ("grmp_iqa-tiny-meta, adapted", "#D55E00", "s"),
    "random": ("its backbone with random prompts, adapted", "#009E73", "^"),
    "ridge": ("ridge regression on its features", "#555555", "x"),
}


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("set")
    parser.add_argument("--results", type=Path, default=Path(".work/adaptation/results.json"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    before: dict[str, list[float]] = defaultdict(list)
    for key, row in json.loads(arguments.results.read_text()).items():
        name, variant, shots, seed, *_ = key.split(" ")
        if name == arguments.set and int(seed) < arguments.seeds and variant in _STYLES:
            found[variant][int(shots)].append(row["after"])
            if variant in ("metric", "meta") and int(shots) == 50:
                before[variant].append(row["before"])
    mpl.rcParams["svg.hashsalt"] = "grmp"  # the same file for the same numbers
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for variant, (label, colour, marker) in _STYLES.items():
        if variant not in found:
            continue
        shots = sorted(found[variant])
        spreads = [spread(np.array(found[variant][n])) for n in shots]
        middle = [s.median for s in spreads]
        bars = [[s.median - s.min for s in spreads], [s.max - s.median for s in spreads]]
        axes.errorbar(shots, middle, bars, label=label, color=colour, marker=marker, capsize=3)
        if before[variant]:
            axes.axhline(float(np.median(before[variant])), color=colour, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([10, 25, 50, 100, 200], ["10", "25", "50", "100", "200"])
    axes.minorticks_off()
    axes.set_xlabel("shots")
    axes.set_ylabel("SRCC on pictures not learned from")
    axes.set_title(
        f"{arguments.set}: median and range of {arguments.seeds} seeds; dotted: before", fontsize=10
    )
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(arguments.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
