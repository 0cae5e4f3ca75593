"""Where a command's words go: data to stdout, everything else to stderr."""

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from grmp_plugin.printable import printable
from grmp_plugin.tables import csv_text, json_text, jsonl_text

from .choices import Format

if TYPE_CHECKING:
    from grmp_plugin.api.result import Result

# No markup and no emoji codes anywhere: a file may be called [red]:b:.png.
messages = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def error(text: str) -> None:
    """Print what went wrong on stderr; the text is never read as markup."""
    messages.print("error:", style="bold red", end=" ")
    messages.print("\n".join(printable(line) for line in text.splitlines()), markup=False)


def note(text: str) -> None:
    """Print a remark on stderr; the text is never read as markup."""
    messages.print(printable(text), markup=False, style="dim")


def fits(table: Table) -> bool:
    """Whether a table can be printed on stdout without cutting or folding a cell."""
    console = Console(markup=False, highlight=False, emoji=False)
    wide = Console(markup=False, highlight=False, emoji=False, width=100_000)
    return not console.is_terminal or wide.measure(table).maximum <= console.width


def print_table(table: Table) -> None:
    """Print a table on stdout; in a pipe it is as wide as its content, so that nothing is cut."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        wide = Console(markup=False, highlight=False, emoji=False, width=100_000)
        console = Console(markup=False, highlight=False, emoji=False, width=wide.measure(table).maximum)
    console.print(table)


def print_result(result: "Result", shown: Format) -> None:
    """Print a result as CSV, JSON or JSON Lines on stdout; each command draws its own table."""
    if shown is Format.json:
        print_data(json_text(result.to_dict()) + "\n")
    elif shown is Format.csv:
        print_data(csv_text(result.rows, result.columns))
    elif shown is Format.jsonl:
        print_data(jsonl_text(result.rows))


def print_data(text: str) -> None:
    """Print data on stdout unchanged, in UTF-8; undecodable names survive as the system's bytes."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a stand-in for stdout, such as another program may set
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    buffer.write(text.encode("utf-8", "surrogateescape"))
    buffer.flush()
