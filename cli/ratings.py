"""Options about the ratings file, and the list of ratings that were not used."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grmp_plugin.printable import counted

from .output import note

if TYPE_CHECKING:
    from grmp_plugin.data.ratings import BadRow

_PANEL = "Ratings file"
_LISTED = 20  # skipped rows to list


def ratings_option(*names: str, **settings: Any) -> Any:
    """An option about the ratings file, in a panel of its own in the help."""
    return typer.Option(*names, rich_help_panel=_PANEL, **settings)


ImagesOption = Annotated[
    Path | None,
    ratings_option(
        "--images",
        help="Folder that image names are relative to. [dim]default: that of the ratings file[/]",
        show_default=False,
    ),
]
ImageColumnOption = Annotated[
    str | None, ratings_option(help="Column of the image names.", show_default=False)
]
MosColumnOption = Annotated[str | None, ratings_option(help="Column of the ratings.", show_default=False)]
ReferenceColumnOption = Annotated[
    str | None,
    ratings_option(
        help="Column of the pristine references; no reference is on both sides of a split.",
        show_default=False,
    ),
]
SplitColumnOption = Annotated[
    str | None,
    ratings_option(
        help="Column that says train or test; shots are drawn from the train rows.", show_default=False
    ),
]
IncludeLearnedOption = Annotated[
    bool,
    ratings_option(
        "--include-learned",
        help="Also use images that a model learned from, or other versions of their originals: its "
        "results are then biased in its favour.",
    ),
]
DirectionOption = Annotated[
    bool | None,
    ratings_option(
        "--lower-better/--higher-better",
        help="Whether a low or a high rating means good quality. [dim]default: high[/]",
        show_default=False,
    ),
]
RangeOption = Annotated[
    tuple[float, float] | None,
    ratings_option(
        metavar="LOW HIGH",
        help="Ends of the rating scale; ratings outside are errors. [dim]default: as known for the data set, "
        "or min and max of the shots, as always with --protocol released[/]",
        show_default=False,
    ),
]
RawOption = Annotated[
    bool,
    ratings_option("--raw", help="Each row is one person's rating; an image's MOS is their mean."),
]
SkipBadOption = Annotated[
    bool, ratings_option("--skip-bad", help="Leave out bad rows and unreadable images, and list them.")
]


def list_skipped(skipped: "Sequence[BadRow]") -> None:
    """Print on stderr which ratings were not used, and why."""
    note(f"{counted(len(skipped), 'row')} left out:")
    for row in skipped[:_LISTED]:
        parts = ("" if row.row is None else f"line {row.row}", row.image, row.reason)
        note("  " + ": ".join(part for part in parts if part))
    if len(skipped) > _LISTED:
        note(f"  and {len(skipped) - _LISTED} more")
