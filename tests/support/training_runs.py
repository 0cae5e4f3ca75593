"""Shared by tests of commands: rated photographs, and cheap runs of the command.

Importing torch and pyiqa takes longer than a small training. `Forked` imports them in one process and forks
it for each run: every run is still a process of its own, with its arguments, working folder, output and exit
code, and can be killed at any moment. Run as a program, this file is that process.
"""

import csv
import importlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_IMPORTED = (
    "open_clip",
    "pyiqa",
    "safetensors.torch",
    "scipy.stats",
    "grmp_cli.adapt_table",
    "grmp_cli.progress",
    "grmp_plugin.api.adapt",
    "grmp_plugin.api.compare",
    "grmp_plugin.api.pretrain",
    "grmp_plugin.api.start",
    "grmp_plugin.evaluation.comparison",
    "grmp_plugin.evaluation.metrics",
    "grmp_plugin.training.few_shot",
    "grmp_plugin.training.meta_prompts",
    "grmp_plugin.training.named_data",
    "grmp_plugin.training.task_sources",
)
TRAIN = ("astronaut_1", "chelsea_0", "chelsea_3", "coffee_1", "coffee_5", "rocket_1")
_TIMEOUT = 120.0  # seconds that a run may take


# Rated photographs


def rated_photographs(folder: Path) -> None:
    """Fill a folder: `photos/` of 16 images, `ratings.csv`, and `small.yml` for a training of one second.

    Four photographs, each undistorted, and blurred, noisy, compressed or darkened at three levels. Six rows
    are `train` in the column `split`; they have neither the lowest nor the highest rating of all.
    """
    from PIL import Image

    from grmp_plugin.synthetic.distortions import distort

    (folder / "photos").mkdir(parents=True)
    rows = []
    kinds = ("gaussian_blur", "white_noise", "jpeg", "darken")
    for number, (name, crop) in enumerate(crops().items()):
        for level in (0, 1, 3, 5):
            image = distort(crop, kinds[number], level, seed=number) if level else crop
            Image.fromarray(image).save(folder / "photos" / f"{name}_{level}.png")
            side = "train" if f"{name}_{level}" in TRAIN else "test"
            rows.append((f"photos/{name}_{level}.png", f"{80 - 12 * level + 2.5 * number}", side))
    write_csv(folder / "ratings.csv", [("image", "mos", "split"), *rows])
    (folder / "small.yml").write_text(
        "training: {method: prompts, shots: 6, epochs: 4, learning_rate: 0.1, views: 2}\n", encoding="utf-8"
    )


def crops() -> dict[str, Any]:
    """Parts of four photographs, (120, 130, 3) uint8, by name."""
    from skimage import data

    pictures = {
        "astronaut": data.astronaut(),
        "chelsea": data.chelsea(),
        "coffee": data.coffee(),
        "rocket": data.rocket(),
    }
    return {name: pixels[60:180, 100:230] for name, pixels in pictures.items()}


def write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


# Runs


@dataclass(frozen=True)
class Result:
    """How a run ended; the code is negative if a signal ended it."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output, in UTF-8."""
        return self.out.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def csv_rows(self) -> list[dict[str, str]]:
        """Rows of CSV; bytes that are not UTF-8 become surrogates."""
        text = self.out.decode(errors="surrogateescape")
        return list(csv.DictReader(io.StringIO(text, newline="")))


class Run:
    """A running command."""

    def __init__(self, server: "subprocess.Popen[bytes]", output: tuple[Path, Path]) -> None:
        self._server = server
        self._output = output
        self.pid = int(self._answer())

    def send(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    @property
    def err(self) -> str:
        """Its output on stderr so far."""
        return self._output[1].read_text(encoding="utf-8")

    @property
    def ended(self) -> bool:
        """Whether it has ended already."""
        return bool(select.select([self._server.stdout], [], [], 0)[0])

    def wait(self) -> Result:
        """Wait for its end."""
        return Result(int(self._answer()), self._output[0].read_bytes(), self.err)

    def _answer(self) -> bytes:
        if not select.select([self._server.stdout], [], [], _TIMEOUT)[0]:
            self.send(signal.SIGKILL)
            raise TimeoutError(f"a run has not ended after {_TIMEOUT:g} s")
        return self._server.stdout.readline()


class Forked:
    """Runs `grmp` in forks of one process, one at a time.

    Args:
        environment: Environment of that process.
        folder: Folder for the runs' output.
        cwd: Working folder of the runs, unless a run names another.
    """

    def __init__(self, environment: dict[str, str], folder: Path, cwd: Path) -> None:
        self._folder = folder
        self._cwd = cwd
        self._runs = 0
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # select() does not see what a buffer has read ahead
        )

    def start(self, *arguments: str | Path, cwd: Path | None = None, save_every: float | None = None) -> Run:
        """Start a run; `save_every` is the seconds between two saves of a training's state."""
        self._runs += 1
        out, err = (self._folder / f"{self._runs}.{name}" for name in ("out", "err"))
        err.touch()
        call = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd or self._cwd),
            "out": str(out),
            "err": str(err),
            "save_every": save_every,
        }
        self._server.stdin.write(json.dumps(call).encode() + b"\n")
        return Run(self._server, (out, err))

    def __call__(
        self, *arguments: str | Path, cwd: Path | None = None, save_every: float | None = None
    ) -> Result:
        """Run `grmp` to its end."""
        return self.start(*arguments, cwd=cwd, save_every=save_every).wait()

    def each(self, *calls: Sequence[str | Path], cwd: Path | None = None) -> list[Result]:
        """Run several commands, one after the other."""
        return [self(*call, cwd=cwd) for call in calls]

    def close(self) -> None:
        """End the process; a running command ends by itself."""
        self._server.stdin.close()
        self._server.wait(_TIMEOUT)


def _serve() -> None:
    """Fork for each line of standard input; answer with the fork's number, and with its exit code."""
    for name in _IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        number = os.fork()
        if number == 0:
            os._exit(_run_fork(json.loads(line)))
        print(number, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)


def _run_fork(call: dict[str, Any]) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, path in enumerate((os.devnull, call["out"], call["err"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
    os.chdir(call["cwd"])
    sys.argv = ["grmp", *call["arguments"]]
    if call["save_every"] is not None:
        importlib.import_module("grmp_plugin.training.loop").SAVE_EVERY = call["save_every"]
    try:
        importlib.import_module("grmp_cli.app").main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve()
