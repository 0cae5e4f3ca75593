"""From what a user names to sources of distortion tasks."""

import difflib
import os
from collections.abc import Collection, Sequence

from grmp_plugin.errors import InputError
from grmp_plugin.synthetic.tasks import RatedTasks, TaskSource, drawn_tasks, pristine_tasks
from grmp_plugin.training.named_data import DATA_ROOT, data_set_names, named_ratings

DRAWN = "drawn"
# Scenes to take from, ten of each kind: drawing one takes as long as training on ten of its versions.
_PICTURES = 90


def task_sources(
    names: Sequence[str],
    *,
    seed: int,
    pristine: str | os.PathLike[str] | None = None,
    data_root: str | os.PathLike[str] | None = None,
    kinds: Collection[str] | None = None,
) -> list[TaskSource]:
    """One source for each name, or for a folder of pristine images.

    Args:
        names: `drawn`, or pyiqa's data sets whose file names tell the distortion (`tid2013`, `kadid10k`).
        seed: of the drawn scenes.
        pristine: a folder of pristine images, instead of names.
        data_root: folder of pyiqa's data sets.
        kinds: of distortion, where they are made on the fly; all by default.

    Raises:
        InputError, DataUnavailableError: when one cannot be used.
    """
    if pristine is not None:
        return [pristine_tasks(pristine, kinds=kinds)]
    sources: list[TaskSource] = []
    for name in names:
        known = [DRAWN, *data_set_names()]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean '{near[0]}'? " if near else ""
            raise InputError(
                f"'{name}' is no source of tasks. {hint}Known: {DRAWN}, and pyiqa's data sets with synthetic "
                "distortions, such as kadid10k and tid2013; a folder of pictures goes with --pristine"
            )
        if name == DRAWN:
            sources.append(drawn_tasks(pictures=_PICTURES, seed=seed, kinds=kinds))
        else:
            sources.append(RatedTasks(named_ratings(name, data_root or DATA_ROOT), name))
    return sources
