"""What a job of scoring costs beside the network: rows a second, and memory.

    python tests/benchmarks/jobs.py rows [--counts 5000 100000 1000000] [--engine ray]
    python tests/benchmarks/jobs.py names [--counts 5000 100000]
    python tests/benchmarks/jobs.py files [--counts 5000 100000] [--picture memory.png]

`rows`: a Parquet list of so many paths, each of which is looked at, but not read, and gets a constant score:
listing, shards, journal and parts. With Ray the rows also travel from two workers to the driver.
`names`: the same for a folder of so many files.
`files`: a folder of so many JPEG files of 96 x 72 pixels, which are read, decoded and cut into views; only
the network is left out. The picture is the memory of the process over time.

Each count runs in a process of its own. Memory is the resident set of that process, without Ray's others.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow
import pyarrow.parquet
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.data.units import Unit
from grmp_plugin.evaluation.scoring import ImageScore, Scorer
from grmp_plugin.jobs import on_ray
from grmp_plugin.jobs.rows import JobRow

SCORE = 0.5


class ScoreUnread:
    """A worker on Ray that scores what it does not read."""

    def __init__(self, **given) -> None:
        pass

    def __call__(self, batch):
        import pickle

        units: list[tuple[Unit, str]] = [pickle.loads(one) for one in batch.column("unit").to_pylist()]
        yield on_ray._table([JobRow(unit.name, SCORE, None, None, version) for unit, version in units])


def score_unread(self, images):
    for image in images:
        yield ImageScore(image.name, SCORE)


def without_network(self, views):
    return [SCORE] * len(views)


class Memory(threading.Thread):
    """Samples the resident set of this process, MB, over seconds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, float]] = []
        self._process, self._begun, self._over = psutil.Process(), time.monotonic(), threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.05):
            self.samples.append((time.monotonic() - self._begun, self._process.memory_info().rss / 1e6))

    def end(self) -> list[tuple[float, float]]:
        self._over.set()
        self.join()
        return self.samples


def one(kind: str, count: int, engine: str) -> None:
    """Run one job in this process, and print what it took as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "list.parquet" if kind == "rows" else "photos")
        if kind == "rows":
            import jobs  # by its name, by which Ray's workers find it

            Scorer.score, on_ray._Worker = score_unread, jobs.ScoreUnread
            names = [f"photos/{number:09d}.jpg" for number in range(count)]
            pyarrow.parquet.write_table(pyarrow.table({"image": names}), source)
            del names
        else:
            if kind == "names":
                Scorer.score = score_unread
            Scorer._run = without_network
            make_files(source, count)
        memory = Memory()
        started = time.perf_counter()
        memory.start()
        workers = {"workers": 2} if engine == "ray" else {}
        saved = grmp.score(str(source), out=Path(folder, "scores"), engine=engine, **workers)
        seconds = time.perf_counter() - started
        samples = memory.end()
        assert (saved.images, saved.failed) == (count, 0), saved
    print(json.dumps({"seconds": seconds, "samples": samples}))


def make_files(folder: Path, count: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        if number < 100:
            Image.fromarray(rng.integers(0, 256, (72, 96, 3), np.uint8)).save(folder / f"{number}.jpg")
        else:
            os.link(folder / f"{number % 100}.jpg", folder / f"{number}.jpg")


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("kind", choices=["rows", "names", "files"])
    parser.add_argument("--counts", type=int, nargs="+")
    parser.add_argument("--engine", choices=["local", "ray"], default="local")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.kind, arguments.one, arguments.engine)
        return
    counts = arguments.counts or ([5000, 100_000, 1_000_000] if arguments.kind == "rows" else [5000, 100_000])
    curves = {}
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    for count in counts:
        command = [
            sys.executable,
            __file__,
            arguments.kind,
            "--engine",
            arguments.engine,
            "--one",
            str(count),
        ]
        found = json.loads(
            subprocess.run(command, check=True, capture_output=True, env=environment).stdout.splitlines()[-1]
        )
        curves[count] = found["samples"]
        most = max(memory for _, memory in found["samples"])
        print(
            f"{count:,} {arguments.kind}, {arguments.engine}: {found['seconds']:.1f} s with the start, "
            f"{count / found['seconds']:,.0f}/s, at most {most:.0f} MB",
            flush=True,
        )
    if arguments.picture:
        draw(curves, arguments.picture)


def draw(curves: dict[int, list[tuple[float, float]]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for count, samples in curves.items():
        seconds, memory = zip(*samples, strict=True)
        axes.plot(seconds, memory, label=f"{count:,} files", linewidth=1)
    axes.set(xlabel="seconds", ylabel="resident memory, MB", ylim=(0, None), xlim=(0, None))
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
