"""Sources of distortion tasks by name, or from a folder of pristine images."""

import os
from collections.abc import Sequence

from grmp_plugin.data.ratings import Ratings
from grmp_plugin.errors import InputError
from grmp_plugin.files import DATA_ROOT
from grmp_plugin.suggest import did_you_mean
from grmp_plugin.synthetic.tasks import RatedTasks, TaskSource, drawn_tasks, pristine_tasks
from grmp_plugin.training.named_data import data_set_names, named_ratings

DRAWN = "drawn"
# Scenes to draw from, ten of each kind: drawing one takes as long as training on ten of its versions.
_PICTURES = 90
_USABLE = (
    f"Use '{DRAWN}', one of pyiqa's data sets with synthetic distortions (kadid10k, tid2013), or a folder of "
    "pristine images"
)


def task_sources(
    names: Sequence[str],
    *,
    seed: int,
    pristine: str | os.PathLike[str] | None = None,
    data_root: str | os.PathLike[str] | None = None,
) -> list[TaskSource]:
    """One source per name, or one for a folder of pristine images.

    Args:
        names: `drawn`, or pyiqa's data sets whose file names tell the distortion (`tid2013`, `kadid10k`).
        seed: Random seed of the drawn scenes.
        pristine: A folder of pristine images, instead of names.
        data_root: Folder of pyiqa's data sets.

    Raises:
        InputError: When a name is unknown, or a source cannot be used.
        DataUnavailableError: When a data set would have to be downloaded and cannot be.
    """
    if pristine is not None:
        return [pristine_tasks(pristine)]
    sources: list[TaskSource] = []
    for name in names:
        known = [DRAWN, *data_set_names()]
        if name not in known and os.path.isdir(name):
            raise InputError(f"'{name}' is a folder, not a data set", argument="data", see=("pristine",))
        if name not in known:
            raise InputError(
                f"'{name}' is not a known source of tasks. "
                f"{f'{did_you_mean(name, known)} {_USABLE}'.lstrip()}",
                argument="data",
                see=("pristine",),
            )
        if name == DRAWN:
            sources.append(drawn_tasks(pictures=_PICTURES, seed=seed))
        else:
            sources.append(RatedTasks(_ratings(name, data_root or DATA_ROOT), name))
    return sources


def _ratings(name: str, data_root: str | os.PathLike[str]) -> Ratings:
    try:
        return named_ratings(name, data_root)
    except InputError as error:
        # Nobody can give the direction here, and no data set that lacks it names its distortions.
        if "lower_better" in error.see:
            raise InputError(f"{error.message}. {_USABLE}", argument="data", see=("pristine",)) from error
        raise
