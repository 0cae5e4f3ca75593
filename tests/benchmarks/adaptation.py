"""What few ratings, meta-prompts and gradient regularization buy on the embedded backbones.

    python tests/benchmarks/adaptation.py demo [--seeds 10] [--variants metric,meta,random] [--work FOLDER]
    python tests/benchmarks/adaptation.py ratings.csv --mos-range 0 100 --shots 10 25 50 100 200
    python tests/benchmarks/adaptation.py demo --shots 10 25 50 100 200 --seeds 5 --curve curve.svg

The first argument is a ratings file of people's, or a set made here. `demo` is the demo's ratings;
`photographs` are 16 pictures of scikit-image and scikit-learn in 36 versions each, rated by the demo's
simulated observer; `photographs-pseudo` are the same, rated by pseudo-MOS, which grmp_iqa-tiny was trained
on. `tuning` are drawn pictures with three simulated observers of other tastes than the demo's, on which
learning rate and epochs were chosen (--learning-rate, --epochs try others). Images that a model of the
variants learned from are left out.

Variants, all on the same splits: the same shots, and all other images:
  zero-shot             backbone of grmp_iqa-tiny-meta, read through hand-written texts; no rating
  meta-start            grmp_iqa-tiny-meta as it is; no rating
  meta, meta-1, meta-0  adapted by gradients with lambda 5, 1, 0
  random, -1, -0        the same from random prompts
  meta-cv               learning rate and epochs, or the start, chosen by cross-validation inside the shots
  meta-averaged         mean of the weights of meta and its start; meta-averaged-logits: of the logits
  ridge, svr            on image features of the backbone, mean over views
  ridge-trunk           on the trunk's statistics, mean over views
  ridge-both            on image features and the trunk's statistics
  ridge-logit           on image features and the logit of the start
  meta-start+ridge      on image features, beside a line on the logit of the start
  meta+ridge            beside a line on the logit of meta; meta-cv+ridge: of meta-cv, the shots' logits by
                        networks that did not see them
With metric in place of meta, and metric- before ridge and svr: the same on grmp_iqa-tiny.

Prints Markdown. Each result is kept in the work folder under the models' digests, and what is there is not
computed again.
"""

import argparse
import dataclasses
import sys
from collections import Counter
from pathlib import Path

import matplotlib
import numpy as np
import torch
from few_ratings import HONEST, METRIC, TRAINED, VARIANTS, Bench, Grid, Row
from matplotlib import pyplot
from rated_sets import SETS, find_sets, without_learned

from grmp_plugin.config import read_yaml
from grmp_plugin.statistics.agreement import spread
from grmp_plugin.training.settings import AdaptConfig

_USUAL = (
    *("zero-shot", "meta-start", "metric-start", "metric", "meta", "meta-1", "meta-0", "random", "random-0"),
    *("ridge", "svr", "ridge-trunk", "ridge-both", "ridge-logit"),
    *("meta-start+ridge", "meta+ridge", "meta-averaged", "meta-averaged-logits", "meta-cv", "meta-cv+ridge"),
)
_FACTS = (("shots", ".3f"), ("moved", ".2%"), ("angle", ".1f"), ("projected", ".0%"))

Results = dict[str, list[Row]]
"""Rows of each variant, one for each split."""


