"""The project as its users get it: a wheel, installed into an environment of its own, used from elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
# Settings of the caller's shell that would decide what these tests are about.
_NOT_INHERITED = (
    *("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "PYTHON", "VIRTUAL_ENV"),
    *("NO_COLOR", "FORCE_COLOR", "COLUMNS", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
)


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    caches = {"HF_HOME": str(home / "huggingface"), "TORCH_HOME": str(home / "torch")}
    # One thread each: two processes run at a time, on two cores perhaps.
    return kept | caches | {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Installation:
    """An environment with the wheel in it, and ways to run things there.

    Attributes:
        prefix: the environment's folder.
        folder: where commands run, outside the repository.
    """

    prefix: Path
    folder: Path

    def run(
        self, *command: str | Path, home: Path | None = None, timeout: float = 240, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, `python` or `grmp`, in a fresh process.

        Args:
            command: the program's name and its arguments.
            home: parent of the Hugging Face and torch caches; by default they are empty ones.
            timeout: seconds.
            environment: further environment variables.
        """
        program, *arguments = command
        return subprocess.run(
            [self.prefix / "bin" / program, *arguments],
            cwd=self.folder,
            env=_environment(home or self.folder) | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def python(self, code: str, *arguments: str | Path, flags: tuple[str, ...] = (), **options: Any) -> Any:
        """Run Python code in a fresh process, and give what it leaves in `result`, through JSON."""
        code = f"import json, sys\nresult = {{}}\n{code}\nprint('\\n' + json.dumps(result))"
        done = self.run("python", *flags, "-c", code, *arguments, **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


def in_pairs(*jobs: Callable[[], Any]) -> list[Any]:
    """The results of functions that mostly wait for a process, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


@pytest.fixture(scope="session")
def pairs() -> Callable[..., list[Any]]:
    """The function `in_pairs`."""
    return in_pairs


def _copy_repository(target: Path) -> None:
    """Copy what git tracks or would track; no build folder, whose deleted modules would be shipped."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in os.fsdecode(listed.stdout).split("\0"):
        if name and (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)


def _pip(*arguments: str | Path, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a clean copy of the repository, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    _copy_repository(folder / "source")
    offline = ("--no-index", "--no-deps", "--disable-pip-version-check")
    _pip("wheel", *offline, "--no-build-isolation", "--wheel-dir", folder, folder / "source", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An environment with the wheel, which sees the test environment's packages for all the rest."""
    prefix = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(prefix, with_pip=False, symlinks=os.name != "nt")
    python = prefix / "bin" / "python"
    quiet = ("--no-index", "--no-deps", "--disable-pip-version-check")
    _pip("--python", python, "install", *quiet, wheel, cwd=prefix)
    # Only now, or pip would find the project installed already. A path file's folders come after the
    # environment's own, and path files in them are not read: not the one of an editable installation.
    (own,) = (prefix / "lib").glob("python*/site-packages")
    outer = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "test-environment.pth").write_text("\n".join(sorted(outer)) + "\n")
    return Installation(prefix, tmp_path_factory.mktemp("elsewhere"))


def _photographs() -> dict[str, np.ndarray]:
    from skimage import data
    from sklearn.datasets import load_sample_image

    large = Image.fromarray(load_sample_image("china.jpg")).resize((1100, 760))
    return {
        "astronaut.jpg": data.astronaut(),  # 512 x 512
        "chelsea.png": data.chelsea(),  # 451 x 300
        "coffee.png": data.coffee()[:257, :401],
        "rocket.jpg": data.rocket()[:, :200],  # upright
        "china.jpg": np.asarray(large),  # larger than what the network looks at
        "flower.png": load_sample_image("flower.jpg")[100:161, 200:297],  # smaller than it
        "strip.png": data.chelsea()[100:107, :300],
        "dot.png": data.chelsea()[100:101, 200:201],
    }


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of upright 8-bit RGB files of several sizes, PNG and JPEG."""
    folder = tmp_path_factory.mktemp("photographs")
    for name, pixels in _photographs().items():
        Image.fromarray(pixels).save(folder / name, quality=90)
    return folder


@pytest.fixture(scope="session")
def contrary_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with its two quality texts exchanged: it scores 1 minus the other's score."""
    from grmp_plugin.network.checkpoint import write_checkpoint
    from grmp_plugin.network.models import find_checkpoint

    checkpoint = find_checkpoint("grmp_iqa-tiny")
    config = replace(checkpoint.config, quality_texts=checkpoint.config.quality_texts[::-1])
    path = tmp_path_factory.mktemp("checkpoint") / "mine.safetensors"
    write_checkpoint(replace(checkpoint, config=config, info={"licence": "none"}), path)
    return path
