"""The images that a caller means: paths, folders, patterns, arrays, Pillow images, or a list of these."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from PIL import Image

from grmp_plugin.data.paths import FoundPaths, find_paths
from grmp_plugin.data.ratings_sheets import is_frame
from grmp_plugin.data.sources import ArrayImage, FileImage, ImageSource, PillowImage
from grmp_plugin.errors import InputError

OneImage = str | os.PathLike[str] | np.ndarray | Image.Image
Images = OneImage | Iterable[OneImage]

_NOTHING = FoundPaths([], {})


@dataclass(frozen=True)
class FoundImages:
    """The images that a caller means.

    Attributes:
        sources: The images, in order, each file once.
        left_out: Number of files that a search left out, by kind; see `find_paths`.
    """

    sources: tuple[ImageSource, ...]
    left_out: Mapping[str, int]


def find_images(images: Images, *, recursive: bool = True) -> FoundImages:
    """The images that a caller means, in order, each file once, and how many files were left out.

    Args:
        images: Image files, folders, glob patterns, `-` for paths on standard input, arrays (H, W, 3) uint8
            RGB, Pillow images, or any number of these. An array is called `images[0]`, `images[1]`, ... by
            its position; a Pillow image by its file name if it has one.
        recursive: Search folders inside folders as well.

    Raises:
        InputError: When there are no images, or an item is none of these kinds.
    """
    given = _listed(images)
    if not given:
        raise InputError("no images given", argument="images")
    groups = [(is_path, dict(items)) for is_path, items in groupby(enumerate(given), key=_is_path)]
    searches = [_search(group.values(), recursive) if is_path else _NOTHING for is_path, group in groups]
    # Names of files first: a Pillow image opened from one of them goes by its position.
    taken = {path for found in searches for path in found.paths}
    sources: dict[str, ImageSource] = {}
    left_out: Counter[str] = Counter()
    for (is_path, group), found in zip(groups, searches, strict=True):
        for source in map(FileImage, found.paths) if is_path else _in_memory(group, taken):
            sources.setdefault(source.name, source)
        left_out.update(found.left_out)
    return FoundImages(tuple(sources.values()), left_out)


def _is_path(item: tuple[int, Any]) -> bool:
    return isinstance(item[1], str | os.PathLike)


def _listed(images: Any) -> list[Any]:
    if isinstance(images, str | os.PathLike | Image.Image):
        return [images]
    if is_frame(images):
        raise InputError(
            "a data frame is not an image; pass its column of paths, as in frame['image']", argument="images"
        )
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OUS":  # not paths, as pandas holds them
        return [images]
    if not isinstance(images, Iterable):
        raise InputError(f"expected paths, arrays or Pillow images, found {_kind(images)}", argument="images")
    return list(images)


def _search(paths: Iterable[str | os.PathLike[str]], recursive: bool) -> FoundPaths:
    return find_paths([os.fsdecode(path) for path in paths], recursive=recursive)


def _in_memory(images: Mapping[int, Any], taken: set[str]) -> Iterator[ImageSource]:
    for number, image in images.items():
        name = f"images[{number}]"
        if isinstance(image, Image.Image):
            file_name = str(getattr(image, "filename", ""))
            if file_name and file_name not in taken:
                name = file_name
                taken.add(name)
            yield PillowImage(name, image)
        elif isinstance(image, np.ndarray) and _is_rgb(image):
            yield ArrayImage(name, image)
        else:
            expected = "a path, an array (H, W, 3) of uint8 or a Pillow image"
            raise InputError(f"{name}: expected {expected}, found {_kind(image)}", argument="images")


def _is_rgb(image: np.ndarray) -> bool:
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    return type(value).__name__
