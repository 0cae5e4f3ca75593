"""The tables of `grmp label report`: pictures and raters."""

import math
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from grmp_plugin.printable import printable

from .output import print_data, print_table

if TYPE_CHECKING:
    from grmp_plugin.api.recovered import RecoveredMos


def print_recovered(found: "RecoveredMos") -> None:
    """Print scores and raters on standard output."""
    score = "score" if found.pairs else "MOS"
    print_data(f"{score}: {found.recovery.method}\n\n")
    table = Table()
    table.add_column("image", overflow="fold")
    for title in (score, "95% interval", "raters"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in found.rows:
        interval = "" if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}"
        table.add_row(Text(printable(row["image"])), f"{row['mos']:.2f}", interval, str(row["n"]))
    print_table(table)
    table = Table()
    table.add_column("rater", overflow="fold")
    for title in ("votes", "left bias" if found.pairs else "bias", "repeats differ", "agreement", "s a vote"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("left out", overflow="fold")
    for rater in found.raters:
        numbers = (rater.bias, rater.repeat_difference, rater.correlation, rater.seconds)
        cells = ["" if math.isnan(number) else f"{number:.2f}" for number in numbers]
        table.add_row(Text(printable(rater.rater)), str(rater.votes), *cells, rater.screened)
    print_table(table)
