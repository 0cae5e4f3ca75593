"""Where the ratings of `grmp adapt` come from: a file, a data set of pyiqa, or the demo."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grmp_plugin.errors import InputError

from .output import note

if TYPE_CHECKING:
    from grmp_plugin.data.ratings import BadRow, Ratings

_PANEL = "The ratings file"
_LISTED = 20  # rows that were left out


def ratings_option(*names: str, **settings: Any) -> Any:
    """An option about the ratings file, in its own panel of the help."""
    return typer.Option(*names, rich_help_panel=_PANEL, **settings)


ImagesOption = Annotated[
    Path | None,
    ratings_option(
        "--images", help="Folder that image names are relative to; else the file's.", show_default=False
    ),
]
ImageColumnOption = Annotated[
    str | None, ratings_option(help="Column of the images' names.", show_default=False)
]
MosColumnOption = Annotated[str | None, ratings_option(help="Column of the ratings.", show_default=False)]
ReferenceColumnOption = Annotated[
    str | None,
    ratings_option(
        help="Column of the pristine original; no original is both learned from and tested.",
        show_default=False,
    ),
]
SplitColumnOption = Annotated[
    str | None,
    ratings_option(help="Column that says train or test; shots come from train.", show_default=False),
]
DirectionOption = Annotated[
    bool | None,
    ratings_option(
        "--lower-better/--higher-better", help="Which rating is the good one.", show_default="higher"
    ),
]
RangeOption = Annotated[
    tuple[float, float] | None,
    ratings_option(metavar="LOW HIGH", help="Ends of the rating scale.", show_default="known, or the shots'"),
]
RawOption = Annotated[
    bool,
    ratings_option("--raw", help="Each row is one person's rating; the mean is an image's MOS."),
]
SkipBadOption = Annotated[
    bool, ratings_option("--skip-bad", help="Leave out bad rows and unreadable images; they are listed.")
]


def is_ratings_file(name: str) -> bool:
    """Whether a word means a file: it is one, or it is spelled like one."""
    path = Path(name)
    return path.exists() or bool(path.suffix) or len(path.parts) > 1


def find_ratings(
    name: str | None, data_root: Path, on_picture: Callable[[int, int], None], **options: Any
) -> "Ratings":
    """The ratings that a word on the command line means.

    Args:
        name: a file, a data set of pyiqa, `demo`, or None for the demo.
        data_root: folder of pyiqa's data sets.
        on_picture: told of the demo's pictures while they are drawn.
        options: for `read_ratings`.

    Raises:
        InputError, DataUnavailableError: when they cannot be had or used.
    """
    if name is not None and is_ratings_file(name):
        from grmp_plugin.data.ratings_file import read_ratings

        return read_ratings(name, **options)
    demo = name in (None, "demo")
    beside = ("skip_bad",) if demo else ("skip_bad", "lower_better")
    given = {key for key, value in options.items() if value is not None and (key != "raw" or value)}
    if given.difference(beside):
        raise InputError(
            "options about columns, images, range and direction are for a ratings file; "
            f"{name or 'the demo'} is none"
        )
    if demo:
        from grmp_plugin.synthetic.demo import default_folder, demo_ratings

        words = "no ratings given: " if name is None else ""
        note(f"{words}the demo, drawn pictures judged by a simulated observer (in {default_folder()})")
        return demo_ratings(on_picture=on_picture)
    from grmp_plugin.training.named_data import named_ratings

    return named_ratings(str(name), data_root, lower_better=options["lower_better"])


def list_skipped(skipped: "Sequence[BadRow]") -> None:
    """Say on stderr what was left out, and why."""
    note(f"{len(skipped)} {'row was' if len(skipped) == 1 else 'rows were'} left out:")
    for row in skipped[:_LISTED]:
        parts = ("" if row.row is None else f"line {row.row}", row.image, row.reason)
        note("  " + ": ".join(part for part in parts if part))
    if len(skipped) > _LISTED:
        note(f"  and {len(skipped) - _LISTED} more")
