"""Which pictures `label` shows: of folders by a strategy, or of a list."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grmp_plugin.api.images import Images, find_images
from grmp_plugin.data.left_out import left_out_words
from grmp_plugin.data.lists import text_lines
from grmp_plugin.data.places import LocalPlace
from grmp_plugin.data.sources import FileImage
from grmp_plugin.data.unreadable import unread_reason
from grmp_plugin.errors import ImageError, InputError
from grmp_plugin.printable import shortened
from grmp_plugin.progress import ProgressCallback, progress_callback

if TYPE_CHECKING:
    from grmp_plugin.api.models import Model
    from grmp_plugin.labelling.reading import LeftOut

_NAMED = 20  # most unreadable pictures that are named
# Random pictures that a strategy looks at, so that the page of a large folder opens in a minute or two. What
# a strategy gains was measured with 289.
_LOOKED_AT = 1000
_TIMES_WANTED = 4
DEFAULT_STRATEGY, STRATEGY_OF_MORE = "random", "uncertainty"
STRATEGIES = ("random", "clusters", "maxherding", "spread", "both", "uncertainty")


@dataclass(frozen=True)
class Wanted:
    """Which pictures a caller wants."""

    images: Images | None
    listed: str | os.PathLike[str] | None
    count: int
    strategy: str
    seed: int
    model: "Model"
    recursive: bool


def in_common(wanted: Wanted, taken: Iterable[str]) -> bool:
    """Whether any of the wanted images, or none in particular, is among those that were taken before.

    Raises:
        InputError: When there are no such images, or the list cannot be read.
    """
    if wanted.listed is not None:
        paths = _paths_in(wanted.listed)
    elif wanted.images is not None:
        paths = _paths(wanted.images, wanted.recursive)[0]
    else:
        return True
    return not set(paths).isdisjoint(taken)


def choose_pictures(
    wanted: Wanted,
    taken: Sequence[str],
    practice: int,
    progress: bool | ProgressCallback,
    ratings: Callable[[], Mapping[str, float]] = dict,
) -> tuple[list[str], list[str], tuple[str, ...]]:
    """Choose pictures to rate.

    Args:
        wanted: Which.
        taken: Paths that were chosen before; none of them, nor a near-duplicate, is chosen again.
        practice: How many pictures to choose for practice.
        progress: True for a progress bar, or a function to call with each `Progress`.
        ratings: Finds the ratings so far, path -> rating; called by strategies other than `random`.

    Returns:
        Pictures to rate, pictures for practice, and remarks.

    Raises:
        InputError: When no pictures are given or found, or the list cannot be read.
    """
    from grmp_plugin.labelling.reading import read_some

    chance = np.random.default_rng([wanted.seed, len(taken)])
    if wanted.listed is not None:
        return _listed_pictures(wanted.listed, practice)
    if wanted.images is None:
        raise InputError("no pictures given: name files, folders or patterns", argument="images")
    paths, words = _paths(wanted.images, wanted.recursive)
    known = set(taken)
    others = [path for path in paths if path not in known]
    order = [others[int(at)] for at in chance.permutation(len(others))]
    if wanted.strategy == "random" or len(order) <= wanted.count:
        found, left_out = read_some(order, wanted.count + practice, taken)
        chosen, spare = found[: wanted.count], found[wanted.count :]
    else:
        from grmp_plugin.api.models import load
        from grmp_plugin.labelling.candidates import candidates
        from grmp_plugin.labelling.pool import read_pool
        from grmp_plugin.labelling.selection import choose

        most = len(taken) + max(_LOOKED_AT, _TIMES_WANTED * (wanted.count + practice))
        pool = read_pool([*taken, *order], load(wanted.model), progress_callback(progress), most)
        number = {path: at for at, path in enumerate(pool.paths)}
        before = [number[path] for path in taken if path in number]
        rated = {number[path]: rating for path, rating in ratings().items() if path in number}
        what = candidates(pool, rated)
        numbers = choose(wanted.strategy, what, wanted.count, before, chance)
        rest = choose("random", what, practice, [*before, *numbers], chance)
        chosen, spare = ([pool.paths[at] for at in each] for each in (numbers, rest))
        left_out = pool.left_out
    words += _words(left_out, len(chosen), wanted.count)
    # Too few pictures: practice shows some of those that are rated later.
    return chosen, [*spare, *chosen][:practice], tuple(words)


def _listed_pictures(
    file: str | os.PathLike[str], practice: int
) -> tuple[list[str], list[str], tuple[str, ...]]:
    from grmp_plugin.labelling.reading import LeftOut, read_some

    paths = _paths_in(file)
    _, left_out = read_some(paths, len(paths))
    bad = dict(left_out.unreadable)
    chosen = [path for path in paths if path not in bad]
    return chosen, chosen[:practice], tuple(_words(LeftOut(left_out.unreadable), len(chosen), len(paths)))


def _paths_in(file: str | os.PathLike[str]) -> list[str]:
    """Absolute paths of the pictures that a list names, each once."""
    folder = os.path.dirname(os.path.abspath(file))
    try:
        lines = [line.strip() for line in text_lines(LocalPlace(os.fspath(file)))]
    except InputError as error:
        raise InputError(error.message, argument="listed") from error
    except (ImageError, OSError) as error:
        raise InputError(f"{file}: {unread_reason(error)}", argument="listed") from error
    if not all(map(_is_text, lines)):
        raise InputError(f"{file}: not a text file in UTF-8, one path per line", argument="listed")
    return list(dict.fromkeys(os.path.abspath(os.path.join(folder, line)) for line in lines if line))


def _paths(images: Images, recursive: bool) -> tuple[list[str], list[str]]:
    """Absolute paths of image files, and what was left out, in words."""
    found = find_images(images, recursive=recursive)
    if not all(isinstance(source, FileImage) for source in found.sources):
        raise InputError("pictures to rate are files, not arrays or Pillow images", argument="images")
    paths = [os.path.abspath(source.name) for source in found.sources]
    named = [path for path in paths if _is_text(path)]
    words = list(left_out_words(found.left_out))
    words += [f"{path}: its name is not valid Unicode; rename it" for path in paths if not _is_text(path)]
    return named, words


def _is_text(name: str) -> bool:
    """Whether a name can be written into a ratings file, which is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _words(left_out: "LeftOut", found: int, wanted: int) -> list[str]:
    words = []
    if found < wanted:
        pictures = "1 picture" if found == 1 else f"{found} pictures"
        words.append(f"only {pictures} can be rated, {wanted} were wanted")
    unreadable = left_out.unreadable
    words += [f"{shortened(path)}: {reason}" for path, reason in unreadable[:_NAMED]]
    if len(unreadable) > _NAMED:
        words.append(f"{len(unreadable) - _NAMED} more cannot be read")
    if left_out.near_duplicates:
        many = len(left_out.near_duplicates)
        words.append(f"{many} near-duplicate{'s' if many > 1 else ''} of other pictures left out")
    return words
