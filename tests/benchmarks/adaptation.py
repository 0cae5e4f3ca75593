"""What few ratings, meta-prompts and gradient regularization buy on the embedded backbones.

    python tests/benchmarks/adaptation.py demo [--seeds 10] [--variants metric,meta,random] [--work FOLDER]
    python tests/benchmarks/adaptation.py photographs
    python tests/benchmarks/adaptation.py demo --shots 10 25 50 100 200 --seeds 5 --curve curve.svg

`demo` is the demo's ratings; `photographs` are 16 pictures of scikit-image and scikit-learn in 36 versions
each, rated by the demo's simulated observer; `photographs-pseudo` are the same, rated by pseudo-MOS, which
grmp_iqa-tiny was trained on. `tuning` are drawn pictures with three simulated observers of other tastes than
the demo's, on which learning rate and epochs were chosen (--learning-rate, --epochs try others).

Variants: `metric` starts from grmp_iqa-tiny; `meta` from grmp_iqa-tiny-meta, `random` from its backbone with
random prompts (-1, -0: with lambda 1 and 0; else 5); `zero-shot` is that backbone read through hand-written
texts; `ridge` is ridge regression on its features, with the same shots. Prints Markdown. Each result is kept
in the work folder, and what is there is not computed again.
"""

import argparse
import csv
import dataclasses
import functools
import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from photographs import OTHERS, TWELVE, photographs
from PIL import Image
from sklearn.linear_model import RidgeCV

from grmp_plugin.config import SCENES, read_yaml
from grmp_plugin.data.demo import demo_ratings
from grmp_plugin.data.distortions import DISTORTIONS, distort
from grmp_plugin.data.observer import GRADES, Observer
from grmp_plugin.data.pseudo_mos import pseudo_mos
from grmp_plugin.data.ratings import Ratings, read_ratings
from grmp_plugin.data.scenes import draw_scene
from grmp_plugin.evaluation.statistics import plcc, spread, srcc
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.models import weights_digest
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.network.start import starting_checkpoint, with_new_prompts
from grmp_plugin.training.embedded.captions import PLAIN_QUALITY_TEXTS
from grmp_plugin.training.few_shot import FewShot
from grmp_plugin.training.settings import AdaptConfig, AdaptSettings
from grmp_plugin.training.shots_data import RatedViews
from grmp_plugin.training.watch import Watch

_LONGEST = 512  # pixels; larger photographs are reduced to it
_VERSIONS = 36  # of each photograph, the pristine one included
_TUNING_SEED = 2**34
_ENDS = {"mos": GRADES, "pseudo": (0.0, 1.0)}
_METRIC, _HONEST = "grmp_iqa-tiny", "grmp_iqa-tiny-meta"
_ALPHAS = np.logspace(-3, 3, 13)

# Start and lambda.
TRAINED = {
    "metric": (_METRIC, 5.0),
    "metric-0": (_METRIC, 0.0),
    "meta": (_HONEST, 5.0),
    "meta-1": (_HONEST, 1.0),
    "meta-0": (_HONEST, 0.0),
    "random": ("random", 5.0),
    "random-1": ("random", 1.0),
    "random-0": ("random", 0.0),
}
ON_FEATURES = ("zero-shot", "ridge")
_OF_METRIC = ("metric", "metric-0")


def make_photographs(folder: Path, column: str) -> list[Ratings]:
    every = [(kind, level) for kind in DISTORTIONS for level in range(1, 6)]
    observer = Observer()
    rows = []
    for number, (name, pristine) in enumerate(photographs(TWELVE + OTHERS, _LONGEST).items()):
        chosen = np.random.default_rng([1, number]).choice(len(every), _VERSIONS - 1, replace=False)
        for kind, level in [(None, 0), *(every[index] for index in chosen)]:
            image = distort(pristine, kind, level, number) if kind else pristine
            labels = {"mos": observer.mos(name, kind, level), "pseudo": pseudo_mos(pristine, image)}
            rows.append((_save(folder, image, name, kind, level), name, labels[column]))
    return [_ratings(folder, "photographs", (column,), rows, _ENDS[column], column)]


