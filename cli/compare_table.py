"""A comparison as tables on a terminal, with the meaning of their columns."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from grmp_plugin.printable import counted, printable

from .output import fits, note, print_data, print_table

if TYPE_CHECKING:
    from grmp_plugin.evaluation.comparison import Comparison, MetricAgreement, MetricScores
    from grmp_plugin.statistics.bootstrap import Interval

_NAME_WIDTH = 14  # characters, at least
_DISPENSABLE = ("B/W", "D/S", "KRCC", "RMSE*", "to best", "PLCC*")  # dropped in this order
_MATRIX = 8  # most metrics that fit side by side
_DISPUTED = 5  # images to list


def print_comparison(comparison: "Comparison") -> None:
    """Print tables on stdout, and the meaning of their columns on stderr."""
    judged, count = int(comparison.judged.sum()), len(comparison.images)
    rated = "" if comparison.mos is None else " with ratings"
    working = comparison.working()
    if not working or not judged:
        return
    print_data(
        f"{counted(len(working), 'metric')} on {judged} of {count} images{rated}{_learned(comparison)}\n"
    )
    if comparison.mos is None:
        _print_ranks(comparison)
    else:
        _print_agreement(comparison)


def _learned(comparison: "Comparison") -> str:
    learned = comparison.learned_images()
    if not learned:
        return ""
    names = printable(", ".join(comparison.learners()))
    if comparison.include_learned:
        return f", {learned} of which {names} learned from: too good"
    return f"; excluding {learned} that {names} learned from"


def _print_agreement(comparison: "Comparison") -> None:
    agreements = [a for a in comparison.agreements if a is not None]
    columns: dict[str, Callable[[MetricAgreement], str]] = {
        "SRCC": lambda a: _with_interval(a.srcc, a.srcc_interval),
        "KRCC": lambda a: _number(a.krcc),
        "PLCC*": lambda a: _number(a.plcc_fitted),
        "RMSE*": lambda a: _amount(a.rmse_fitted),
        "to best": _to_best,
        "D/S": lambda a: _number(a.different_similar),
        "B/W": lambda a: _number(a.better_worse),
    }
    if not any(not math.isnan(a.better_worse) for a in agreements):
        del columns["D/S"], columns["B/W"]
    dropped = []
    table = _agreement_table(comparison, columns)
    for title in _DISPENSABLE:
        if fits(table):
            break
        if columns.pop(title, None) is not None:
            dropped.append(title)
            table = _agreement_table(comparison, columns)
    print_table(table)
    if dropped:
        note(f"the terminal is too narrow for {', '.join(reversed(dropped))}; see --out or --report")
    note("* after a 4-parameter logistic fit; SRCC with 95% bootstrap interval")
    note("= best, or not significantly different from the best (paired bootstrap, Holm-corrected, 5% level)")
    if "D/S" in columns:
        note("D/S, B/W: Krasula's AUC for different against similar pairs, and for the better of two images")


def _agreement_table(
    comparison: "Comparison", columns: Mapping[str, "Callable[[MetricAgreement], str]"]
) -> Table:
    table = Table()
    table.add_column("metric", overflow="fold", min_width=_NAME_WIDTH)
    for title in (*columns, "images/s"):
        table.add_column(title, justify="right", no_wrap=True)
    for number in comparison.working():
        metric, agreement = comparison.metrics[number], comparison.agreements[number]
        if agreement is None:
            continue
        name = printable(metric.metric) + (" =" if agreement.best else "")
        cells = [cell(agreement) for cell in columns.values()]
        table.add_row(Text(name, style="bold" if agreement.best else ""), *cells, _speed(metric))
    return table


def _print_ranks(comparison: "Comparison") -> None:
    working = comparison.working()
    matrix = len(working) <= _MATRIX
    print_table(_matrix_table(comparison) if matrix else _extremes_table(comparison))
    note("SRCC of each pair of metrics, with signs that make higher better")
    if len(working) > 1 and len(comparison.disputed):
        print_data("\nmost disputed (rank among the images, 0 worst to 100 best)\n")
        print_table(_disputed_table(comparison, working if matrix else []))


def _matrix_table(comparison: "Comparison") -> Table:
    """SRCC of each pair of metrics."""
    working = comparison.working()
    table = Table()
    table.add_column("metric", overflow="fold", min_width=_NAME_WIDTH)
    for number in working:
        table.add_column(_name(comparison, number), justify="right", overflow="fold", min_width=5)
    table.add_column("images/s", justify="right", no_wrap=True)
    for number in working:
        cells = ["" if other == number else _number(comparison.ranks[number, other]) for other in working]
        table.add_row(Text(_name(comparison, number)), *cells, _speed(comparison.metrics[number]))
    return table


def _extremes_table(comparison: "Comparison") -> Table:
    """The most and the least similar metric of each."""
    working = comparison.working()
    table = Table()
    table.add_column("metric", overflow="fold", min_width=_NAME_WIDTH)
    for title in ("most similar", "SRCC", "least similar", "SRCC", "images/s"):
        table.add_column(title, justify="right", no_wrap=True)
    for number in working:
        srcc = {
            other: comparison.ranks[number, other]
            for other in working
            if other != number and not math.isnan(comparison.ranks[number, other])
        }
        cells = ["", "", "", ""]
        if srcc:
            most, least = max(srcc, key=srcc.__getitem__), min(srcc, key=srcc.__getitem__)
            cells = [_name(comparison, most), _number(srcc[most])]
            cells += [_name(comparison, least), _number(srcc[least])]
        table.add_row(Text(_name(comparison, number)), *cells, _speed(comparison.metrics[number]))
    return table


def _disputed_table(comparison: "Comparison", shown: list[int]) -> Table:
    """Ranks of the most disputed images by some metrics, or the spread of the ranks if none are given."""
    table = Table()
    table.add_column("image", overflow="fold")
    for number in shown:
        table.add_column(_name(comparison, number), justify="right", min_width=3)
    if not shown:
        table.add_column("spread", justify="right")
    ranks = [comparison.percentile_ranks_by(number) for number in shown] or [comparison.dispute]
    for image in comparison.disputed[:_DISPUTED].tolist():
        cells = [f"{values[image]:.0f}" for values in ranks]
        table.add_row(Text(printable(comparison.images[image])), *cells)
    return table


def _name(comparison: "Comparison", number: int) -> str:
    return printable(comparison.metrics[number].metric)


def _to_best(agreement: "MetricAgreement") -> str:
    if math.isnan(agreement.difference):
        return "undefined"
    if math.isnan(agreement.p_value):
        return "" if agreement.difference == 0 else f"{agreement.difference:+.3f}"
    p = "p<0.001" if agreement.p_value < 0.001 else f"p={agreement.p_value:.3f}"
    return f"{agreement.difference:+.3f} {p}"


def _with_interval(value: float, interval: "Interval") -> str:
    if math.isnan(value):
        return "undefined"
    if math.isnan(interval.low):
        return f"{value:.3f}"
    return f"{value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"


def _amount(value: float) -> str:
    """A value in any unit, to 3 significant digits."""
    return "undefined" if math.isnan(value) else f"{value:.3g}"


def _speed(metric: "MetricScores") -> str:
    speed = metric.images_per_second
    return "" if math.isnan(speed) else f"{speed:.3g}"
