"""Tasks for meta-learning: the images of one kind of distortion, with their MOS.

The images come from rated data sets, or from pristine pictures that are distorted on the fly. Splitting a
task into support and query is left to the training.
"""

import dataclasses
import os
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from grmp_plugin.data.images import pixels_digest
from grmp_plugin.data.learned_images import digests_of_files, original_files
from grmp_plugin.data.paths import find_paths
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.reference_names import parse_name, references_of
from grmp_plugin.errors import InputError
from grmp_plugin.suggest import did_you_mean
from grmp_plugin.synthetic.distortions import DISTORTIONS, distort
from grmp_plugin.synthetic.pictures import DrawnPictures, PictureFiles, Pictures, read_named_image
from grmp_plugin.synthetic.pseudo_mos import pseudo_mos
from grmp_plugin.threads import decoding_pool

LEVELS = (1, 2, 3, 4, 5)
MIN_IMAGES = 5
"""A rated distortion needs at least this many images to be a task."""

_NAMING = (
    "Expected the file names of TID2013 (i01_08_5.bmp), KADID-10k (I01_08_05.png), "
    "PIPAL (A0001_00_05.bmp) or CSIQ (1600.AWGN.1.png)."
)
_KEPT_TASKS = 3  # decoded; one task of KADID-10k takes 240 MB
_KEPT_PICTURES = 300