def make_tuning(folder: Path) -> list[Ratings]:
    families = ("blur", "noise", "compression", "tone", "colour", "spatial", "sharpness")
    observers = []
    for number in range(3):
        taste = np.random.default_rng([77, number]).uniform(0.25, 0.85, len(families))
        annoyance = dict(zip(families, taste.tolist(), strict=True))
        observers.append(Observer(annoyance=annoyance, liked={}, seed=100 + number))
    rows = []
    for number in range(72):
        name = f"{SCENES[number % len(SCENES)]}_{number:02d}"
        pristine = draw_scene(SCENES[number % len(SCENES)], _TUNING_SEED + number, 288, 288)
        rng = np.random.default_rng([5, number])
        kinds = rng.choice(list(DISTORTIONS), 7, replace=False)
        for kind in (None, *(str(kind) for kind in kinds)):
            level = int(rng.integers(1, 6)) if kind else 0
            image = distort(pristine, kind, level, number) if kind else pristine
            file = _save(folder, image, name, kind, level)
            rows.append((file, name, *(observer.mos(name, kind, level) for observer in observers)))
    columns = tuple(f"mos{number}" for number in range(3))
    return [_ratings(folder, "tuning", columns, rows, None, column) for column in columns]


def _save(folder: Path, image: np.ndarray, name: str, kind: str | None, level: int) -> str:
    file = f"{name}_{kind}_{level}.png" if kind else f"{name}.png"
    Image.fromarray(image).save(folder / file, compress_level=1)
    return file


