"""What the results of both trainings share: a checkpoint to save and to score with."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmp_plugin.api.result import Result

if TYPE_CHECKING:
    from grmp_plugin.api.scores import Scores
    from grmp_plugin.network.checkpoint import Checkpoint


class TrainedResult(Result):
    """A result that holds a trained network."""

    checkpoint: "Checkpoint"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the network to a checkpoint file.

        Args:
            path: A .safetensors file.

        Returns:
            The path.

        Raises:
            InputError: For another extension, a file that the run read, or a folder that is missing or not
                writable.
            TrainingError: When the file cannot be written.
        """
        from grmp_plugin.training.checkpoint_file import check_checkpoint_path, save_checkpoint

        file = check_checkpoint_path(path, "path")
        self._check_not_read(file)
        save_checkpoint(self.checkpoint, file)
        return file

    def _read_by_run(self) -> Iterable[str]:
        found = self.run.details
        data = found["data"]
        names = (found["model"], found["backbone_weights"], *([data] if isinstance(data, str) else data))
        return [name for name in names if name is not None]

    def score(self, images: Any, **options: Any) -> "Scores":
        """Score images with the network.

        Args:
            images: See `grmp_plugin.score`, as for the options.
            **options: Such as `scale="mos"` for predicted ratings.
        """
        from grmp_plugin.api.score import score

        scores: Scores = score(images, self, **options)
        return scores
