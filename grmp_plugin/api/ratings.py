"""The ratings that a caller means: a file, a data frame, one of pyiqa's data sets, or the demo."""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.ratings_file import RatingsOptions, read_ratings
from grmp_plugin.errors import InputError
from grmp_plugin.files import DATA_ROOT, existing
from grmp_plugin.notes import Note
from grmp_plugin.progress import Progress

if TYPE_CHECKING:
    import pandas

DEMO = "demo"
_FILES_ONLY = "applies to ratings files and data frames, not to {}"
# Options without a third state: not given where they are False.
_SWITCHES = ("include_learned", "raw", "skip_bad")
_NAMED = 3  # most split columns in a note
_DRAWING = "drawing the demo's pictures (only once)"


def as_ratings(
    ratings: "str | os.PathLike[str] | pandas.DataFrame | Ratings",
    *,
    data_root: str | os.PathLike[str] = DATA_ROOT,
    report: Callable[[Progress], None] | None = None,
    **options: Unpack[RatingsOptions],
) -> Ratings:
    """The ratings that a caller means.

    Args:
        ratings: A CSV file, a data frame, the name of one of pyiqa's data sets, `demo` (drawn pictures judged
            by a simulated observer), or ratings that were read before.
        data_root: Folder of pyiqa's data sets, also where they are downloaded to.
        report: Called while the demo's pictures are drawn.
        **options: See `RatingsOptions`; for files and data frames only, except `skip_bad`, and
            `lower_better` for data sets.

    Raises:
        InputError: When there are no such ratings, or they cannot be used.
        DataUnavailableError: When a data set would have to be downloaded and cannot be.
    """
    if isinstance(ratings, Ratings):
        refuse_options(options, _FILES_ONLY.format("ratings that were read before"))
        return ratings
    if not isinstance(ratings, str) or is_ratings_file(ratings):
        return read_ratings(ratings, **options)
    if ratings == DEMO:
        from grmp_plugin.synthetic.demo import demo_ratings

        refuse_options(options, _FILES_ONLY.format("the demo"))
        return demo_ratings(
            on_picture=None if report is None else lambda done, all_: report(Progress(_DRAWING, done, all_))
        )
    from grmp_plugin.training.named_data import named_ratings

    refuse_options(options, _FILES_ONLY.format(f"the data set '{ratings}'"), allowed=["lower_better"])
    return named_ratings(ratings, data_root, lower_better=options.get("lower_better"))


def about_demo(*, is_default: bool = False) -> Note:
    """What the demo is, and where its pictures are."""
    from grmp_plugin.synthetic.demo import default_folder

    words = "no ratings given; using " if is_default else ""
    return Note(f"{words}the demo: drawn pictures, rated by a simulated observer (in {default_folder()})")


def notes_on_split_columns(ratings: Ratings, used: str | None) -> list[Note]:
    """What to say of columns of a file that tell training from test images, when none of them is used."""
    names = [name for name, values in ratings.splits.items() if "test" in values]
    if used is not None or not names or not ratings.hints("image_column"):
        return []
    named = ", ".join(f"'{name}'" for name in names[:_NAMED]) + ", ..." * (len(names) > _NAMED)
    return [Note(f"not used: the split column{'s' * (len(names) > 1)} {named}", see=("split_column",))]


def is_ratings_file(name: str) -> bool:
    """Whether a word means a file: it is one, or it is spelled like one."""
    path = Path(name)
    return existing(name) is not None or bool(path.suffix) or len(path.parts) > 1


def refuse_options(options: Mapping[str, Any], why: str, *, allowed: Collection[str] = ()) -> None:
    """Refuse options that would have no effect.

    Args:
        options: Arguments by name, such as `RatingsOptions`; None and switches that are off are not given.
        why: What they apply to, and what is there instead.
        allowed: Names that have an effect, beside `skip_bad`.

    Raises:
        InputError: When another one is given.
    """
    given = {name for name, value in options.items() if value is not None}
    given -= {name for name in _SWITCHES if options.get(name) is False}
    unused = sorted(given - {"skip_bad", *allowed})
    if unused:
        raise InputError(why, argument=unused[0])
