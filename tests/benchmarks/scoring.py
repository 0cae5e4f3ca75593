"""Images a second of `grmp score`'s machinery, from files and by the network alone, in float32 on the CPU.

    python tests/benchmarks/scoring.py [--images 32] [--rounds 5] [--threads 1 2]

JPEG files of 512 x 384 pixels, decoded, cut and scored, by the embedded model and by ViT-B/16 with random
weights, which cost as much time as any others. `alone` is the same with views that were cut beforehand. Each
round does everything once, one after the other, so that a drift of the machine touches all alike; ratios are
taken within a round, and their median is printed, with the lowest and the highest.
"""

import argparse
import tempfile
import time
from itertools import product

import numpy as np
import torch
from forward import random_network
from photographs import photographs
from PIL import Image

from grmp_plugin.data.sources import ImageSource
from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions
from grmp_plugin.network.grmp_iqa import GRMPIQA


class Alone(Scorer):
    """A scorer that finds the views of every image cut."""

    def cut(self, files: list[str]) -> None:
        from grmp_plugin.data.sources import FileImage

        self._views = {file: Scorer._load(self, FileImage(file)) for file in files}

    def _load(self, source: ImageSource) -> torch.Tensor:
        return self._views[source.name]


def saved_photographs(folder: str, count: int) -> list[str]:
    files = []
    for number, picture in enumerate(photographs().values()):
        for repeat in range(-(-count // 12)):
            files.append(f"{folder}/{number}-{repeat}.jpg")
            Image.fromarray(picture).resize((512, 384)).save(files[-1], quality=90)
    return files[:count]


def summary(ratios: np.ndarray) -> str:
    return f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    arguments = parser.parse_args()
    networks = {"tiny": GRMPIQA("grmp_iqa-tiny"), "ViT-B/16": random_network()}
    ways = {"files": Scorer, "alone": Alone}
    with tempfile.TemporaryDirectory() as folder:
        files = saved_photographs(folder, arguments.images)
        scorers = {}
        for name, way, threads in product(networks, ways, arguments.threads):
            options = ScoringOptions(device="cpu", precision="fp32", threads=threads)
            scorers[name, way, threads] = scorer = ways[way](networks[name], options)
            if isinstance(scorer, Alone):
                scorer.cut(files)
        rounds = []
        for _ in range(arguments.rounds + 1):
            rounds.append({})
            for case, scorer in scorers.items():
                torch.set_num_threads(case[2])
                started = time.perf_counter()
                assert all(row.score is not None for row in scorer.score(files))
                rounds[-1][case] = arguments.images / (time.perf_counter() - started)
    speeds = {case: np.array([one[case] for one in rounds[1:]]) for case in scorers}  # the first warms up
    print(f"{arguments.images} files of 512 x 384, {arguments.rounds} rounds")
    first, last = arguments.threads[0], arguments.threads[-1]
    for name in networks:
        for threads in arguments.threads:
            fast, alone = speeds[name, "files", threads], speeds[name, "alone", threads]
            print(
                f"{name}, {threads} threads: {np.median(fast):.1f} images/s from files; "
                f"{summary(fast / alone)} of the network alone"
            )
        if first != last:
            gain = speeds[name, "files", last] / speeds[name, "files", first]
            print(f"{name}, {last} threads: {summary(gain)} times the speed of {first}")
    ratios = speeds["tiny", "files", last] / speeds["ViT-B/16", "files", last]
    print(f"tiny: {summary(ratios)} times as many images a second as ViT-B/16")


if __name__ == "__main__":
    main()
