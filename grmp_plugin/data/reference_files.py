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
    nameable: bool = False,
) -> tuple[str | None, ...]:
    """Find the reference file of each image.

    In a folder, an image's reference is the file that the ratings file names; else the file with the
    image's name, whatever its suffix; else the file that follows from the naming scheme of a standard data
    set (KADID-10k's `I01_05_02.png` belongs to `I01.png`). Case does not matter.

    Args:
        images: N paths.
        where: A file, the reference of all images, or a folder.
        names: N names of reference files from a column of a ratings file.
        skip_missing: Accept images without a reference.
        nameable: Whether a column of ratings could name the references.

    Returns:
        N paths; None for an image without a reference.

    Raises:
        InputError: When there is no such file or folder, a reference is missing, or several files match;
            the message names the images.
    """
    path = Path(where)
    if path.is_file():
        return (str(path),) * len(images)
    if not path.is_dir():
        raise InputError(
            f"{path}: no such file or folder; name the reference image, or a folder of reference images",
            argument="references",
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
                    f"{path}: {len(missing)} of {len(images)} images have no reference there:",
                    *missing[:_LISTED],
                    *more,
                    "Name the references like the images"
                    + (", or in a column of the ratings." if nameable else "."),
                ]
            ),
            argument="references",
            see=("reference_column", "skip_bad") if nameable else ("skip_bad",),
        )
    return tuple(found)


def _candidates(image: str) -> list[str]:
    """Possible names of the reference, best first."""
    parsed = parse_name(image)
    return [os.path.basename(image), *([] if parsed is None else [parsed.reference])]


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
        # References that follow from a naming scheme have no suffix to remove.
        alike = by_stem.get(_stem(candidate)) or by_stem.get(_plain(candidate)) or ()
        if len(alike) > 1:
            raise InputError(
                f"several files could be the reference of {image}: {', '.join(alike)}", argument="references"
            )
        if alike:
            return alike[0]
    return None


def _plain(name: str) -> str:
    return name.replace("\\", "/").casefold()


def _stem(name: str) -> str:
    return _plain(os.path.splitext(os.path.basename(name.replace("\\", "/")))[0])
