"""Start of `grmp score` against `import torch`, and its images a second on all cores against one core.

    python tests/benchmarks/startup.py [--images 200] [--rounds 5] [--model NAME_OR_FILE | --vit]

Whole processes, as typed, with default settings. The start is that of scoring one image with the embedded
model. The files are JPEGs of 512 x 384 pixels: photographs and drawn scenes. Each round runs all four, one
after another, so that a drift of the machine touches them alike; ratios are taken within a round. Seconds of
CPU stand beside those on the clock: other programs on the machine stretch them less.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from photographs import photographs
from PIL import Image

from grmp_plugin.synthetic.scenes import SCENES, draw_scene

GRMP = str(Path(sys.executable).with_name("grmp"))
CORES = sorted(os.sched_getaffinity(0))


class Seconds(NamedTuple):
    """How long a process took."""

    clock: float
    cpu: float


def run(command: Sequence[str], cores: Sequence[int] = CORES) -> Seconds:
    """Run a program to its end on some of the cores."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    after, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    return Seconds(clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def images_per_second(folder: str, model: str, cores: Sequence[int]) -> float:
    """Rate of one run, as the run states it: without the start."""
    out = f"{folder}.json"
    run([GRMP, "score", folder, "--model", model, "--device", "cpu", "--out", out], cores)
    stated = json.loads(Path(out).read_text())["run"]
    assert stated["failed"] == 0
    return stated["images"] / stated["seconds"]


def make_files(folder: Path, count: int) -> None:
    """Photographs, mirrored or turned where they come again, and every third file a drawn scene."""
    pictures = list(photographs().values())
    for number in range(count):
        if number % 3 == 2:
            image = Image.fromarray(draw_scene(SCENES[number % len(SCENES)], number, 384, 512))
        else:
            image = Image.fromarray(pictures[number % len(pictures)]).resize((512, 384))
            image = image.rotate(number // len(pictures) * 3)
        image.save(folder / f"{number}.jpg", quality=90)


def described(ratios: Sequence[float]) -> str:
    """Median and range."""
    return f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} rounds)"


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="grmp_iqa-tiny", help="whose images a second are measured")
    parser.add_argument("--vit", action="store_true", help="measure ViT-B/16, with random weights, instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        folder.mkdir()
        make_files(folder, arguments.images)
        model = write_vit(Path(place)) if arguments.vit else arguments.model
        torch = [sys.executable, "-c", "import torch"]
        score = [GRMP, "score", str(folder / "0.jpg"), "--device", "cpu"]
        run(score)  # so that all files are in memory
        starts: list[tuple[Seconds, Seconds]] = []
        rates: list[tuple[float, float]] = []
        for _ in range(arguments.rounds):
            starts.append((run(torch), run(score)))
            rates.append(
                (
                    images_per_second(str(folder), model, CORES),
                    images_per_second(str(folder), model, CORES[:1]),
                )
            )
    clock = [score.clock / torch.clock for torch, score in starts]
    cpu = [score.cpu / torch.cpu for torch, score in starts]
    seconds = [float(np.median([pair[i].clock for pair in starts])) for i in (0, 1)]
    print(f"import torch {seconds[0]:.2f} s, grmp score of one image {seconds[1]:.2f} s")
    print(f"  ratio on the clock {described(clock)}")
    print(f"  ratio of CPU time  {described(cpu)}")
    many, one = (float(np.median([pair[i] for pair in rates])) for i in (0, 1))
    print(f"{arguments.images} files: {many:.1f} images/s on {len(CORES)} cores, {one:.1f} on one")
    print(f"  ratio {described([on_all / on_one for on_all, on_one in rates])}")


def write_vit(folder: Path) -> str:
    """A checkpoint file of ViT-B/16 with random weights, which cost as much time as any others."""
    from forward import random_network

    from grmp_plugin.network.checkpoint import Checkpoint, write_checkpoint

    network = random_network()
    path = folder / "vit.safetensors"
    write_checkpoint(Checkpoint(network.config, network.state_dict()), path)
    return str(path)


if __name__ == "__main__":
    main()
