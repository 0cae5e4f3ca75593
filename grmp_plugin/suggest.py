"""Suggestions for misspelled names."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], *, count: int = 1) -> str:
    """A question that names the known words closest to a word, or an empty string; case does not matter.

    >>> did_you_mean("epcohs", ["epochs", "shots"])
    "Did you mean 'epochs'?"
    """
    by_lower_case = {name.lower(): name for name in known}
    close = [by_lower_case[name] for name in difflib.get_close_matches(word.lower(), by_lower_case, n=count)]
    return f"Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
