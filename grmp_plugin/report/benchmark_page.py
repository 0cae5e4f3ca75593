"""The page of a benchmark: curves over the number of shots, and a table for each setting."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from grmp_plugin.benchmarking.table import Block, Entry, shots_order, summary_of
from grmp_plugin.printable import counted
from grmp_plugin.report import charts
from grmp_plugin.report.curves import Curve, curves
from grmp_plugin.report.page import render
from grmp_plugin.report.parts import Cell, Column, Figure, Record, Table, number_cell
from grmp_plugin.report.text import NOTHING, date_text, facts, listed, number, probability
from grmp_plugin.statistics.bootstrap import Interval

_COLUMNS = (
    Column("Method", numeric=False, first="ascending"),
    Column("SRCC median", sorted="descending"),
    Column("mean"),
    Column("std", first="ascending"),
    Column("PLCC median"),
    Column("KRCC median"),
    Column("p", first="ascending"),
    Column("Splits"),
    Column("Seconds", first="ascending"),
)


def benchmark_report(blocks: Sequence[Block], run: Mapping[str, Any], missing: int) -> str:
    """A benchmark as one self-contained HTML page.

    Args:
        blocks: Its tables.
        run: The record of the run.
        missing: Number of rows that are not done.
    """
    methods = list(dict.fromkeys(entry.label for block in blocks for entry in block.entries))
    places = list(dict.fromkeys(block.place for block in blocks))
    models = list(dict.fromkeys(block.model for block in blocks))
    splits = max(len(entry.rows) for block in blocks for entry in block.entries)
    return render(
        "benchmark.html.j2",
        title=f"{counted(len(methods), 'method')} on {listed(places)}",
        date=date_text(run.get("date", "")),
        answer=_answer(blocks),
        models=listed(models),
        splits=f"up to {counted(splits, 'random split')}",
        missing=missing,
        methods=_methods(blocks),
        figures=_curves(blocks),
        sections=[
            (f"block-{number}", block.title, *_section(number, block)) for number, block in enumerate(blocks)
        ],
        sources=_sources(blocks),
        records=[Record("Run", tuple(facts(run)))],
    )


def _answer(blocks: Sequence[Block]) -> str:
    """The best method of each setting in words."""
    sentences = []
    for block in blocks:
        leading = block.entries[0]
        tied = [entry.label for entry in block.entries[1:] if entry.standing.best]
        words = f"{block.title}: {leading.label} leads with a median SRCC of {number(leading.srcc.median, 3)}"
        others = block.entries[1:]
        if others and not any(entry.standing.decidable for entry in others):
            words += f"; with {counted(len(leading.rows), 'split')} no difference can be significant"
        elif tied:
            words += f"; not significantly different: {listed(tied, 12)}"
        sentences.append(f"{words}.")
    return " ".join(sentences)


def _methods(blocks: Sequence[Block]) -> list[tuple[str, str]]:
    found = {}
    for block in blocks:
        for entry in block.entries:
            found[entry.method] = summary_of(entry) or "a metric of pyiqa, as it is"
    return sorted(found.items())


def _section(number: int, block: Block) -> tuple[Table, Figure]:
    rows = tuple(_row(entry, first=entry is block.entries[0]) for entry in block.entries)
    rows += tuple(
        (
            Cell(one.method, one.source, tag="published"),
            number_cell(one.srcc, 3),
            Cell(NOTHING),
            Cell(NOTHING),
            number_cell(math.nan if one.plcc is None else one.plcc, 3),
            *(Cell(NOTHING) for _ in _COLUMNS[5:]),
        )
        for one in block.published
    )
    estimates = [
        charts.Estimate(
            entry.label,
            entry.srcc.median,
            _range(entry),
            leads=entry is block.entries[0],
            tied=entry.standing.best,
        )
        for entry in block.entries
    ]
    words = "SRCC: median, lowest and highest over splits"
    return Table(block.title, _COLUMNS, rows), Figure(charts.intervals(f"splits-{number}", estimates, words))


def _row(entry: Entry, *, first: bool) -> tuple[Cell, ...]:
    tag = "best" if first else "not significantly different" if entry.standing.best else ""
    p = entry.standing.p_value
    chosen = sorted({row.chosen for row in entry.rows if row.chosen is not None})
    counts = [f"{one} {sum(row.chosen == one for row in entry.rows)}x" for one in chosen]
    return (
        Cell(
            entry.label,
            f"chose {listed(counts)}" if counts else "",
            tag=tag,
        ),
        number_cell(entry.srcc.median, 3),
        number_cell(entry.srcc.mean, 3),
        number_cell(entry.srcc.deviation, 3),
        number_cell(entry.plcc.median, 3),
        number_cell(entry.krcc.median, 3),
        Cell(NOTHING) if math.isnan(p) else Cell(probability(p), key=repr(p)),
        Cell(str(len(entry.rows)), key=str(len(entry.rows))),
        number_cell(entry.seconds, 1),
    )


def _range(entry: Entry) -> Interval:
    known = [row.srcc for row in entry.rows if not math.isnan(row.srcc)]
    return Interval(min(known), max(known)) if known else Interval(math.nan, math.nan)


def _curves(blocks: Sequence[Block]) -> list[Figure]:
    """A chart for each data set with several numbers of shots."""
    groups: dict[Hashable, list[Block]] = {}
    for block in blocks:
        groups.setdefault((block.group, block.place), []).append(block)
    colours = {
        label: number
        for number, label in enumerate(dict.fromkeys(e.label for block in blocks for e in block.entries))
    }
    found: list[Figure] = []
    for several in groups.values():
        if len(several) < 2:
            continue
        several.sort(key=lambda block: shots_order(block.shots))
        labels = list(dict.fromkeys(entry.label for block in several for entry in block.entries))
        lines = [_curve(label, colours[label], several) for label in labels]
        title = ", ".join(filter(None, [several[0].place, several[0].setting]))
        chart = curves(f"curves-{len(found)}", f"SRCC over shots: {title}", [b.shots for b in several], lines)
        found.append(Figure(chart, title))
    return found


def _curve(label: str, colour: int, blocks: Sequence[Block]) -> Curve:
    entries = [next((e for e in block.entries if e.label == label), None) for block in blocks]
    ranges = [Interval(math.nan, math.nan) if entry is None else _range(entry) for entry in entries]
    return Curve(
        label,
        colour,
        tuple(math.nan if entry is None else entry.srcc.median for entry in entries),
        tuple(one.low for one in ranges),
        tuple(one.high for one in ranges),
    )


def _sources(blocks: Sequence[Block]) -> str:
    return "; ".join(sorted({one.source for block in blocks for one in block.published}))
