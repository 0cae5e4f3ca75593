"""From what a user names to sources of distortion tasks."""

import os
from collections.abc import Collection, Sequence

from grmp_plugin.data.tasks import RatedTasks, TaskSource, drawn_tasks, pristine_tasks
from grmp_plugin.training.named_data import DATA_ROOT, named_ratings

DRAWN = "drawn"
# Scenes to take from, ten of each kind: drawing one takes as long as training on ten of its versions.
_PICTURES = 90


def task_sources(
    names: Sequence[str],
    *,
    seed: int,
    data_root: str | os.PathLike[str] | None = None,
    kinds: Collection[str] | None = None,
) -> list[TaskSource]:
    """One source for each name.

    Args:
        names: `drawn`, folders of pristine images, or pyiqa's data sets whose file names tell the
            distortion (`tid2013`, `kadid10k`).
        seed: of the drawn scenes.
        data_root: folder of pyiqa's data sets.
        kinds: of distortion, where they are made on the fly; all by default.

    Raises:
        InputError, DataUnavailableError: when one cannot be used.
    """
    sources: list[TaskSource] = []
    for name in names:
        if name == DRAWN:
            sources.append(drawn_tasks(pictures=_PICTURES, seed=seed, kinds=kinds))
        elif os.path.isdir(name):
            sources.append(pristine_tasks(name, kinds=kinds))
        else:
            sources.append(RatedTasks(named_ratings(name, data_root or DATA_ROOT), name))
    return sources
