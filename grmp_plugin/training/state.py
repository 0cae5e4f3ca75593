"""The state of an interrupted training: one file, complete at any moment, that records its run."""

import glob
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from grmp_plugin.errors import TrainingError
from grmp_plugin.files import atomic_write
from grmp_plugin.plain_data import read_json


class SavedState:
    """A file from which a run can be resumed.

    Args:
        path: The file; it need not exist.
        run: Everything that decides the run's result, as plain data; only a state of the same run is loaded.

    Attributes:
        path: The file.
        written: Digest of the checkpoint that the run has written already, which is saved and loaded with the
            state; None before.
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self.path = path
        self.written: str | None = None
        self._run = json.loads(json.dumps(run))

    def load(self) -> dict[str, Any]:
        """What was saved last.

        Raises:
            TrainingError: When there is no such file, it is damaged, or belongs to another run.
        """
        if not self.path.is_file():
            raise TrainingError(
                f"there is nothing to resume, as {self.path} does not exist; start without resuming",
                argument="resume",
            )
        try:
            data = io.BytesIO(_without_digest(self.path.read_bytes()))
            saved = torch.load(data, weights_only=True, map_location="cpu")
            run, content = read_json(saved["run"], str(self.path)), saved["content"]
            written = saved["written"]
            if not isinstance(run, dict) or not isinstance(content, dict):
                raise ValueError("not a state")
        # torch raises many kinds of errors on a damaged file.
        except Exception as error:
            raise self.unusable() from error
        found = "; ".join(_differences(run, self._run))
        if found:
            raise TrainingError(
                f"{self.path} belongs to another run ({found}). Use the settings of that run, or start "
                "without resuming",
                argument="resume",
            )
        self.written = written
        result: dict[str, Any] = content
        return result

    def unusable(self) -> TrainingError:
        """The error for a state that is damaged, or does not fit the training."""
        return TrainingError(
            f"{self.path} cannot be read as the state of a training; remove it, and start without resuming",
            argument="resume",
        )

    def save(self, content: Mapping[str, Any]) -> None:
        """Replace what was saved, once the new state is complete.

        Args:
            content: Tensors and plain data.

        Raises:
            TrainingError: When the file cannot be written; what was saved before is kept.
        """
        buffer = io.BytesIO()
        whole = {"run": json.dumps(self._run), "written": self.written, "content": dict(content)}
        torch.save(whole, buffer)
        data = buffer.getbuffer()
        try:
            with atomic_write(self.path) as temporary, temporary.open("wb") as file:
                file.write(data)
                file.write(hashlib.sha256(data).digest())
        except OSError as error:
            kept = self.path.is_file()
            before = "; the state saved before is kept" if kept else ""
            raise TrainingError(
                f"cannot save the state of the training: {self.path}: {error.strerror or error}{before}",
                see=("resume",) if kept else (),
            ) from error

    def remove(self) -> None:
        """Remove the file, as the run is complete, and unfinished files of runs that were killed."""
        self.path.unlink(missing_ok=True)
        for unfinished in self.path.parent.glob(f".{glob.escape(self.path.name)}.*"):
            unfinished.unlink(missing_ok=True)


def losses_of(state: Mapping[str, Any]) -> list[dict[str, float]]:
    """The losses of each step in a saved state; ValueError for anything else."""
    log = state["log"]
    if not isinstance(log, list) or not all(isinstance(losses, dict) for losses in log):
        raise ValueError("no list of losses")
    if not all(isinstance(value, int | float) for losses in log for value in losses.values()):
        raise ValueError("a loss is no number")
    return list(log)


def _without_digest(data: bytes) -> memoryview:
    """The state without the SHA-256 at its end; ValueError if the two do not belong together."""
    size = len(data) - hashlib.sha256().digest_size
    content = memoryview(data)[: max(0, size)]
    if hashlib.sha256(content).digest() != data[max(0, size) :]:
        raise ValueError("the digest differs")
    return content


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two runs, in words; of settings, each that differs."""
    for key in sorted(there.keys() | here.keys()):
        one, other = there.get(key), here.get(key)
        if one == other and (key in there) == (key in here):
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _differences(one, other)
        else:
            yield f"{key}: {_short(one)} there, {_short(other)} here"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
