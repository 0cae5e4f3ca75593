"""How well the embedded models judge distorted photographs, none of which they were trained on.

    python tests/benchmarks/embedded_quality.py [--model NAME|FILE ...] [--photographs N]

Twelve photographs from scikit-image and scikit-learn, every kind of the distortion bank at every level,
leaving out what changes nothing (the colours of a grey photograph). Beside the models PIQE (pyiqa) and the
variance of the Laplacian, on the images valid for all. Then 48 disjoint regions, quarters of the photographs,
each in one random version; and each photograph beside its copy of half the size. Prints the Markdown tables
of the model card.
"""

import argparse
import sys
from dataclasses import dataclass

import cv2
import numpy as np
from judges import Judge, metrics
from photographs import photographs

from grmp_plugin.network.models import find_checkpoint
from grmp_plugin.statistics.agreement import bootstrap_interval
from grmp_plugin.statistics.correlation import srcc
from grmp_plugin.synthetic.distortions import DISTORTIONS, distort
from grmp_plugin.synthetic.pseudo_mos import pseudo_mos

SEED = 0
LEVELS = range(1, 6)
# Kinds that no task of the meta-prompts of grmp_iqa-tiny-meta had.
HELD_OUT = find_checkpoint("grmp_iqa-tiny-meta").info["held_out"]


@dataclass
class Table:
    """Images with their labels and everyone's scores.

    Attributes:
        photograph, kind, level, label: one entry for each image; kind "" is pristine.
        scores: by metric.
    """

    photograph: np.ndarray
    kind: np.ndarray
    level: np.ndarray
    label: np.ndarray
    scores: dict[str, np.ndarray]

    def where(self, chosen: np.ndarray) -> "Table":
        """Some of the images."""
        columns = (self.photograph, self.kind, self.level, self.label)
        return Table(*(c[chosen] for c in columns), {m: v[chosen] for m, v in self.scores.items()})

    def valid(self) -> "Table":
        """The images for which every metric gave a number."""
        return self.where(np.all([np.isfinite(values) for values in self.scores.values()], axis=0))


def all_versions(pictures: dict[str, np.ndarray], judges: dict[str, Judge]) -> Table:
    """Every kind at every level of every picture."""
    rows, scores = [], []
    for number, (name, pristine) in enumerate(pictures.items()):
        print(f"{name} {pristine.shape[1]}x{pristine.shape[0]}", file=sys.stderr)
        for kind, level in [("", 0)] + [(kind, level) for kind in DISTORTIONS for level in LEVELS]:
            image = distort(pristine, kind, level, SEED + number) if level else pristine
            if level and np.array_equal(image, pristine):
                continue
            rows.append((name, kind, level, pseudo_mos(pristine, image)))
            scores.append([judge(image) for judge in judges.values()])
    return _table(rows, scores, judges)


