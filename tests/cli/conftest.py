"""Running `grmp` in fresh processes, and images for it."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from training_runs import Forked, Result

# Settings of the caller's shell that would change what these tests examine.
_NOT_INHERITED = ("HF_", "PYTHON", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "COLUMNS", "LINES", "TERM", "CUDA_")
_INHERITED = ("PYTHONPATH",)  # decides which code is tested


class Grmp:
    """Runs `grmp` of the environment that the tests run in.

    Args:
        home: Folder for caches.
    """

    def __init__(self, home: Path) -> None:
        self._program = Path(sys.executable).with_name("grmp")
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if name in _INHERITED or not name.startswith(_NOT_INHERITED)
            },
            "HF_HOME": str(home),
            "CUDA_VISIBLE_DEVICES": "",
            # Two processes run at a time, on two cores perhaps.
            "OMP_NUM_THREADS": "1",
        }

    def start(self, *arguments: str | Path, environment: dict[str, str] | None = None, **options: Any):
        """Start `grmp` without waiting; options go to Popen."""
        return subprocess.Popen(
            [self._program, *arguments],
            env=self.environment | (environment or {}),
            # A test run in the background ignores SIGINT, and child processes would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            **options,
        )

    def __call__(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        stdin: bytes = b"",
        environment: dict[str, str] | None = None,
        timeout: float = 200,
    ) -> Result:
        """Run `grmp` to its end."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self.start(*arguments, environment=environment, cwd=cwd, **pipes) as process:
            try:
                out, err = process.communicate(stdin, timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Result(process.returncode, out, err.decode(errors="backslashreplace"))

    def in_pairs(self, *calls: tuple, **options: Any) -> list[Result]:
        """Run several commands, two at a time.

        Args:
            calls: Arguments of each; a dictionary at the end has options of this one.
            options: Options of all of them.
        """

        def run(call: tuple) -> Result:
            own = call[-1] if call and isinstance(call[-1], dict) else None
            return self(*(call[:-1] if own else call), **(options | (own or {})))

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(run, calls))


@pytest.fixture(scope="session")
def grmp(tmp_path_factory: pytest.TempPathFactory) -> Grmp:
    """`grmp` in fresh processes."""
    return Grmp(tmp_path_factory.mktemp("huggingface"))


@pytest.fixture(scope="module")
def forked(grmp: Grmp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """`grmp` in forks of a process that has imported torch and pyiqa."""
    folder = tmp_path_factory.mktemp("output")
    forked = Forked(grmp.environment, folder, folder)
    yield forked
    forked.close()


def small_photographs() -> dict[str, Image.Image]:
    """Five small photographs by name, all different."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    pictures = {
        "astronaut": data.astronaut(),
        "chelsea": data.chelsea(),
        "coffee": data.coffee(),
        "rocket": data.rocket(),
        "china": load_sample_image("china.jpg"),
    }
    shrunk = {name: Image.fromarray(pixels) for name, pixels in pictures.items()}
    for picture in shrunk.values():
        picture.thumbnail((160, 160))
    return shrunk


@pytest.fixture(scope="session")
def pictures() -> dict[str, Image.Image]:
    """Five small photographs by name."""
    return small_photographs()


def save(image: Image.Image, path: bytes | str | Path) -> None:
    """Save a PNG under any name that the system allows."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    raw = os.fsencode(path)
    os.makedirs(os.path.dirname(raw), exist_ok=True)
    with open(raw, "wb") as file:
        file.write(buffer.getvalue())


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `photos/` of five photographs, some with unusual names."""
    folder = tmp_path_factory.mktemp("photographs")
    names = ("with space.png", "brackets[1].png", "späce 图.png", "[red]x[/].png", 'comma, "quote".png')
    for name, picture in zip(names, small_photographs().values(), strict=True):
        save(picture, folder / "photos" / name)
    return folder


@pytest.fixture(scope="session")
def odd_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `photos/` of images with control characters and invalid UTF-8 in their names."""
    if sys.platform != "linux":
        pytest.skip("only Linux allows any bytes in names")
    folder = tmp_path_factory.mktemp("odd")
    # Each begins with an escape sequence that turns the terminal red.
    names = (b"carriage\rreturn.png", b"latin\xe9.png", b"new\nline.png", b"tab\tand bell\a.png")
    for name, picture in zip(names, small_photographs().values(), strict=False):
        save(picture, os.path.join(os.fsencode(folder), b"photos", b"\x1b[31m" + name))
    return folder


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 different images; large ones take longer to decode than small ones."""
    folder = tmp_path_factory.mktemp("many")
    picture = small_photographs()["coffee"]
    for index in range(40):
        changed = picture.filter(ImageFilter.GaussianBlur(index / 8))
        size = (1200, 900) if index % 7 == 0 else (40 + 3 * index, 64)
        save(changed.resize(size), folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 3000 images, too many to be done before a test interferes."""
    folder = tmp_path_factory.mktemp("long")
    save(Image.fromarray(np.full((64, 64, 3), 99, np.uint8)), folder / "one.png")
    (folder / "photos").mkdir()
    for index in range(3000):
        (folder / "photos" / f"{index}.png").symlink_to("../one.png")
    return folder
