"""Images a second of `grmp score`'s machinery: the embedded model against ViT-B/16, from files, in float32.

    python tests/benchmarks/scoring.py [--images 32] [--rounds 5]

JPEG files of 512 x 384 pixels, decoded, cut and scored. ViT-B/16 has random weights, which cost as much time
as any others. Each round scores the files with both, one after the other; ratios are taken within a round.
"""

import argparse
import tempfile
import time

import numpy as np
import torch
from forward import random_network
from photographs import photographs
from PIL import Image

from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions
from grmp_plugin.network.grmp_iqa import GRMPIQA


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    options = ScoringOptions(device="cpu", precision="fp32")
    scorers = {
        "tiny": Scorer(GRMPIQA("grmp_iqa-tiny"), options),
        "ViT-B/16": Scorer(random_network(), options),
    }
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, picture in enumerate(photographs().values()):
            for repeat in range(-(-arguments.images // 12)):
                files.append(f"{folder}/{number}-{repeat}.jpg")
                Image.fromarray(picture).resize((512, 384)).save(files[-1], quality=90)
        files = files[: arguments.images]
        ratios = []
        for _ in range(arguments.rounds + 1):
            seconds = {}
            for name, scorer in scorers.items():
                started = time.perf_counter()
                assert all(row.score is not None for row in scorer.score(files))
                seconds[name] = time.perf_counter() - started
            ratios.append(seconds["ViT-B/16"] / seconds["tiny"])
    ratios = np.array(ratios[1:])  # the first round warms up
    print(
        f"{arguments.images} files of 512 x 384, {arguments.threads} threads: the embedded model scores "
        f"{np.median(ratios):.1f} times as many images a second as ViT-B/16 "
        f"({ratios.min():.1f} to {ratios.max():.1f} over {len(ratios)} rounds)"
    )


if __name__ == "__main__":
    main()
