"""What 50 ratings, meta-prompts and gradient regularization buy on the embedded backbone.

    python tests/benchmarks/adaptation.py demo --prompts prompts.safetensors [--seeds 10] [--work FOLDER]
    python tests/benchmarks/adaptation.py photographs --prompts prompts.safetensors

`prompts.safetensors` is what `grmp pretrain --data drawn --out prompts.safetensors` writes. `demo` is the
demo's ratings; `photographs` are 16 pictures of scikit-image and scikit-learn in 36 versions each, rated by
the demo's simulated observer; `photographs-pseudo` are the same, rated by pseudo-MOS, which the embedded
model was trained on. `tuning` are drawn pictures with three simulated observers of other tastes than the
demo's, on which learning rate and epochs were chosen (--learning-rate, --epochs try others):

    python tests/benchmarks/adaptation.py tuning --learning-rate 0.1 --epochs 100 --variants shipped

Prints Markdown. Results are kept in the work folder, and what is there is not computed again.
"""

import argparse
import csv
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from grmp_plugin.config import SCENES, read_yaml
from grmp_plugin.data.demo import demo_ratings
from grmp_plugin.data.distortions import DISTORTIONS, distort
from grmp_plugin.data.observer import GRADES, Observer
from grmp_plugin.data.pseudo_mos import pseudo_mos
from grmp_plugin.data.ratings import Ratings, read_ratings
from grmp_plugin.data.scenes import draw_scene
from grmp_plugin.evaluation.statistics import plcc, spread, srcc
from grmp_plugin.network.checkpoint import Checkpoint, read_checkpoint
from grmp_plugin.network.start import starting_checkpoint, with_new_prompts
from grmp_plugin.training.few_shot import FewShot
from grmp_plugin.training.settings import AdaptConfig, AdaptSettings
from grmp_plugin.training.watch import Watch

_PHOTOGRAPHS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "camera.png"),
    *("brick.png", "grass.png", "gravel.png", "coins.png", "moon.png", "hubble_deep_field.jpg"),
    *("retina.jpg", "ihc.png"),
)
_SKLEARN = ("china.jpg", "flower.jpg")
_LONGEST = 512  # pixels; larger photographs are reduced to it
_VERSIONS = 36  # of each photograph, the pristine one included
_TUNING_SEED = 2**34
_ENDS = {"mos": GRADES, "pseudo": (0.0, 1.0)}
VARIANTS = {
    "shipped": "the released prompts",
    "meta-prompts": "prompts of grmp pretrain",
    "random prompts": "no pre-training of prompts",
    "unregularized": "the released prompts, lambda 0",
}


def photographs() -> dict[str, np.ndarray]:
    """Name -> (H, W, 3) uint8; grey ones are repeated."""
    folder = Path(skimage.data.__file__).parent
    images = {Path(name).stem: Image.open(folder / name).convert("RGB") for name in _PHOTOGRAPHS}
    images |= {Path(name).stem: Image.fromarray(load_sample_image(name)) for name in _SKLEARN}
    for image in images.values():
        image.thumbnail((_LONGEST, _LONGEST))
    return {name: np.asarray(image) for name, image in images.items()}


def make_photographs(folder: Path, column: str) -> list[Ratings]:
    every = [(kind, level) for kind in DISTORTIONS for level in range(1, 6)]
    observer = Observer()
    rows = []
    for number, (name, pristine) in enumerate(photographs().items()):
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
    """Says on stderr what is going on."""

    def step(self, step) -> None:
        if step.step == step.steps:
            print(".", end="", file=sys.stderr, flush=True)


def start_of(variant: str, prompts: Path | None, seed: int) -> Checkpoint:
    shipped = starting_checkpoint("grmp_iqa-tiny", 0)
    if variant == "meta-prompts":
        if prompts is None:
            raise SystemExit("--prompts FILE is needed for the variant meta-prompts")
        return read_checkpoint(prompts)
    return with_new_prompts(shipped, seed) if variant == "random prompts" else shipped


def run(variant: str, ratings: Ratings, settings: AdaptSettings, prompts: Path | None, seeds: int) -> list:
    """One row for each seed: SRCC before and after, and what happened in training."""
    if variant == "unregularized":
        settings = dataclasses.replace(settings, strength=0.0)
    judge = lambda scores, quality: plcc(scores, quality) + srcc(scores, quality)  # noqa: E731
    rows = []
    few_shot = None
    for seed in range(seeds):
        if few_shot is None or variant == "random prompts":
            start = start_of(variant, prompts, seed)
            few_shot = FewShot(start, ratings, settings, device="cpu", watch=Told(), judge=judge)
        ((adapted, _),) = few_shot.splits(seed, 1)
        mos = ratings.mos[adapted.split.test]
        rows.append(
            {
                "before": srcc(adapted.before, mos),
                "after": srcc(adapted.after, mos),
                "shots before": srcc(adapted.shots_before, ratings.mos[adapted.split.shots]),
                "shots after": srcc(adapted.shots_after, ratings.mos[adapted.split.shots]),
                "angle": adapted.angle,
                "projected": adapted.projected,
                "moved": adapted.moved,
            }
        )
    return rows


def report(name: str, results: dict[str, list[dict[str, float]]]) -> None:
    """Print the table of one set."""
    seeds = len(next(iter(results.values())))
    print(f"\n{name}, {seeds} seeds: medians with 95% bootstrap intervals over seeds\n")
    print("| start | SRCC before | after | change | against shipped | shots, after | moved |")
    print("|---|---|---|---|---|---|---|")
    base = np.array([row["after"] for row in results.get("shipped", next(iter(results.values())))])
    for variant, rows in results.items():
        columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        cells = [
            _cell(columns["before"]),
            _cell(columns["after"]),
            _cell(columns["after"] - columns["before"], "+"),
            "" if variant == "shipped" else _cell(columns["after"] - base, "+"),
            f"{np.median(columns['shots after']):.3f}",
            f"{np.median(columns['moved']):.2%}",
        ]
        print(f"| {variant} | " + " | ".join(cells) + " |")
    regular = [row for variant, rows in results.items() if variant != "unregularized" for row in rows]
    print(
        f"\nGradients at {np.median([row['angle'] for row in regular]):.1f} degrees, "
        f"{np.median([row['projected'] for row in regular]):.0%} of the tensors projected (medians)."
    )


def _cell(values: np.ndarray, sign: str = "") -> str:
    found = spread(values)
    low, high = found.interval
    return f"{found.median:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("set", choices=("demo", "photographs", "photographs-pseudo", "tuning"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--prompts", type=Path, help="meta-prompts, for the variant of that name")
    parser.add_argument(
        "--variants", default=",".join(VARIANTS), help="which rows, by comma: " + ", ".join(VARIANTS)
    )
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--epochs", type=int)
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
    variants = arguments.variants.split(",")
    for number, ratings in enumerate(make[arguments.set]()):
        results = {}
        for variant in variants:
            key = f"{arguments.set}{number} {variant} {settings} {arguments.seeds}"
            kept = arguments.work / "results.json"
            known = json.loads(kept.read_text()) if kept.exists() else {}
            if key not in known:
                rows = run(variant, ratings, settings, arguments.prompts, arguments.seeds)
                known = json.loads(kept.read_text()) if kept.exists() else {}
                known[key] = rows
                kept.write_text(json.dumps(known))
            results[variant] = known[key]
        report(f"{arguments.set} {number}" if arguments.set == "tuning" else arguments.set, results)


if __name__ == "__main__":
    main()
