"""Rated images for the benchmarks: drawn, distorted, or a ratings file of people's."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from photographs import OTHERS, TWELVE, photographs
from PIL import Image

from grmp_plugin.config import SCENES
from grmp_plugin.data.images import pixels_digest, read_image
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.network.models import find_checkpoint
from grmp_plugin.synthetic.demo import demo_ratings
from grmp_plugin.synthetic.distortions import DISTORTIONS, distort
from grmp_plugin.synthetic.observer import GRADES, Observer
from grmp_plugin.synthetic.pseudo_mos import pseudo_mos
from grmp_plugin.synthetic.scenes import draw_scene

SETS = ("demo", "photographs", "photographs-pseudo", "tuning")

_LONGEST = 512  # pixels; larger photographs are reduced to it
_VERSIONS = 36  # of each photograph, the pristine one included
_TUNING_SEED = 2**34
_ENDS = {"mos": GRADES, "pseudo": (0.0, 1.0)}


def find_sets(word: str, mos_range: tuple[float, float] | None, work: Path) -> dict[str, Ratings]:
    """Rated images by name.

    Args:
        word: one of `SETS`, or a ratings file.
        mos_range: of a ratings file, the ends of its scale.
        work: where images are made.
    """
    if word not in SETS:
        return {Path(word).stem: read_ratings(word, mos_range=mos_range)}
    folder = work / word
    folder.mkdir(parents=True, exist_ok=True)
    if word == "demo":
        return {word: demo_ratings()}
    if word == "tuning":
        return {f"{word} {number}": ratings for number, ratings in enumerate(_make_tuning(folder))}
    return {word: _make_photographs(folder, "pseudo" if word.endswith("pseudo") else "mos")}


def learned_digests(info: Mapping[str, Any]) -> set[str]:
    """SHA-256 of the decoded pixels of the rated images that a checkpoint learned from.

    Args:
        info: of the checkpoint; `learned_from`, if there, has the digests by name for each collection.
    """
    return {digest for images in info.get("learned_from", {}).values() for digest in images.values()}


def without_learned(ratings: Ratings, models: Iterable[str]) -> tuple[Ratings, int]:
    """The images that none of the models learned from, and how many are left out."""
    learned = set().union(*(learned_digests(find_checkpoint(model).info) for model in models))
    if not learned:
        return ratings, 0
    unseen = np.array([pixels_digest(read_image(image)) not in learned for image in ratings.images])
    return ratings.subset(unseen), int((~unseen).sum())


def _make_photographs(folder: Path, column: str) -> Ratings:
    every = [(kind, level) for kind in DISTORTIONS for level in range(1, 6)]
    observer = Observer()
    rows = []
    for number, (name, pristine) in enumerate(photographs(TWELVE + OTHERS, _LONGEST).items()):
        chosen = np.random.default_rng([1, number]).choice(len(every), _VERSIONS - 1, replace=False)
        for kind, level in [(None, 0), *(every[index] for index in chosen)]:
            image = distort(pristine, kind, level, number) if kind else pristine
            labels = {"mos": observer.mos(name, kind, level), "pseudo": pseudo_mos(pristine, image)}
            rows.append((_save(folder, image, name, kind, level), name, labels[column]))
    return _ratings(folder, "photographs", (column,), rows, _ENDS[column], column)


def _make_tuning(folder: Path) -> list[Ratings]:
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