def regions(pictures: dict[str, np.ndarray], judges: dict[str, Judge]) -> Table:
    """The quarters of the pictures, each in one random version."""
    rng = np.random.default_rng(SEED)
    rows, scores = [], []
    for name, picture in pictures.items():
        height, width = (side // 2 for side in picture.shape[:2])
        for top in (0, height):
            for left in (0, width):
                pristine = picture[top : top + height, left : left + width]
                kind, level = str(rng.choice(list(DISTORTIONS))), int(rng.integers(6))
                image = distort(pristine, kind, level, SEED) if level else pristine
                rows.append((name, kind if level else "", level, pseudo_mos(pristine, image)))
                scores.append([judge(image) for judge in judges.values()])
    return _table(rows, scores, judges)


def _table(rows: list, scores: list, judges: dict[str, Judge]) -> Table:
    columns = (np.array(column) for column in zip(*rows, strict=True))
    return Table(*columns, dict(zip(judges, np.array(scores).T, strict=True)))


def report_versions(table: Table) -> None:
    """The tables about all versions."""
    count = len(table.label)
    table = table.valid()
    names = list(dict.fromkeys(table.photograph))
    print(f"{len(table.label)} of {count} images valid for all metrics, {len(names)} photographs\n")
    print(
        "| metric | SRCC, pseudo-MOS (95%, by photograph) | SRCC, level | pristine above level 3 | "
        "SRCC, held-out kinds | SRCC without warp |\n|---|---|---|---|---|---|"
    )
    pairs: dict[str, dict[int, list[bool]]] = {
        metric: {level: [] for level in LEVELS} for metric in table.scores
    }
    per_kind: dict[str, dict[str, float]] = {}
    for metric, values in table.scores.items():
        correlations: dict[str, list[float]] = {kind: [] for kind in DISTORTIONS}
        for name in names:
            own = table.photograph == name
            original = values[own & (table.level == 0)]
            for kind in DISTORTIONS:
                chosen = own & (table.kind == kind)
                if chosen.sum() >= 3:
                    correlations[kind].append(np.nan_to_num(srcc(values[chosen], -table.level[chosen])))
                if not len(original):
                    continue
                for level in LEVELS:
                    pairs[metric][level] += (original[0] > values[chosen & (table.level == level)]).tolist()
        per_kind[metric] = {kind: float(np.mean(found)) for kind, found in correlations.items()}
        within = np.mean([value for found in correlations.values() for value in found])
        unseen = np.isin(table.kind, ("", *HELD_OUT))
        held_out = srcc(values[unseen], table.label[unseen])
        overall = _with_interval(table, values)
        third = np.mean(pairs[metric][3])
        flat = table.kind != "warp"
        without = srcc(values[flat], table.label[flat])
        print(f"| {metric} | {overall} | {within:.3f} | {third:.3f} | {held_out:.3f} | {without:.3f} |")
    print("\n| pristine above its copy of level | " + " | ".join(str(level) for level in LEVELS) + " |")
    print("|---|" + "---|" * len(LEVELS))
    for metric, found in pairs.items():
        print(f"| {metric} | " + " | ".join(f"{np.mean(found[level]):.3f}" for level in LEVELS) + " |")
    print("\n| distortion | " + " | ".join(table.scores) + " |\n|---|" + "---|" * len(table.scores))
    for kind in DISTORTIONS:
        cells = " | ".join(f"{per_kind[metric][kind]:.2f}" for metric in table.scores)
        print(f"| {kind} | {cells} |")


def report_regions(table: Table) -> None:
    """SRCC between different pictures."""
    count = len(table.label)
    table = table.valid()
    print(f"\n{len(table.label)} of {count} regions valid for all metrics\n")
    print("| metric | SRCC, pseudo-MOS, between regions (95%, by photograph) |\n|---|---|")
    for metric, values in table.scores.items():
        print(f"| {metric} | {_with_interval(table, values)} |")


def report_sizes(pictures: dict[str, np.ndarray], judges: dict[str, Judge]) -> None:
    """Scores of the photographs, and of their copies of half the size."""
    print("\n| metric | photographs | half size minus whole, mean | mean of the absolute difference |")
    print("|---|---|---|---|")
    for metric, judge in judges.items():
        whole = np.array([judge(picture) for picture in pictures.values()])
        half = [
            judge(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
            for picture in pictures.values()
        ]
        change = np.array(half) - whole
        spread = f"{whole.min():.2f} to {whole.max():.2f}"
        print(f"| {metric} | {spread} | {change.mean():+.3f} | {np.abs(change).mean():.3f} |")


def _with_interval(table: Table, values: np.ndarray) -> str:
    interval = bootstrap_interval(values, table.label, groups=list(table.photograph), resamples=1000)
    return f"{srcc(values, table.label):.3f} ({interval.low:.3f} to {interval.high:.3f})"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--model", nargs="+", default=["grmp_iqa-tiny", "grmp_iqa-tiny-meta"])
    parser.add_argument("--photographs", type=int, default=12, help="how many of the twelve (12)")
    arguments = parser.parse_args()
    judges = metrics(arguments.model)
    pictures = dict(list(photographs().items())[: arguments.photographs])
    report_versions(all_versions(pictures, judges))
    report_regions(regions(pictures, judges))
    report_sizes(pictures, {model: judges[model] for model in arguments.model})


if __name__ == "__main__":
    main()
