"""The state of an interrupted training: one file, complete at any moment, that records its run."""

import glob
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from grmp_plugin.errors import TrainingError
from grmp_plugin.files import atomic_write


class SavedState:
    """A file from which a run can be resumed.

    Args:
        path: The file; it need not exist.
        run: Everything that decides the run's result, as plain data; only a state of the same run is loaded.
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self.path = path
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
            saved = torch.load(self.path, weights_only=True, map_location="cpu")
            run: dict[str, Any] = json.loads(saved["run"])
            content: dict[str, Any] = saved["content"]
        # torch raises many kinds of errors on a damaged file.
        except Exception as error:
            raise TrainingError(
                f"{self.path} cannot be read as the state of a training; remove it, and start without "
                "resuming",
                argument="resume",
            ) from error
        different = sorted(key for key in run.keys() | self._run.keys() if run.get(key) != self._run.get(key))
        if different:
            found = "; ".join(
                f"{key}: {_short(run.get(key))} there, {_short(self._run.get(key))} here" for key in different
            )
            raise TrainingError(
                f"{self.path} belongs to another run ({found}). Use the settings of that run, or start "
                "without resuming",
                argument="resume",
            )
        result: dict[str, Any] = content
        return result

    def save(self, content: Mapping[str, Any]) -> None:
        """Replace what was saved, once the new state is complete.

        Args:
            content: Tensors and plain data.
        """
        with atomic_write(self.path) as temporary:
            torch.save({"run": json.dumps(self._run), "content": dict(content)}, temporary)

    def remove(self) -> None:
        """Remove the file, as the run is complete, and unfinished files of runs that were killed."""
        self.path.unlink(missing_ok=True)
        for unfinished in self.path.parent.glob(f".{glob.escape(self.path.name)}.*"):
            unfinished.unlink(missing_ok=True)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