Learned = Mapping[str, Mapping[str, str]]
"""Digests by path, for each collection."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class TaskImages:
    """One task: N images of one distortion.

    Attributes:
        distortion: Name of the distortion.
        images: N arrays (H, W, 3) uint8 RGB, of any sizes; read-only.
        mos: (N,) float64, higher is better, on the source's own scale.
        references: N names of the pristine pictures of the images.
        learned: Digests of the pixels of the files that the images come from, by path, for each collection
            of a checkpoint's section `learned_from`.
    """

    distortion: str
    images: tuple[np.ndarray, ...]
    mos: np.ndarray
    references: tuple[str, ...]
    learned: Learned = field(default_factory=dict)


class TaskSource(Protocol):
    """A source of tasks.

    Attributes:
        name: Name of the source, for messages and records.
        distortions: Names that can be drawn, sorted.
        left_out: Number of files that the search for images left out, by kind.
        files: Files that the tasks are read from.
    """

    name: str
    distortions: tuple[str, ...]
    left_out: Mapping[str, int]
    files: Sequence[str]

    def draw(self, distortion: str, seed: int) -> TaskImages:
        """Draw one task; the same arguments give the same bytes.

        Args:
            distortion: One of `distortions`.
            seed: Seed for the choice of images, 0 or more.

        Raises:
            InputError: The distortion is unknown or the seed negative.
            ImageError: An image cannot be used; the message names the file.
        """


class RatedTasks:
    """Tasks from a rated data set of synthetic distortions, such as TID2013 or KADID-10k.

    A task is all images of a distortion. Distortions with fewer than `MIN_IMAGES` images, or whose images all
    have the same MOS, teach nothing and are left out.
    """

    def __init__(self, ratings: Ratings, name: str) -> None:
        """Group the images by the distortion in their file names, without opening them.

        Args:
            ratings: Images and their ratings; negated if lower is better.
            name: Name of the data set.

        Raises:
            InputError: A file name does not contain the distortion, or no distortion can be a task.
        """
        self.name = name
        self.left_out: Mapping[str, int] = {}
        self._digests: dict[str, str] = {}  # of what was read so far, by path
        self.files: Sequence[str] = ratings.images
        self._mos = -ratings.mos if ratings.lower_better else ratings.mos
        groups: dict[str, list[int]] = defaultdict(list)
        for number, path in enumerate(ratings.images):
            parsed = parse_name(path)
            if parsed is None:
                raise InputError(f"{name}: the name of '{path}' does not contain a distortion. {_NAMING}")
            groups[parsed.distortion].append(number)
        references = references_of(ratings.images)
        if references is None:
            raise InputError(f"{name}: the image names follow those of more than one data set. {_NAMING}")
        self._references = ratings.references or references
        self._originals = original_files(dataclasses.replace(ratings, references=self._references))
        self._groups = {
            distortion: numbers
            for distortion, numbers in groups.items()
            if len(numbers) >= MIN_IMAGES and np.ptp(self._mos[numbers]) > 0
        }
        if not self._groups:
            raise InputError(
                f"{name}: none of its {len(groups)} distortions has {MIN_IMAGES} images with different MOS"
            )
        self.distortions = tuple(sorted(self._groups))
        self._recent: _Recent[str, TaskImages] = _Recent(_KEPT_TASKS)

    def draw(self, distortion: str, seed: int) -> TaskImages:
        """Return all images of a distortion, in the order of the data set; see `TaskSource`.

        Args:
            distortion: One of `distortions`.
            seed: No effect, since there is no choice.
        """
        _check_draw(self, distortion, seed)
        return self._recent.get(distortion, self._read)

    def _read(self, distortion: str) -> TaskImages:
        numbers = self._groups[distortion]
        with decoding_pool() as pool:
            images = tuple(pool.map(read_named_image, [self.files[n] for n in numbers]))
        learned = self._learned(
            [self.files[n] for n in numbers], images, [self._originals[n] for n in numbers]
        )
        mos = self._mos[numbers]
        # The same arrays are returned again: writing to them would change the next draw.
        for array in (*images, mos):
            array.setflags(write=False)
        return TaskImages(distortion, images, mos, tuple(self._references[n] for n in numbers), learned)

    def _learned(
        self, paths: Sequence[str], images: Sequence[np.ndarray], originals: Sequence[str | None]
    ) -> Learned:
        known, files = self._digests, {file for file in originals if file is not None}
        for path, image in zip(paths, images, strict=True):
            if path not in known:
                known[path] = pixels_digest(image)
        known.update(digests_of_files(files - known.keys()))
        return {
            "ratings": {path: known[path] for path in paths},
            "originals": {file: known[file] for file in sorted(files) if file in known},
        }


class DistortedTasks:
    """Tasks from pristine pictures, distorted by the distortion bank and labelled with pseudo-MOS."""

    def __init__(
        self,
        pictures: Pictures,
        name: str,
        *,
        pictures_per_task: int = 20,
        kinds: Collection[str] | None = None,
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        """Define the tasks, without producing any picture.

        Args:
            pictures: At least two, each at least 96 x 96 pixels.
            name: Name of the pictures, for messages.
            pictures_per_task: Pictures per task, drawn without replacement; all if there are fewer. Each one
                is distorted at all five levels with one pattern.
            kinds: Distortions to use; all by default.
            left_out: Number of files that the search for the pictures left out, by kind.

        Raises:
            InputError: There are too few pictures, or an option is invalid.
        """
        if len(pictures) < 2:
            raise InputError(f"{name}: at least 2 pristine pictures are needed, not {len(pictures)}")
        if pictures_per_task < 1:
            raise InputError(f"pictures_per_task is {pictures_per_task}, expected 1 or more")
        chosen = tuple(sorted(set(DISTORTIONS if kinds is None else kinds)))
        for kind in chosen:
            _check_known(kind, tuple(DISTORTIONS), "kinds")
        if not chosen:
            raise InputError("kinds is empty: name at least one distortion, or omit it for all")
        self.name = name
        self.left_out = left_out or {}
        self.files: Sequence[str] = pictures.paths if isinstance(pictures, PictureFiles) else ()
        self.distortions = chosen
        self.pictures_per_task = min(pictures_per_task, len(pictures))
        self._pictures = pictures
        self._recent: _Recent[int, np.ndarray] = _Recent(_KEPT_PICTURES)

    def draw(self, distortion: str, seed: int) -> TaskImages:
        """Return 5 x pictures_per_task images: each picture from level 1 to 5 in turn; see `TaskSource`.

        Args:
            distortion: One of `distortions`.
            seed: Seed for the choice of pictures and their patterns.
        """
        _check_draw(self, distortion, seed)
        rng = np.random.default_rng([zlib.crc32(distortion.encode()), seed])
        numbers = rng.choice(len(self._pictures), self.pictures_per_task, replace=False)
        patterns = rng.integers(2**31, size=len(numbers))
        images, mos, references = [], [], []
        for number, pattern in zip(numbers.tolist(), patterns.tolist(), strict=True):
            pristine = self._recent.get(number, self._pictures.__getitem__)
            for level in LEVELS:
                images.append(distort(pristine, distortion, level, pattern))
                mos.append(pseudo_mos(pristine, images[-1]))
                references.append(self._pictures.name(number))
        # Drawn pictures have no files.
        read = self._pictures.digests
        learned = {"photographs": {name: read[name] for name in references if name in read}}
        return TaskImages(distortion, tuple(images), np.array(mos), tuple(references), learned)


def pristine_tasks(
    folder: str | os.PathLike[str], *, pictures_per_task: int = 20, kinds: Collection[str] | None = None
) -> DistortedTasks:
    """Tasks from the pristine images below a folder.

    A file is read when it is first drawn; if it cannot be read, or has a side below 96 pixels, that draw
    raises an `ImageError`.

    Args:
        folder: Folder with at least two images, searched recursively.
        pictures_per_task: As for `DistortedTasks`.
        kinds: As for `DistortedTasks`.

    Raises:
        InputError: The folder does not exist or has too few images, or an option is invalid.
    """
    name = os.fspath(folder)
    # find_paths keeps a missing folder as a file, and reads standard input for `-`.
    if not os.path.isdir(name):
        raise InputError(f"'{name}': no such folder. Name a folder of pristine images.")
    found = find_paths([os.path.join(name, "")])
    return DistortedTasks(
        PictureFiles(tuple(found.paths)),
        name,
        pictures_per_task=pictures_per_task,
        kinds=kinds,
        left_out=found.left_out,
    )


def drawn_tasks(
    *,
    pictures: int = 270,
    seed: int = 0,
    pictures_per_task: int = 20,
    kinds: Collection[str] | None = None,
) -> DistortedTasks:
    """Tasks from drawn scenes, none of which the demo uses.

    Args:
        pictures: Number of scenes to draw from, at least 2.
        seed: Seed for the choice of scenes, 0 or more.
        pictures_per_task: As for `DistortedTasks`.
        kinds: As for `DistortedTasks`.

    Raises:
        InputError: An option is invalid.
    """
    drawn = DrawnPictures(pictures, seed)
    return DistortedTasks(drawn, "drawn scenes", pictures_per_task=pictures_per_task, kinds=kinds)


class _Recent(Generic[Key, Value]):
    """Keeps the most recently used values; empty after it is sent to another process."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key, make: Callable[[Key], Value]) -> Value:
        value = self._values.pop(key, None)
        if value is None:
            value = make(key)
        self._values[key] = value
        while len(self._values) > self._limit:
            self._values.popitem(last=False)
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return _Recent, (self._limit,)


def _check_draw(source: TaskSource, distortion: str, seed: int) -> None:
    _check_known(distortion, source.distortions, source.name)
    _check_seed(seed)


def _check_known(distortion: str, known: Collection[str], where: str) -> None:
    if distortion not in known:
        hint = did_you_mean(str(distortion), known, count=3) or f"Known: {', '.join(known)}."
        raise InputError(f"{where}: unknown distortion '{distortion}'. {hint}")


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise InputError(f"seed is {seed}, expected 0 or more")
