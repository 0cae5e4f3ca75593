"""Suggestions for misspelled names."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], *, count: int = 1) -> str:
    """A question that names the known words closest to a word, or an empty string.

    >>> did_you_mean("epcohs", ["epochs", "shots"])
    "Did you mean 'epochs'?"
    """
    close = difflib.get_close_matches(word, list(known), n=count)
    return f"Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
