"""Which images a model learned from: known by their pixels, so that no evaluation counts what was learned.

A checkpoint's history has a section `learned_from`: collections (`ratings`, `photographs`, `originals`) of
names and SHA-256 digests of decoded pixels. Other versions of an original that was learned from count, too.
"""

import os
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.data.images import file_pixels_digest
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.errors import CheckpointError
from grmp_plugin.threads import decoding_pool

SECTION = "learned_from"

_FOLDERS_UP = 2  # above an image's own, where its original may be


def learned_digests(info: Mapping[str, Any], source: str) -> frozenset[str]:
    """Digests of the pixels of all images that a model learned from, and of their originals.

    Args:
        info: History of the checkpoint.
        source: The checkpoint, for messages.

    Raises:
        CheckpointError: When the section is not made of names and digests.
    """
    return frozenset(digest for images in _collections(info, source).values() for digest in images.values())


def with_learned(
    info: Mapping[str, Any], source: str, **learned: Iterable[tuple[str, str]]
) -> dict[str, dict[str, str]]:
    """The section of a model that learned from more images than its start.

    Args:
        info: History of the start.
        source: The start, for messages.
        **learned: For each collection, paths and digests beside those of the start; names are recorded.

    Raises:
        CheckpointError: As for `learned_digests`.
    """
    merged = {name: dict(images) for name, images in _collections(info, source).items()}
    for collection, images in learned.items():
        known = merged.setdefault(collection, {})
        for path, digest in images:
            known[_free_name(known, os.path.basename(path), digest)] = digest
    return {collection: images for collection, images in merged.items() if images}


def seen_images(
    learned: Collection[str],
    images: Sequence[str | None],
    originals: Sequence[str | None],
    groups: Sequence[Hashable] | None,
) -> NDArray[np.bool_]:
    """Which of N images a model learned from, or from another version of their originals.

    Args:
        learned: Digests of what the model learned from.
        images: N digests of the images; None where one cannot be read.
        originals: N digests of the originals; None where there is none or it is unknown.
        groups: N names of originals, equal for versions of one; None where images are independent.

    Returns:
        (N,) True for images that must not be judged.
    """
    known = set(learned)
    seen = np.array(
        [own in known or original in known for own, original in zip(images, originals, strict=True)], bool
    )
    # An image may lead to others by its name's group, and these to more by the pixels of their original.
    for _ in range(len(seen)):
        before = int(seen.sum())
        for keys in (originals, groups):
            if keys is not None:
                spoiled = {key for key, hit in zip(keys, seen, strict=True) if hit and key is not None}
                seen |= np.array([key in spoiled for key in keys], bool)
        if int(seen.sum()) == before:
            break
    return seen


def original_files(ratings: Ratings) -> tuple[str | None, ...]:
    """The files of the images' originals, looked for beside the images.

    An original is named by the ratings' column of references, or by the naming scheme of a data set; it is
    looked for in the image's folder and the two above.

    Args:
        ratings: N rated images.

    Returns:
        N paths; None where there is no such file.
    """
    names = ratings.reference_names or ratings.references
    if names is None:
        return (None,) * len(ratings.images)
    found: dict[tuple[str, str, str], str | None] = {}
    result = []
    for image, name in zip(ratings.images, names, strict=True):
        key = (os.path.dirname(image), name, os.path.splitext(image)[1])
        if key not in found:
            found[key] = _find_original(*key)
        result.append(found[key])
    return tuple(result)


def digests_of_files(paths: Iterable[str]) -> dict[str, str]:
    """Digests of the decoded pixels of image files, by path; files that cannot be read are left out."""
    unique = sorted(set(paths))
    with decoding_pool() as pool:
        digests = pool.map(file_pixels_digest, unique)
        return {path: digest for path, digest in zip(unique, digests, strict=True) if digest is not None}


def _collections(info: Mapping[str, Any], source: str) -> Mapping[str, Mapping[str, str]]:
    section = info.get(SECTION, {})
    valid = isinstance(section, Mapping) and all(
        isinstance(images, Mapping) and all(isinstance(digest, str) for digest in images.values())
        for images in section.values()
    )
    if not valid:
        raise CheckpointError(f"{source}: {SECTION}: expected names and digests of images in each collection")
    return cast("Mapping[str, Mapping[str, str]]", section)


def _free_name(known: Mapping[str, str], name: str, digest: str) -> str:
    """The name, with a number where another image has it."""
    number, free = 1, name
    while known.get(free, digest) != digest:
        number += 1
        free = f"{name} ({number})"
    return free


def _find_original(folder: str, name: str, suffix: str) -> str | None:
    # Naming schemes give a stem in one case; files on disk may have the other.
    spellings = dict.fromkeys(
        (name, name.replace("\\", "/"), name + suffix, name.upper() + suffix, name.lower() + suffix)
    )
    for _ in range(1 + _FOLDERS_UP):
        for spelling in spellings:
            path = os.path.join(folder, spelling)
            if os.path.isfile(path):
                return path
        if not folder or os.path.dirname(folder) == folder:
            break
        folder = os.path.dirname(folder)
    return None
