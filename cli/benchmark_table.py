"""A benchmark as a table on a terminal, one block for each setting."""

import math
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from grmp_plugin.printable import printable

from .output import fits, note, print_data, print_table

if TYPE_CHECKING:
    from grmp_plugin.api.benchmark import BenchmarkResult
    from grmp_plugin.benchmarking.table import Block, Entry, Summary

_TITLES = ("SRCC", "mean ± std", "PLCC", "p", "splits", "s/split")
_DISPENSABLE = ("s/split", "splits", "PLCC")  # dropped in this order


def print_benchmark(result: "BenchmarkResult") -> None:
    """Print the tables on stdout, and the meaning of their columns on stderr."""
    if not result.blocks:
        print_data("no row is done yet\n")
        return
    for number, block in enumerate(result.blocks):
        images = sorted({row.images for entry in block.entries for row in entry.rows})
        tested = str(images[0]) if len(images) == 1 else f"{images[0]} to {images[-1]}"
        title = f"{printable(block.title)}: {printable(block.model)}, tested on {tested} images"
        print_data(("\n" if number else "") + title + "\n")
        _print_block(block)
    note("SRCC, PLCC: medians over splits; PLCC without a fitted curve")
    note(
        "= best, or not significantly different from the best (Wilcoxon over splits, Holm-corrected, 5% "
        "level); no mark: significantly worse, or too few splits to tell"
    )
    others = [entry for block in result.blocks for entry in block.entries[1:]]
    if others and not any(entry.standing.decidable for entry in others):
        note("too few splits for any difference between so many methods to be significant; see --splits")
    for source in dict.fromkeys(one.source for block in result.blocks for one in block.published):
        note(f"* published, on other splits: {source}")


def _print_block(block: "Block") -> None:
    titles = list(_TITLES)
    table = _table(block, titles)
    for title in _DISPENSABLE:
        if fits(table):
            break
        titles.remove(title)
        table = _table(block, titles)
    print_table(table)


def _table(block: "Block", titles: list[str]) -> Table:
    table = Table()
    table.add_column("method", overflow="fold", min_width=10)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for entry in block.entries:
        cells = _cells(entry)
        best = entry.standing.best
        name = Text(printable(entry.label) + (" =" if best else ""), style="bold" if best else "")
        table.add_row(name, *(cells[title] for title in titles))
    for one in block.published:
        known = {"SRCC": _number(one.srcc), "PLCC": "" if one.plcc is None else _number(one.plcc)}
        table.add_row(Text(f"{one.method} *", style="dim"), *(known.get(title, "") for title in titles))
    return table


def _cells(entry: "Entry") -> dict[str, str]:
    p = entry.standing.p_value
    return {
        "SRCC": _number(entry.srcc.median),
        "mean ± std": _spread(entry.srcc),
        "PLCC": _number(entry.plcc.median),
        "p": "" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}",
        "splits": str(len(entry.rows)),
        "s/split": f"{entry.seconds:.1f}",
    }


def _spread(summary: "Summary") -> str:
    if math.isnan(summary.deviation):
        return _number(summary.mean)
    return f"{_number(summary.mean)} ± {_number(summary.deviation)}"


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"
