"""pyiqa's own data sets by name, through its classes and its downloader."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from grmp_plugin.data.ratings import KNOWN_RANGE, Ratings
from grmp_plugin.data.reference_names import references_of
from grmp_plugin.errors import DataUnavailableError, InputError
from grmp_plugin.files import DATA_ROOT
from grmp_plugin.network.download import Remote, hub_problem
from grmp_plugin.suggest import did_you_mean

# The authors of GRMP-IQA use all images of LIVE Challenge; pyiqa drops the first seven, as is common.
_WITH_FIRST_SEVEN = "livec-1169"

_ARCHIVES = "chaofengc/IQA-PyTorch-Datasets"


def data_set_names() -> list[str]:
    """Names that `named_ratings` knows."""
    from pyiqa import get_dataset_info

    return sorted([*(name for name, info in get_dataset_info().items() if _has_mos(info)), _WITH_FIRST_SEVEN])


def named_ratings(
    name: str, data_root: str | os.PathLike[str] = DATA_ROOT, *, lower_better: bool | None = None
) -> Ratings:
    """The ratings of one of pyiqa's data sets, downloaded if need be.

    Range and direction are those that pyiqa lists. `livec-1169` is LIVE Challenge with its first seven
    images, which `livec` leaves out.

    Args:
        name: pyiqa's name of the data set, such as `livec`, `koniq10k`, `kadid10k`, `tid2013`.
        data_root: Folder of all data sets, laid out as pyiqa does it.
        lower_better: Whether a low rating means good quality, where pyiqa does not say.

    Raises:
        InputError: For an unknown name, missing images, or an unknown direction.
        DataUnavailableError: When it would have to be downloaded and cannot be.
    """
    from pyiqa import get_dataset_info

    known = get_dataset_info()
    name = next((found for found in data_set_names() if found.lower() == name.lower()), name)
    pyiqas_name = "livec" if name == _WITH_FIRST_SEVEN else name
    if pyiqas_name not in known or not _has_mos(known[pyiqas_name]):
        hint = did_you_mean(name, data_set_names()) or f"Data sets: {', '.join(data_set_names())}."
        raise InputError(f"'{name}' is neither a ratings file nor one of pyiqa's data sets. {hint}")
    info = known[pyiqas_name]
    direction = info.get("lower_better", lower_better)
    if lower_better not in (None, direction):
        raise InputError(
            f"{name}: in this data set a {'low' if direction else 'high'} rating means good quality, as "
            "pyiqa knows; do not give the direction",
            argument="lower_better",
        )
    if direction is None:
        raise InputError(
            f"pyiqa does not know whether a high or a low rating means good quality in '{name}'",
            see=("lower_better",),
        )
    data_set = _load(pyiqas_name, name, info, Path(data_root))
    images, mos, references = _columns(data_set, info)
    missing = [image for image in images if not os.path.exists(image)]
    if missing:
        raise InputError(
            f"{name}: {len(missing)} of {len(images)} images are missing, the first: {missing[0]}. Remove "
            f"{Path(data_root)} and run again to download the data set, or use another folder",
            see=("data_root",),
        )
    mos_range = info.get("mos_range")
    return Ratings(
        source=name,
        images=tuple(images),
        mos=np.array(mos, np.float64),
        references=references,
        lower_better=bool(direction),
        mos_range=None if mos_range is None else (float(mos_range[0]), float(mos_range[1])),
        range_source=KNOWN_RANGE,
        references_source="pyiqa's list of references" if references else "",
        splits=_splits(data_set, len(images)),
        adjustable=frozenset() if "lower_better" in info else frozenset({"lower_better"}),
    )


def _has_mos(info: dict[str, Any]) -> bool:
    """Whether a data set has a rating for each image; the others have pairwise choices."""
    return info["type"] not in ("PieAPPDataset", "BAPPSDataset")


def _load(pyiqas_name: str, name: str, info: dict[str, Any], root: Path) -> Any:
    from pyiqa.data.dataset_api import dataset_download_name, load_dataset

    places = [root / Path(*Path(info[key]).parts[1:]) for key in ("meta_info_file", "dataroot_target")]
    absent = [place for place in places if not place.exists()]
    # Checked first, with a short timeout: the client itself waits long for a hub that does not answer.
    archive = Remote(_ARCHIVES, dataset_download_name.get(pyiqas_name, ""), "dataset")
    problem = hub_problem(archive) if absent else None
    # Only names are needed: no split of pyiqa's, which would leave images out, and no transforms.
    options: dict[str, Any] = {"split_index": None, "phase": "train", "augment": None}
    if name == _WITH_FIRST_SEVEN:
        options["type"] = "GeneralNRDataset"
    if problem is None:
        try:
            # pyiqa prints on stdout.
            with contextlib.redirect_stdout(sys.stderr):
                return load_dataset(pyiqas_name, data_root=str(root), dataset_opts=options)
        except (OSError, AssertionError, ValueError, KeyError, RuntimeError) as error:
            problem = error
    reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
    raise DataUnavailableError(
        f"the data set '{name}' is not in {root} ({', '.join(map(str, absent)) or 'it cannot be read'}) and "
        f"could not be downloaded from {_ARCHIVES}: {reason}. Use a folder that has it, or run once where "
        "the hub can be reached",
        see=("data_root",),
    ) from problem


def _columns(data_set: Any, info: dict[str, Any]) -> tuple[list[str], list[float], tuple[str, ...] | None]:
    """Images, ratings and references; full-reference data sets list the reference first."""
    if info["type"] == "GeneralFRDataset":
        images = [str(row[1]) for row in data_set.paths_mos]
        references = tuple(str(row[0]) for row in data_set.paths_mos)
        return images, [float(row[2]) for row in data_set.paths_mos], references
    # AVA's class lists names without their folder.
    folder = getattr(data_set, "dataroot", "")
    images = [os.path.join(folder, str(row[0])) for row in data_set.paths_mos]
    return images, [float(row[1]) for row in data_set.paths_mos], references_of(images)


def _splits(data_set: Any, count: int) -> dict[str, tuple[str, ...]]:
    table = data_set.meta_info
    # LIVE Challenge's class drops rows from the front.
    rows = table.iloc[len(table) - count :]
    return {str(c): tuple(str(v) for v in rows[c]) for c in table.columns if "split" in str(c)}
