"""Find the reference image of each image: one for all, or by name in a folder."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from grmp_plugin.data.paths import expand_paths
from grmp_plugin.data.reference_names import parse_name
from grmp_plugin.errors import InputError

_LISTED = 5


def find_references(
    images: Sequence[str],
    where: str | os.PathLike[str],
    names: Sequence[str] | None = None,
    *,
    skip_missing: bool = False,
) -> tuple[str | None, ...]:
    """The reference file of each image.

    In a folder it is the file that a ratings file's column names; else the one called like the image, with
    the same or another suffix; else the one that the names of a standard data set tell (KADID-10k's
    `I01_05_02.png` has `I01.png`). Capitals do not matter.

    Args:
        images: N paths.
        where: a file, the reference of all images, or a folder.
        names: N names of reference files, as a ratings file has them.
        skip_missing: an image without a reference is no error.

    Returns:
        N paths; None for an image without a reference.

    Raises:
        InputError: when there is no such file or folder, a reference is missing, or a name fits several;
            it names the images.
    """
    path = Path(where)
    if path.is_file():
        return (str(path),) * len(images)
    if not path.is_dir():
        raise InputError(
            f"--ref {path}: no such file or folder. Name the original, or the folder of originals."
        )
    files = expand_paths([str(path)])
    by_name = {_plain(os.path.relpath(file, path)): file for file in files}
    by_stem: dict[str, list[str]] = {}
    for file in files:
        by_stem.setdefault(_stem(file), []).append(file)
    found: list[str | None] = []
    missing: list[str] = []
    for number, image in enumerate(images):
        candidates = [names[number]] if names is not None else _candidates(image)
        reference = _look_up(candidates, by_name, by_stem, image)
        found.append(reference)
        if reference is None:
            missing.append(f"  {image}: looked for {' or '.join(candidates)}")
    if missing and not skip_missing:
        more = [f"  and {len(missing) - _LISTED} more"] if len(missing) > _LISTED else []
        raise InputError(
            "\n".join(
                [
                    f"--ref {path}: {len(missing)} of {len(images)} images have no reference there:",
                    *missing[:_LISTED],
                    *more,
                    "Call the originals like the images, or name them in a column of a ratings file "
                    "(--reference-column), or go on without these images: --skip-bad.",
                ]
            )
        )
    return tuple(found)


def _candidates(image: str) -> list[str]:
    """Names that the reference may have, best first."""
    told = parse_name(image)
    return [os.path.basename(image), *([] if told is None else [told.reference])]


def _look_up(
    candidates: Sequence[str],
    by_name: Mapping[str, str],
    by_stem: Mapping[str, Sequence[str]],
    image: str,
) -> str | None:
    for candidate in candidates:
        exact = by_name.get(_plain(candidate)) or by_name.get(_plain(os.path.basename(candidate)))
        if exact is not None:
            return exact
        # A reference that the data set's own names tell has no suffix to take off.
        alike = by_stem.get(_stem(candidate)) or by_stem.get(_plain(candidate)) or ()
        if len(alike) > 1:
            raise InputError(f"--ref: several files could be the reference of {image}: {', '.join(alike)}")
        if alike:
            return alike[0]
    return None


def _plain(name: str) -> str:
    return name.replace("\\", "/").casefold()


def _stem(name: str) -> str:
    return _plain(os.path.splitext(os.path.basename(name.replace("\\", "/")))[0])
