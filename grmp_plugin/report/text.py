"""Numbers and names as text for the pages."""

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from grmp_plugin.printable import printable
from grmp_plugin.statistics.bootstrap import Interval

NOTHING = "\N{EN DASH}"
"""Stands for a missing value."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")


def number(value: float | None, decimals: int) -> str:
    """A number with a true minus sign; a dash for a missing value."""
    if value is None or math.isnan(value):
        return NOTHING
    text = f"{value:.{decimals}f}"
    # A tiny negative number would be shown as -0.000.
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def interval(bounds: Interval, decimals: int) -> str:
    """Bounds in brackets; empty if undefined."""
    if math.isnan(bounds.low) or math.isnan(bounds.high):
        return ""
    return f"[{number(bounds.low, decimals)}, {number(bounds.high, decimals)}]"


def date_text(date: object) -> str:
    """An ISO 8601 time as date, hour and minute; other text unchanged."""
    text = str(date)
    return text[:16].replace("T", " ") if _TIME.match(text) else text


def probability(value: float) -> str:
    """A p-value; `<0.001` if below that."""
    return "<0.001" if value < 0.001 else number(value, 3)


def decimals(values: Iterable[float]) -> int:
    """How many decimals show three digits of the values' range, 0..6."""
    known = [value for value in values if math.isfinite(value)]
    size = max(known, default=0.0) - min(known, default=0.0) or max(map(abs, known), default=0.0)
    return 3 if size == 0 else min(6, max(0, 3 - math.ceil(math.log10(size))))


def listed(names: Sequence[str], most: int = 6) -> str:
    """A list of names: `A, B and C`; `A, B and 7 more` for more than `most`."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def shortened(text: str, most: int) -> str:
    """The text, shortened in the middle to `most` characters: names often differ at their ends."""
    text = printable(text)
    if len(text) <= most:
        return text
    end = most // 2
    return f"{text[: most - end - 1]}…{text[-end:]}"


def facts(values: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Names and values of nested plain data as one list, with nested names as `outer.inner`."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            found += facts(value, f"{key}.")
        else:
            found.append((key, _fact(value)))
    return found


def common_folder(paths: Sequence[str]) -> str:
    """The folder that contains all paths, with a trailing separator; empty if there is none."""
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    except ValueError:  # some absolute, some not
        return ""
    return os.path.join(folder, "") if folder.strip(os.sep) else ""


def _fact(value: Any) -> str:
    if value is None or value in ({}, [], ()):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_fact(item) for item in value)
    return str(value)