def report(name: str, shots: int, results: Results) -> None:
    """Print the table of one set at one number of shots."""
    splits = len(next(iter(results.values())))
    print(f"\n{name}, {shots} shots, {splits} split(s): medians with 95% bootstrap intervals over splits\n")
    print(
        "| variant | SRCC before | after | change | minus ridge | PLCC | shots, after | moved | angle | "
        "projected |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    ridge = results.get("ridge")
    for variant, rows in results.items():
        before, after, final = (_column(rows, key) for key in ("srcc before", "srcc", None))
        cells = [_cell(before), _cell(after), _cell(after - before, "+")]
        compared = ridge is not None and variant != "ridge"
        cells.append(_cell(final - _column(ridge, None), "+") if compared else "")
        cells.append(_cell(_column(rows, None, "plcc")))
        for key, form in _FACTS:
            known = _column(rows, key)
            cells.append(f"{np.median(known):{form}}" if np.isfinite(known).all() else "")
        print(f"| {variant} | " + " | ".join(cells) + " |")
    for variant, rows in results.items():
        if "chosen" in rows[0]:
            chosen = Counter(row["chosen"] for row in rows).most_common()
            print(f"\n{variant} chose " + ", ".join(f"{what} ({times})" for what, times in chosen))


def draw_curve(file: Path, name: str, results: dict[int, Results]) -> None:
    """Draw SRCC after adaptation against the number of shots, one line for each variant."""
    matplotlib.use("svg")
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    shots = sorted(results)
    learning = [variant for variant, rows in results[shots[0]].items() if "srcc" in rows[0]]
    for variant, mark in zip(learning, "osD^vP*XphH<>d8" * 3, strict=False):
        found = [spread(_column(results[count][variant], "srcc")) for count in shots]
        medians = np.array([each.median for each in found])
        bounds = np.array([each.interval for each in found]).T
        axes.errorbar(shots, medians, np.abs(bounds - medians), marker=mark, capsize=3, label=variant)
        if variant in TRAINED:
            before = np.median(_column(results[shots[0]][variant], "srcc before"))
            axes.axhline(before, color=axes.lines[-1].get_color(), linestyle=":", linewidth=1)
    axes.set(xscale="log", xlabel="rated images learned from", ylabel="SRCC on the others", title=name)
    axes.set_xticks(shots, [str(count) for count in shots])
    axes.minorticks_off()
    figure.legend(title="dotted: before", loc="outside right center")
    figure.savefig(file, metadata={"Date": None})


def _column(rows: list[Row], key: str | None, statistic: str = "srcc") -> np.ndarray:
    """Values of all splits, nan where there are none; without a key the statistic as it is in the end."""
    if key is not None:
        return np.array([row.get(key, np.nan) for row in rows], float)
    return np.array([row.get(statistic, row.get(f"{statistic} before")) for row in rows], float)


def _cell(values: np.ndarray, sign: str = "") -> str:
    if not np.isfinite(values).all():
        return ""
    found = spread(values)
    low, high = found.interval
    interval = f" ({low:{sign}.3f} to {high:{sign}.3f})" if np.isfinite(low) else ""
    return f"{found.median:{sign}.3f}{interval}"


def _variants(text: str) -> list[str]:
    variants = text.split(",")
    unknown = [variant for variant in variants if variant not in VARIANTS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no such variant: {', '.join(unknown)}. Known: {', '.join(VARIANTS)}"
        )
    return variants


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("set", help=f"ratings file (CSV), or {', '.join(SETS)}")
    parser.add_argument("--mos-range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="of a ratings file")
    parser.add_argument("--seeds", type=int, default=10, help="how many splits (10)")
    parser.add_argument("--shots", type=int, nargs="+", default=[50])
    parser.add_argument("--variants", type=_variants, default=",".join(_USUAL), help="which rows, by comma")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--grid-rates", type=float, nargs="+", default=Grid.learning_rates, help="-cv")
    parser.add_argument("--grid-epochs", type=int, nargs="+", default=Grid.epochs, help="-cv")
    parser.add_argument("--folds", type=int, default=Grid.folds, help="-cv")
    parser.add_argument("--curve", type=Path, help="picture of SRCC against shots, .svg")
    parser.add_argument("--work", type=Path, default=Path(".work/adaptation"))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    variants = arguments.variants
    torch.set_num_threads(arguments.threads)
    shipped = Path(__file__).parents[2] / "configs" / "tiny" / "adapt.yml"
    settings = read_yaml(AdaptConfig, shipped).training
    given = {"learning_rate": arguments.learning_rate, "epochs": arguments.epochs}
    settings = dataclasses.replace(settings, **{k: v for k, v in given.items() if v is not None})
    grid = Grid(tuple(arguments.grid_rates), tuple(arguments.grid_epochs), arguments.folds)
    models = {METRIC if variant.startswith("metric") else HONEST for variant in variants}
    for name, every in find_sets(arguments.set, arguments.mos_range, arguments.work).items():
        ratings, left_out = without_learned(every, models)
        print(f"{name}: {len(ratings.images)} rated images; {left_out} left out that a model learned from")
        bench = Bench(ratings, settings, grid, arguments.work / "results" / name)
        results: dict[int, Results] = {}
        for shots in arguments.shots:
            # Split by split: the variants share what they compute on one.
            rows = [{v: bench.row(v, shots, seed) for v in variants} for seed in range(arguments.seeds)]
            results[shots] = {v: [row[v] for row in rows] for v in variants}
            print(file=sys.stderr)
            report(name, shots, results[shots])
        if arguments.curve is not None:
            draw_curve(arguments.curve, name, results)


if __name__ == "__main__":
    main()