def _ratings(
    folder: Path,
    name: str,
    columns: tuple[str, ...],
    rows: list,
    ends: tuple[float, float] | None,
    column: str,
) -> Ratings:
    with (folder / f"{name}.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "reference", *columns))
        writer.writerows(rows)
    return read_ratings(folder / f"{name}.csv", mos_column=column, mos_range=ends)


class Told(Watch):
    """Says on stderr that something goes on."""

    def step(self, step) -> None:
        if step.step == step.steps:
            print(".", end="", file=sys.stderr, flush=True)


class Bench:
    """Ratings, and what was computed on them."""

    def __init__(self, name: str, ratings: Ratings, settings: AdaptSettings, kept: Path) -> None:
        self.name, self.ratings, self.settings, self.kept = name, ratings, settings, kept

    def rows(self, variant: str, shots: int, seeds: int) -> list[dict[str, float]]:
        """One row for each seed: SRCC before and after, and what happened in training."""
        return [self._row(variant, shots, seed) for seed in range(seeds)]

    def _row(self, variant: str, shots: int, seed: int) -> dict[str, float]:
        settings = dataclasses.replace(self.settings, shots=shots)
        weights = _digest(_METRIC if variant in _OF_METRIC else _HONEST)
        key = f"{self.name} {variant} {shots} {seed} {settings.learning_rate} {settings.epochs} {weights}"
        known = _read(self.kept)
        if key not in known:
            found = self._features(variant, settings, seed) if variant in ON_FEATURES else None
            found = found or self._trained(variant, settings, seed)
            # Read again: another process may have written meanwhile.
            known = _read(self.kept) | {key: found}
            self.kept.write_text(json.dumps(known, indent=0))
        return known[key]

    def _trained(self, variant: str, settings: AdaptSettings, seed: int) -> dict[str, float]:
        model, strength = TRAINED[variant]
        few_shot = self._few_shot(_start(model, seed), dataclasses.replace(settings, strength=strength))
        ((adapted, _),) = few_shot.splits(seed, 1)
        mos = self.ratings.mos
        return {
            "before": srcc(adapted.before, mos[adapted.split.test]),
            "after": srcc(adapted.after, mos[adapted.split.test]),
            "shots before": srcc(adapted.shots_before, mos[adapted.split.shots]),
            "shots after": srcc(adapted.shots_after, mos[adapted.split.shots]),
            "angle": adapted.angle,
            "projected": adapted.projected,
            "moved": adapted.moved,
        }

    def _features(self, variant: str, settings: AdaptSettings, seed: int) -> dict[str, float]:
        split = self._few_shot(_start(_HONEST, 0), settings).split(seed)
        features, scores = self._frozen
        mos = self.ratings.mos
        row = {"before": srcc(scores[split.test], mos[split.test])}
        if variant == "zero-shot":
            return row
        ridge = RidgeCV(alphas=_ALPHAS).fit(features[split.shots], mos[split.shots])
        return row | {"after": srcc(ridge.predict(features[split.test]), mos[split.test])}

    def _few_shot(self, start: Checkpoint, settings: AdaptSettings) -> FewShot:
        judge = lambda scores, quality: plcc(scores, quality) + srcc(scores, quality)  # noqa: E731
        return FewShot(start, self.ratings, settings, device="cpu", watch=Told(), judge=judge)

    @functools.cached_property
    def _frozen(self) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, D) of the plain backbone, mean over views, and zero-shot scores (N,)."""
        network = GRMPIQA(_HONEST)
        config = network.config.preprocess
        images = RatedViews(self.ratings.images, np.zeros(len(self.ratings.images)), config)
        features, scores = [], []
        with torch.inference_mode():
            texts = network.text_features(PLAIN_QUALITY_TEXTS)
            for number in range(len(images)):
                found = network.plain_image_features(normalize(images.views(number).float() / 255, config))
                logits = network.clip.logit_scale.exp() * found @ texts.T
                features.append(found.mean(0).numpy())
                scores.append(logits.softmax(-1)[:, 0].mean().item())
        return np.array(features), np.array(scores)


@functools.cache
def _digest(model: str) -> str:
    """What tells one release of the weights from another."""
    return weights_digest(model)[:8]


def _start(model: str, seed: int) -> Checkpoint:
    if model == "random":
        return with_new_prompts(starting_checkpoint(_HONEST, 0), seed)
    return starting_checkpoint(model, 0)


def _read(file: Path) -> dict:
    return json.loads(file.read_text()) if file.exists() else {}


def report(name: str, shots: int, results: dict[str, list[dict[str, float]]]) -> None:
    """Print the table of one set at one number of shots."""
    seeds = len(next(iter(results.values())))
    print(f"\n{name}, {shots} shots, {seeds} seeds: medians with 95% bootstrap intervals over seeds\n")
    print("| variant | SRCC before | after | change | shots, after | moved | angle | projected |")
    print("|---|---|---|---|---|---|---|---|")
    for variant, rows in results.items():
        columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        cells = [_cell(columns["before"])]
        cells += (
            [_cell(columns["after"]), _cell(columns["after"] - columns["before"], "+")]
            if "after" in columns
            else ["", ""]
        )
        for key, form in (("shots after", ".3f"), ("moved", ".2%"), ("angle", ".1f"), ("projected", ".0%")):
            known = columns.get(key, np.array([np.nan]))
            cells.append(f"{np.median(known):{form}}" if np.isfinite(known).all() else "")
        print(f"| {variant} | " + " | ".join(cells) + " |")


def draw_curve(file: Path, name: str, results: dict[int, dict[str, list[dict[str, float]]]]) -> None:
    """Draw SRCC after adaptation against the number of shots, one line for each variant."""
    matplotlib.use("svg")
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    shots = sorted(results)
    for variant, mark in zip(results[shots[0]], "osD^vP", strict=False):
        found = [spread([row["after"] for row in results[count][variant]]) for count in shots]
        medians = np.array([each.median for each in found])
        bounds = np.array([each.interval for each in found]).T
        axes.errorbar(shots, medians, np.abs(bounds - medians), marker=mark, capsize=3, label=variant)
        before = np.median([row["before"] for row in results[shots[0]][variant]])
        if variant in TRAINED:
            axes.axhline(before, color=axes.lines[-1].get_color(), linestyle=":", linewidth=1)
    axes.set(xscale="log", xlabel="rated images learned from", ylabel="SRCC on the others", title=name)
    axes.set_xticks(shots, [str(count) for count in shots])
    axes.minorticks_off()
    figure.legend(title="dotted: before", loc="outside right center")
    figure.savefig(file, metadata={"Date": None})


def _cell(values: np.ndarray, sign: str = "") -> str:
    found = spread(values)
    low, high = found.interval
    return f"{found.median:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("set", choices=("demo", "photographs", "photographs-pseudo", "tuning"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--shots", type=int, nargs="+", default=[50])
    parser.add_argument("--variants", default=",".join([*ON_FEATURES, *TRAINED]), help="which rows, by comma")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--curve", type=Path, help="picture of SRCC against shots, .svg")
    parser.add_argument("--work", type=Path, default=Path(".work/adaptation"))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shipped = Path(__file__).parents[2] / "configs" / "tiny" / "adapt.yml"
    settings = read_yaml(AdaptConfig, shipped).training
    given = {"learning_rate": arguments.learning_rate, "epochs": arguments.epochs}
    settings = dataclasses.replace(settings, **{k: v for k, v in given.items() if v is not None})
    folder = arguments.work / arguments.set
    folder.mkdir(parents=True, exist_ok=True)
    make = {
        "demo": lambda: [demo_ratings()],
        "photographs": lambda: make_photographs(folder, "mos"),
        "photographs-pseudo": lambda: make_photographs(folder, "pseudo"),
        "tuning": lambda: make_tuning(folder),
    }
    for number, ratings in enumerate(make[arguments.set]()):
        name = f"{arguments.set} {number}" if arguments.set == "tuning" else arguments.set
        bench = Bench(name, ratings, settings, arguments.work / "results.json")
        variants = arguments.variants.split(",")
        results = {}
        for shots in arguments.shots:
            results[shots] = {v: bench.rows(v, shots, arguments.seeds) for v in variants}
            report(name, shots, results[shots])
        if arguments.curve is not None:
            draw_curve(arguments.curve, name, results)


if __name__ == "__main__":
    main()
