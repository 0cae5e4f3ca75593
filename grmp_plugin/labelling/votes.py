"""Votes as they were cast."""

from dataclasses import dataclass
from typing import NamedTuple


class Window(NamedTuple):
    """What a picture was shown in.

    Attributes:
        width: Of the window, CSS pixels.
        height: Of the window, CSS pixels.
        pixel_ratio: Pixels of the screen per CSS pixel.
    """

    width: int
    height: int
    pixel_ratio: float


@dataclass(frozen=True)
class Vote:
    """One vote.

    Attributes:
        image: Path of the picture, or of the left one of a pair.
        other: Path of the right picture of a pair; None for a single picture.
        rater: Name of the rater.
        value: 1 (bad) to 5 (excellent); of a pair -1 (left is better), 0 (same) or 1 (right). None for
            "cannot judge".
        seconds: Time from the picture's appearance to the vote, without pauses.
        window: What it was shown in.
        time: Local time, ISO 8601.
        repeat: Whether the rater had judged the same before.
    """

    image: str
    other: str | None
    rater: str
    value: int | None
    seconds: float
    window: Window
    time: str
    repeat: bool
