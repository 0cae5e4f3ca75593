"""Naming schemes of the standard synthetic data sets: reference, distortion and level of an image."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class DistortedName(NamedTuple):
    """A file name taken apart.

    Attributes:
        reference: The pristine image, in the case that the data set prefers: TID2013 mixes `I01_11_1.BMP`
            and `i01_11_2.bmp`, which have the same reference.
        distortion: As written in the name.
        level: Number in the name; its meaning differs between data sets.
    """

    reference: str
    distortion: str
    level: int


class _Pattern(NamedTuple):
    name: re.Pattern[str]
    canonical: Callable[[str], str]


# TID and KADID-10k differ only in the number of digits of the level.
_PATTERNS = tuple(
    _Pattern(re.compile(name + r"\.[a-z0-9]+", re.IGNORECASE | re.ASCII), canonical)
    for name, canonical in (
        (r"(i\d\d)_(\d\d)_(\d)", str.lower),  # TID2008, TID2013
        (r"(i\d\d)_(\d\d)_(\d\d)", str.upper),  # KADID-10k
        (r"(a\d{4})_(\d\d)_(\d\d)", str.upper),  # PIPAL
        (r"(.+)\.(awgn|blur|contrast|fnoise|jpeg|jpeg2000)\.(\d)", str.lower),  # CSIQ
    )
)


def parse_name(name: str) -> DistortedName | None:
    """Read the file name of a distorted image of TID2008, TID2013, KADID-10k, PIPAL or CSIQ.

    Args:
        name: File name or path, in any case, with any suffix (images get converted).

    Returns:
        None for a name that follows none of these schemes.
    """
    return next((found for found in (_match(name, pattern) for pattern in _PATTERNS) if found), None)


def references_of(names: Iterable[str]) -> tuple[str, ...] | None:
    """Name the reference of each image, if all names follow the scheme of one data set.

    Args:
        names: N file names or paths.

    Returns:
        N references, equal for images of the same reference; None if any name does not match.
    """
    names = tuple(names)
    for pattern in _PATTERNS:
        found = _match_all(names, pattern)
        if found:
            return tuple(each.reference for each in found)
    return None


def _match_all(names: Sequence[str], pattern: _Pattern) -> list[DistortedName]:
    """All names taken apart; empty if any does not match."""
    found = []
    for name in names:
        each = _match(name, pattern)
        if each is None:
            return []
        found.append(each)
    return found


def _match(name: str, pattern: _Pattern) -> DistortedName | None:
    match = pattern.name.fullmatch(re.split(r"[/\\]", name)[-1])
    if match is None:
        return None
    reference, distortion, level = match.groups()
    return DistortedName(pattern.canonical(reference), distortion, int(level))
